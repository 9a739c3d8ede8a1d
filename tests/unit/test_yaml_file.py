from pathlib import Path

import pytest

from kube_iam.config.yaml_file import key_path, parse_yaml, read_yaml
from kube_iam.errors import ConfigError


def test_values_keep_their_line_and_their_spelling() -> None:
    document = parse_yaml("server:\n  mapAccounts:\n  - 012345670123\n  - '000000000001'\n  port: 21362\n", "x.yaml")
    assert document.data == {"server": {"mapAccounts": [12345670123, "000000000001"], "port": 21362}}
    assert document.text("server", "mapAccounts", 0) == "012345670123"
    assert document.line("server", "mapAccounts", 1) == 4
    assert document.line("server", "port") == 5
    assert document.line("server", "gone") is None


def test_a_problem_below_a_missing_key_points_at_what_is_there() -> None:
    problem = parse_yaml("a: 1\nserver:\n  port: 1\n", "x.yaml").problem(("server", "clusterID"), "is required")
    assert (problem.key, problem.line) == ("server.clusterID", 2)


def test_a_repeated_key_is_a_problem_with_its_line() -> None:
    document = parse_yaml("a:\n  b: 1\n  b: 2\n", "x.yaml")
    assert [(problem.key, problem.line) for problem in document.problems] == [("a.b", 3)]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("on: yes", {"on": "yes"}),
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("a: 0o17", {"a": 15}),
        ("a: 1.5\nb: true\nc: null\nd: ''", {"a": 1.5, "b": True, "c": None, "d": ""}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("123: a", {"123": "a"}),
    ],
)
def test_the_core_schema_decides_what_a_scalar_is(text: str, data: object) -> None:
    document = parse_yaml(text, "x.yaml")
    assert (document.data, document.problems) == (data, [])


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\t- x", "a: 1\n---\nb: 2\n", "a: *nowhere", "a: \x00"])
def test_what_is_no_single_yaml_document_is_an_error_that_names_the_source(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "some/config.yaml")
    assert str(caught.value).startswith("some/config.yaml: ")


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: !secret b", "a: !!binary aGk=", "? [1, 2]\n: 3", "a: !!set {x}"])
def test_odd_yaml_is_a_problem_and_not_data(text: str) -> None:
    assert parse_yaml(text, "x.yaml").problems


def test_aliases_that_multiply_are_refused_before_they_take_time_or_memory() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    with pytest.raises(ConfigError, match=r"x.yaml: line 7: has more than 250,000 values, aliases followed"):
        parse_yaml("\n".join(lines), "x.yaml")


def test_deep_nesting_is_an_error_and_not_a_crash() -> None:
    with pytest.raises(ConfigError):
        parse_yaml("[" * 5000 + "]" * 5000, "x.yaml")


def test_an_unreadable_file_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_yaml(tmp_path / "latin.yaml")


def test_key_paths_read_like_the_file() -> None:
    assert key_path("server", "mapRoles", 0, "rolearn") == "server.mapRoles[0].rolearn"
    assert key_path("odd key", "b") == "['odd key'].b"
