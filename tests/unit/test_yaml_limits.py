"""YAML that stands for more than its text: refused before anything is built of it, by every reader, with file, line and limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from identities import principal
from kube_iam.cli.token import read_settings
from kube_iam.config import memberships, yaml_events, yaml_file
from kube_iam.config.access import load_access
from kube_iam.config.config_map import read_config_map
from kube_iam.config.mounted import load_mounted_mappings
from kube_iam.config.server import check_server_config, load_server_config
from kube_iam.config.yaml_file import parse_yaml
from kube_iam.errors import ConfigError
from kube_iam.kube.aws_auth import appended, new_user
from kube_iam.kube.context import load_context
from kube_iam.kube.kubeconfig_merge import read_entries
from kube_iam.kube.mapping_list import SERVER, MappingList
from kube_iam.kube.yaml.tree import parse_tree

ARN = "arn:aws:iam::111122223333"
VALUES = r"line \d+: .*has more than 250,000 values, aliases followed"
DEPTH = r"line \d+: .*is nested more than 100 deep, aliases followed"


def doubling(levels: int, first: str, one: str) -> str:
    """Each anchor stands for the one before, ten times over. `one` is a line, with `{}` for the aliases."""
    lines = [f"x0: &a0 {first}"]
    lines += [f"x{level}: &a{level} {one.format(', '.join([f'*a{level - 1}'] * 10))}" for level in range(1, levels)]
    return "\n".join(lines) + "\n"


ENTRY = f"{{rolearn: '{ARN}:role/x', username: x, groups: [{', '.join(['g'] * 500)}]}}"
BOMBS = {
    "merge keys": (doubling(22, "{k: v}", "{{<<: [{}]}}"), VALUES),
    "lists": (doubling(22, "[x, x]", "[{}]"), VALUES),
    "values": (doubling(22, "[x, x]", "{{v: [{}]}}"), VALUES),
    "keys": (doubling(22, "[x, x]", "{{? [{}] : v}}"), VALUES),
    "one entry many times": (f"e: &e {ENTRY}\nserver:\n  mapRoles: [{', '.join(['*e'] * 600)}]\n", VALUES),
    "one list in many entries": (
        f"g: &g [{', '.join(['g'] * 500)}]\nserver:\n  mapRoles:\n"
        + f"  - {{rolearn: '{ARN}:role/x', username: x, groups: *g}}\n" * 600,
        VALUES,
    ),
    "an anchor again and again": ("x: &a [x, x]\n" + "x: &a [*a, *a, *a, *a]\n" * 20, VALUES),
    "plain nesting": ("x: " + "[" * 101, DEPTH),
    "nesting through aliases": (
        "".join(f"x{n}: &a{n} [*a{n - 1}]\n" if n else "x0: &a0 []\n" for n in range(102)),
        DEPTH,
    ),
    "nesting through merge keys": (
        "".join(f"x{n}: &a{n} {{<<: *a{n - 1}}}\n" if n else "x0: &a0 {k: v}\n" for n in range(102)),
        DEPTH,
    ),
}


def kubeconfig(path: Path) -> None:
    load_context(str(path), "", {})


def as_config_map_key(path: Path) -> None:
    """aws-auth keeps the key's last good value, and reports."""
    good = f"- {{rolearn: '{ARN}:role/admin', username: admin}}"
    loaded = read_config_map({"mapRoles": path.read_text()}, {"mapRoles": good})
    role = principal(f"{ARN}:role/admin")
    assert loaded.table.find(role) is not None
    assert loaded.good == {"mapRoles": good}
    raise ConfigError(str(path), loaded.problems)


