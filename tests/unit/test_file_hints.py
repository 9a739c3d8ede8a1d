"""Mistakes in access.yaml, config.yaml and kubeconfigs: each message names file, key and cause, and the edit that puts it right."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kube_iam.config.access import parse_access
from kube_iam.config.server import check_server_config
from kube_iam.errors import ConfigError, KubeError
from kube_iam.kube.context import load_context

LEVEL: dict[str, Any] = {
    "name": "a",
    "description": "d",
    "username": "awsiam:{{SessionNameRaw}}",
    "groups": ["g"],
    "bind": [{"clusterRole": "c", "namespaces": ["n"]}, {"role": "r", "namespaces": ["n"]}],
    "sessionDuration": "1h",
    "mfa": False,
    "method": "role",
    "iam": {"role": "a", "policy": "b", "group": "c"},
}
FILE: dict[str, Any] = {
    "apiVersion": "kube-iam.dev/v1alpha1",
    "kind": "ClusterAccess",
    "cluster": {"id": "x.y", "name": "x", "endpoint": "https://a.example"},
    "account": "123456789012",
    "partition": "aws",
    "region": "eu-central-1",
    "installHint": "h",
    "mapping": {"configFile": {}},
    "levels": [LEVEL],
}


def problems(document: object) -> list[str]:
    try:
        parse_access(json.dumps(document).encode(), "access.yaml", Path())
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def paths(value: object, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*before, key)
        yield from paths(part, (*before, key))


def changed(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    document: Any = copy.deepcopy(FILE)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    found: dict[str, Any] = document
    return found


@pytest.mark.parametrize("value", ["", None, [], {}, 0, True, " ", "x" * 300, "\t", [""], [None], {"": ""}, 4.5, "{{"])
def test_odd_values_of_any_key_are_problems_of_the_file_and_nothing_else(value: object) -> None:
    assert problems(FILE) == []
    for path in paths(FILE):
        for problem in problems(changed(path, value)):
            assert problem.startswith("line "), path


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("4d", "IAM allows 1h to 12h"),
        ("1w", "IAM allows 1h to 12h"),
        ("4h30", "write 4h30m"),
        ("4 h", "write 4h"),
        ("4H", "write 4h"),
        ("4.5h", "write 4h30m"),
        ("2 hours", "write 2h"),
        ("90 min", "write 1h30m"),
        ("3600 seconds", "write 1h"),
        ("90 hours", "IAM allows 1h to 12h"),
        ("04:00:00", "IAM allows 1h to 12h"),
        ("9" * 5000, "IAM allows 1h to 12h"),
        ("9" * 5000 + "h", "IAM allows 1h to 12h"),
        ("30m", "write 1h, the shortest"),
        ("13h", "12h is the longest"),
        ("", "give a value, or leave the key out"),
        (None, "give a value, or leave the key out"),
    ],
)
def test_a_session_length_that_cannot_be_used_comes_with_the_edit(written: str | None, remedy: str) -> None:
    (said,) = problems(changed(("levels", 0, "sessionDuration"), written))
    assert said.startswith("line 1: levels[0].sessionDuration: ")
    assert remedy in said


@pytest.mark.parametrize(
    ("key", "remedy"),
    [("levels", "add `levels:` and below it an item, which begins with `- `"), ("account", "add `account: …`")],
)
def test_a_missing_key_comes_with_the_edit(key: str, remedy: str) -> None:
    (said,) = problems({name: value for name, value in FILE.items() if name != key})
    assert f"{key} is missing ({remedy}" in said


def found(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    checked = check_server_config(path, {})
    return [str(problem) for problem in (*checked.errors, *checked.warnings)]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("server.mapRoles: []", "write mapRoles below `server:`, indented"),
        ("server.port: 1", "write port below `server:`, indented"),
        ("Server.MapUsers: []", "write MapUsers below `server:`, indented"),
        ("mapUser: []", "did you mean 'mapUsers'? It belongs below `server:`, indented"),
        ("mapRolse: []", "did you mean 'mapRoles'? It belongs below `server:`, indented"),
        ("clusterId2: x", "did you mean 'clusterID'?"),
    ],
)
def test_a_key_beside_its_section_is_told_its_place(text: str, remedy: str, tmp_path: Path) -> None:
    (said,) = found(tmp_path, f"clusterID: x\n{text}\nserver: {{}}\n")
    assert said.startswith("line 2: ")
    assert f"has no effect ({remedy})" in said


@pytest.mark.parametrize(
    ("arn", "said"),
    [
        ("arn:aws-chn:iam::123456789012:role/a", "did you mean 'aws-cn'?"),
        ("arn:azure:iam::123456789012:role/a", "known partitions are aws, aws-cn, "),
        ("sandbox-admin", "an ARN looks like arn:aws:iam::123456789012:role/NAME"),
        ("arn:aws-cn:iam::123456789012:role/a", "write arn:aws:…, set server.partition to aws-cn, or remove it"),
    ],
)
def test_an_arn_of_another_or_no_partition_comes_with_the_edit(arn: str, said: str, tmp_path: Path) -> None:
    (problem,) = found(tmp_path, f"clusterID: x\nserver:\n  mapRoles: [{{rolearn: '{arn}', username: a}}]\n")
    assert problem.startswith("line 3: server.mapRoles[0].rolearn: ")
    assert said in problem


def test_a_kubeconfig_that_does_not_exist_comes_with_what_names_another() -> None:
    with pytest.raises(KubeError) as raised:
        load_context("/nonexistent/config", "prod", {})
    assert raised.value.hint == "name one that exists with --kubeconfig, or leave the option out"
