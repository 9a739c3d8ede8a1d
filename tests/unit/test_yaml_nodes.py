import json
from io import StringIO
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kube_iam.config.yaml_file import parse_yaml
from kube_iam.config.yaml_nodes import CORE, MappingNode, ScalarNode, compose
from kube_iam.errors import ConfigError

SCALARS = [
    "1",
    "01",
    "0o17",
    "0x1F",
    "0b11",
    "1_000",
    "+5",
    "-3",
    "1.5",
    ".5",
    "1.",
    "1e3",
    "-1.2e-3",
    ".inf",
    "-.INF",
    ".nan",
    "+",
    ".",
    "~",
    "null",
    "Null",
    "nULL",
    "true",
    "TRUE",
    "True",
    "tRUE",
    "yes",
    "on",
    "no",
    "off",
    "y",
    "n",
    "12:30:45",
    "<<",
    "012345670123",
    "0123",
    "08",
    "1__0",
    "_1",
    "0x",
    "0o",
    "0b",
    "1e",
    "1.2.3",
    "0o8",
    "-0x1",
    "00",
    "1e+5",
    "1.e3",
    ".e3",
    "Infinity",
    "nan",
    "NaN",
    "+.inf",
    "+.nan",
    "None",
    "'null'",
    '"1"',
]

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=12)
names = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
leaves = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | words | st.sampled_from(SCALARS)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=20
)


@pytest.mark.parametrize("scalar", SCALARS)
def test_a_scalar_means_what_the_library_that_edits_our_files_takes_it_for(scalar: str) -> None:
    theirs: Any = YAML(typ="safe", pure=True).compose(f"a: {scalar}").value[0][1]
    root = compose(f"a: {scalar}", "x.yaml")
    assert isinstance(root, MappingNode)
    ours = root.value[0][1]
    assert isinstance(ours, ScalarNode)
    assert (ours.tag, ours.value) == (str(theirs.tag), theirs.value)


@pytest.mark.parametrize("date", ["2026-01-01", "2026-01-01T00:00:00Z", "="])
def test_dates_are_text(date: str) -> None:
    assert parse_yaml(f"a: {date}", "x.yaml").data == {"a": date}


@given(documents, st.booleans())
def test_what_was_written_by_a_program_is_read_as_it_was(document: object, flow: bool) -> None:
    text = yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True)
    if "&" not in text:
        assert parse_yaml(text, "x.yaml").data == YAML(typ="safe", pure=True).load(StringIO(text))
    assert parse_yaml(json.dumps(document), "x.yaml").data == document


def test_every_entry_of_a_long_list_knows_its_line() -> None:
    document = parse_yaml("".join(f"- name: n{number}\n  more: [1,\n   2]\n" for number in range(2000)), "x.yaml")
    assert document.problems == []
    assert document.line(1999) == 1999 * 3 + 1
    assert document.line(1999, "more") == 1999 * 3 + 2
    assert document.line(1999, "more", 1) == 1999 * 3 + 3


@pytest.mark.parametrize("text", ["- " * 100_000, "[" * 100_000, "{a: " * 900, "? " * 100_000, "a:\n" + " - " * 200])
def test_no_depth_of_nesting_ends_the_process(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_yaml(text, "x.yaml")


@pytest.mark.parametrize(("text", "line"), [("a: 1\nb: [\n", 3), ("a: 1\nb: *c\n", 2), ("a: 1\n---\nb: 1\n", 2)])
def test_an_error_of_the_parser_names_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "x.yaml")
    assert caught.value.problems[0].line == line


def test_a_tag_that_somebody_wrote_is_kept() -> None:
    root = compose("!!str 1", "x.yaml")
    assert isinstance(root, ScalarNode)
    assert (root.tag, root.value, root.line) == (CORE + "str", "1", 1)
