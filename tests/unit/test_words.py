"""tools/words.py finds the words of a list, also inside identifiers and across lines, and names the replacement and the place."""

from __future__ import annotations

import pytest

from words import LIST, find_uses, package_of, read_rules

RULES = read_rules(LIST.read_text())


def found(text: str) -> list[str]:
    return [use.text for use in find_uses(text, RULES)]


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("Membership at the door", "door"),
        ("class MembershipDoor:", "Door"),
        ("self._door.answer(token)", "door"),
        ("def let_in(accounts): ...", "let_in"),
        ("lastLetInSecondsAgo", "LetIn"),
        ("an entry that lets nobody in", "lets nobody in"),
        ("before it turns\n    # away a user", "turns away"),
        ("A *hold-up* of IAM", "hold-up"),
        ("Sid: UsersUnderTheirOwnName, for whom", "whom"),
        ("a backend behind the gate", "gate"),
    ],
)
def test_a_word_is_found_in_prose_identifiers_and_across_lines(text: str, use: str) -> None:
    assert found(text) == [use]


@pytest.mark.parametrize(
    "text",
    [
        "the feature gate SSORoleMatch and --feature-gates",
        "CloudTrail and trailing blanks",
        "an aggregated delegate, indeed a warehouse outdoors",
        "let the loop run. In the end it stops",
        "for name in lets: ...",
        "shutdown and socket.SHUT_RDWR",
        "async with stack.enter_async_context(x): ...",
    ],
)
def test_technical_words_and_parts_of_words_are_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_use_names_its_place_and_the_replacement() -> None:
    (use,) = find_uses("one\ntwo\nmembers enter here", read_rules("enter => sign in"), "docs/page.md")
    assert str(use) == "docs/page.md:3: 'enter': write sign in"


def test_a_place_is_reported_once_for_the_first_rule_of_the_list() -> None:
    uses = find_uses("it lets nobody in", read_rules("lets nobody in => admit nobody\nlets * in => admit"))
    assert [use.replacement for use in uses] == ["admit nobody"]


def test_a_line_without_replacement_is_an_error() -> None:
    with pytest.raises(ValueError, match="no replacement"):
        read_rules("door =>")


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("src/kube_iam/authn/decide.py", "src/kube_iam/authn"),
        ("src/kube_iam/errors.py", "src/kube_iam"),
        ("tests/unit/test_x.py", "tests/unit"),
        ("tests/required.py", "tests"),
        ("docs/decisions/0001-x.md", "docs"),
        ("README.md", "README.md"),
    ],
)
def test_uses_are_counted_by_package(path: str, package: str) -> None:
    assert package_of(path) == package
