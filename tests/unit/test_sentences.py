"""tools/sentences.py counts the words of each sentence of a Markdown text, and the documents pass it."""

from __future__ import annotations

import pytest

from sentences import MOST_WORDS, ROOT, pages, sentences


def counts(text: str) -> list[int]:
    return [sentence.words for sentence in sentences(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("One two three. Four five!", [3, 2]),
        ("One two\nthree.\n\nFour", [3, 1]),
        ("# A heading\nOne two.", [2, 2]),
        ("- one two\n  three\n- four", [3, 1]),
        ("1. one\n2. two three", [1, 2]),
        ("| one | two three; four |\n|---|---|\n| `a | b` five | |", [1, 2, 1, 2]),
        ("One `a b. c` two [three four](page.md#part.x).", [5]),
        ("Before:\n\n```console\n$ one two three. four\n```\nafter", [1, 1]),
        ("<!-- one two\nthree -->four", [1]),
        ("Version 1.2.3 of **bold text.** Next", [5, 1]),
        ("One – two · three", [3]),
    ],
)
def test_words_are_counted_by_sentence(text: str, words: list[int]) -> None:
    assert counts(text) == words


def test_a_sentence_is_named_with_its_first_line() -> None:
    assert [(each.line, each.text) for each in sentences("# A\n\none\ntwo. three\n")] == [
        (1, "A"),
        (3, "one two."),
        (3, "three"),
    ]


def test_no_sentence_of_the_documents_is_too_long() -> None:
    long = [
        f"{page.relative_to(ROOT)}:{each.line}: {each.text}"
        for page in pages([ROOT / "README.md", ROOT / "docs"])
        for each in sentences(page.read_text())
        if each.words > MOST_WORDS
    ]
    assert long == []
