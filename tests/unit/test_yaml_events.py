"""One parser for all who read and edit YAML: the same texts, the same values, and offsets that are those of the text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from kube_iam.config.yaml_events import document_events, go_refuses
from kube_iam.config.yaml_nodes import MappingNode, ScalarNode, SequenceNode, compose
from kube_iam.config.yaml_nodes import Node as ServerNode
from kube_iam.errors import ConfigError
from kube_iam.kube.yaml.tree import Node, parse_tree

# What the reference's two parsers say of each was tried: None where they refuse it.
TABS = {
    "a: b\t# note\n": {"a": "b"},
    "a:\tb\n": {"a": "b"},
    "a: \tb\n": {"a": "b"},
    "a: b\t\n": {"a": "b"},
    "a: b \t \n": {"a": "b"},
    "a:\t\n  - b\n": {"a": ["b"]},
    "- a\t\n- b\n": ["a", "b"],
    "a: [b\t,\tc]\t# note\n": {"a": ["b", "c"]},
    "- {a: b,\n\tc: d}\n": [{"a": "b", "c": "d"}],
    "[a,\n\t\tb]": ["a", "b"],
    '- "a\n\t b"\n': ["a b"],
    "- a: |\t# note\n   x\n": [{"a": "x\n"}],
    "-\ta\n": None,
    "- a\n\t\n- b\n": None,
    "- a\n\t# note\n": None,
    "\t- a\n": None,
    "a:\n\t- b\n": None,
    "- |\n  \tx\n  y\n": None,
}
MARKS = {
    "- a\n---\n": ["a"],
    "- a\n---\n# the end\n": ["a"],
    "- a\n---\n---\n": ["a"],
    "- a\n...\n": ["a"],
    "---\n- a\n...\n": ["a"],
    "---\n- a\n---": ["a"],
    "- a\n--- # end\n...\n": ["a"],
}
QUOTES = {
    r'- "\u00e9"': ["\u00e9"],
    r'- "\ud83d\ude00 \uD83D\uDE01"': ["\U0001f600 \U0001f601"],
    r"- '\ud83d\ude00'": [r"\ud83d\ude00"],
    r"- \ud83d\ude00": [r"\ud83d\ude00"],
    '- |\n  "\\ud83d\\ude00"\n': ['"\\ud83d\\ude00"\n'],
    r'- "\\ud83d\\ude00"': [r"\ud83d\ude00"],
    r'- "\\\ud83d\ude00"': ["\\\U0001f600"],
    r'- "\\ud83d\ude00"': None,
    r'- "\ud83d"': None,
    r'- "\/"': ["/"],
    '"\\ud83d\\ude00": # "\\ud83d\\ude00\n  b': {"\U0001f600": "b"},
}
LINES = {
    "- a\r- b\r": ["a", "b"],
    "- a\r\n- b\r\n": ["a", "b"],
    "- a\u2028b\n": None,
    "\ufeff- a\n": ["a"],
    "- \x07": None,
}
TEXTS = {**TABS, **MARKS, **QUOTES, **LINES}


def as_edited(node: Node | None) -> object:
    return node.data() if node is not None else None


def as_served(node: ServerNode | None) -> object:
    match node:
        case MappingNode():
            return {key.value: as_served(value) for key, value in node.value if isinstance(key, ScalarNode)}
        case SequenceNode():
            return [as_served(item) for item in node.value]
        case ScalarNode():
            return None if node.tag.endswith(":null") else node.value
    return None


@pytest.mark.parametrize(("text", "expected"), TEXTS.items())
def test_server_and_editors_read_what_the_reference_reads(text: str, expected: object) -> None:
    if expected is None:
        for read in (compose, parse_tree):
            with pytest.raises(ConfigError, match=r"line [0-9]: is not YAML"):
                read(text, "x.yaml")
    else:
        assert as_served(compose(text, "x.yaml")) == expected
        assert as_edited(parse_tree(text, "x.yaml")) == expected


@pytest.mark.parametrize("text", ["- a\n---\n- b\n", "---\n---\n- b\n", "- a\n--- ''\n", "- a\n--- &x\n"])
def test_a_further_document_with_content_is_named_by_its_line(text: str) -> None:
    for read in (compose, parse_tree):
        with pytest.raises(ConfigError, match="line 2: holds more than one document"):
            read(text, "x.yaml")


@pytest.mark.parametrize(
    ("text", "place"), [("- a\n-\tb\n", "line 2: .*column 2 is a tab"), ("- @b\n", "line 1: .*column 3 is '@'")]
)
def test_an_error_names_the_line_and_the_character(text: str, place: str) -> None:
    for read in (compose, parse_tree):
        with pytest.raises(ConfigError, match=place):
            read(text, "x.yaml")


def test_an_error_shows_no_letter_of_a_value() -> None:
    with pytest.raises(ConfigError) as caught:
        compose("- 'a'secret\n", "x.yaml")
    assert "secret" not in str(caught.value)
    assert "'s'" not in str(caught.value)


@given(st.lists(st.sampled_from([r"\ud83d\ude00", r"\\", "x", "\U0001f600", r"\"", "\n  "]), min_size=1, max_size=8))
def test_offsets_are_those_of_the_text_with_escaped_pairs(parts: list[str]) -> None:
    quoted = f'"{"".join(parts)}"'
    text = f'\ufeff- {quoted} # {quoted}\n- {{a: {quoted}, b: "c"}}\n'.replace(f"# {quoted}", "# note")
    found = [
        (start, end) for event, start, end in document_events(text, "x.yaml") if getattr(event, "style", "") == '"'
    ]
    assert [text[start:end] for start, end in found] == [quoted, quoted, '"c"']


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('- a\n- "arn:\\/x"\n', [(2, r"\/")]),
        ('["\\ud83d\\ude00",\n"\\/"]', [(1, r"\ud83d\ude00"), (2, r"\/")]),
        (r"- '\/' # \/", []),
        (r'- "\\/ \u00e9 \U0001f600"', []),
    ],
)
def test_escapes_that_go_refuses_are_found_in_double_quotes_alone(text: str, expected: list[tuple[int, str]]) -> None:
    assert list(go_refuses(text, "x.yaml")) == expected


@settings(max_examples=examples(100), deadline=None)
@given(st.text("-ab:{}[],\"'\\/ud83e0 \t\n\r#&*!|>.\ufeff\U0001f600", max_size=24))
def test_server_and_editors_agree_on_any_text(text: str) -> None:
    said = []
    for read in (compose, parse_tree):
        try:
            said.append(read(text, "x.yaml") is not None or "nothing")
        except ConfigError as error:
            said.append(str(error))
    # The editors take an empty document, and one that says `null`, for nothing at all.
    assert said[0] == said[1] or said == [True, "nothing"]