READERS: dict[str, Callable[[Path], object]] = {
    "the server's settings": lambda path: load_server_config(path, {}),
    "the server's mappings": load_mounted_mappings,
    "server --check-config": lambda path: check_server_config(path, {}),
    "aws-auth in the server": as_config_map_key,
    "access.yaml": load_access,
    "plan, apply, grant: config.yaml": lambda path: MappingList(SERVER, str(path)).entries(path.read_text()),
    "plan, apply, grant: aws-auth": lambda path: MappingList((), str(path), "mapRoles").entries(path.read_text()),
    "add": lambda path: appended(path.read_text(), new_user(f"{ARN}:user/x", "x", []), str(path)),
    "a kubeconfig": kubeconfig,
    "kubeconfig --merge": lambda path: read_entries({path: path.read_text()}),
    "token -c": lambda path: read_settings(str(path)),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_with_file_line_and_limit(tmp_path: Path, bomb: str, reader: str) -> None:
    path = tmp_path / "file.yaml"
    text, message = BOMBS[bomb]
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        READERS[reader](path)
    assert str(path) in str(caught.value)


PARSERS = [parse_yaml, parse_tree]


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a: [x, y]", 5),
        ("a: &a [x, y]\nb: *a", 9),
        ("a: &a x\nb: *a", 5),
        ("a: &a {k: v}\nb: {<<: *a, c: d}", 13),
        ("a: &a [x]\nb: &a [*a, *a]\nc: *a", 16),
    ],
)
def test_the_limit_counts_aliases_as_what_they_stand_for(
    monkeypatch: pytest.MonkeyPatch, parse: Callable[[str, str], object], text: str, values: int
) -> None:
    monkeypatch.setattr(yaml_events, "MAX_VALUES", values)
    parse(text, "x.yaml")
    monkeypatch.setattr(yaml_events, "MAX_VALUES", values - 1)
    with pytest.raises(ConfigError, match="has more than"):
        parse(text, "x.yaml")


@pytest.mark.parametrize("parse", PARSERS)
def test_the_limit_of_depth_is_exact(parse: Callable[[str, str], object]) -> None:
    deepest = "[" * 100 + "]" * 100
    parse(deepest, "x.yaml")
    parse(f"[{deepest[1:-1]}]", "x.yaml")
    with pytest.raises(ConfigError, match="nested more than 100 deep"):
        parse(f"[{deepest}]", "x.yaml")


@pytest.mark.parametrize(("parse", "most"), [(parse_yaml, "MAX_CHARACTERS"), (parse_tree, "MAX_EDITED_CHARACTERS")])
def test_a_text_that_is_too_long_is_not_parsed(parse: Callable[[str, str], object], most: str) -> None:
    with pytest.raises(ConfigError, match=r"x.yaml: is longer than [\d,]+ characters"):
        parse("#" * (getattr(yaml_events, most) + 1), "x.yaml")


def test_ten_thousand_entries_with_anchors_are_within_the_limits() -> None:
    text = "- &first {rolearn: x, username: u, groups: [a, b], iamGroup: g, level: l}\n"
    text += "- {<<: *first, rolearn: y}\n" * 10_000
    document = parse_yaml(text, "x.yaml")
    assert document.problems == []
    assert isinstance(document.data, list)
    assert len(document.data) == 10_001


def test_suggestions_for_unknown_keys_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []

    def suggestion(word: str, choices: object) -> str:
        words.append(word)
        return "did you mean?"

    monkeypatch.setattr(yaml_file, "suggestion", suggestion)
    text = "".join(f"  prot{number}: 1\n" for number in range(300))
    document = parse_yaml(f"clusterID: x\nserver:\n{text}", "x.yaml")
    assert [document.suggestion(f"prot{number}", ("port",)) for number in range(300)] == ["did you mean?"] * 100 + [
        ""
    ] * 200
    assert len(words) == 100


def test_beyond_a_thousand_misspelt_keys_an_entry_admits_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    def closest_key(word: str, choices: object) -> str:
        searched.append(word)
        return ""

    monkeypatch.setattr(memberships, "closest_key", closest_key)
    keys = ", ".join(f"zz{number}: x" for number in range(1000))
    text = f"- {{rolearn: '{ARN}:role/a', username: a, {keys}}}\n- {{rolearn: '{ARN}:role/b', username: b, more: x}}\n"
    # The same key in every entry is looked up once.
    text += "".join(f"- {{rolearn: '{ARN}:role/c{number}', username: c, zz1: x}}\n" for number in range(50))
    table = read_config_map({"mapRoles": text}, {}).table
    assert len(searched) == 1000

    def usable(role: str) -> bool:
        found = table.find(principal(f"{ARN}:role/{role}"))
        assert found is not None
        return found.username.usable

    assert usable("a")
    assert not usable("b")
    assert usable("c49")
