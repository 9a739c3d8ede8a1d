"""The edits of a merge in a kubeconfig entry of ours: the fields that `kube-iam kubeconfig` owns, where they differ.

`namespace`, `proxy-url`, `tls-server-name`, other variables, hints, extensions, other arguments and unknown keys stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kube_iam.kube.exec_plugin import VERSIONS as API_VERSIONS
from kube_iam.kube.kubeconfig_check import Wanted
from kube_iam.kube.kubeconfig_owner import Entry, certificates, same_server, scalar, sign_in
from kube_iam.kube.yaml.fields import Path, lookup
from kube_iam.kube.yaml.text import Value
from kube_iam.kube.yaml.tree import Node

Edit = tuple[Path, Value]


def edits(old: Entry, new: Mapping[str, Any], wanted: Wanted) -> Iterator[Edit]:
    """Yield the edits of one entry, each with its path below the entry's `cluster`, `user` or `context`."""
    if old.section == "clusters":
        yield from _cluster(old, new, wanted)
    elif old.section == "contexts":
        for key, value in new.items():
            if old.text(key) != value if key in ("cluster", "user") else old.get(key) is None:
                yield (key,), value
    else:
        yield from ((("exec", *path), value) for path, value in _plugin(old, new["exec"], wanted))


def _cluster(old: Entry, new: Mapping[str, Any], wanted: Wanted) -> Iterator[Edit]:
    if not same_server(old.text("server"), wanted.server):
        yield ("server",), wanted.server
    if wanted.authority is not None and certificates(old) != wanted.authority:
        yield ("certificate-authority-data",), new["certificate-authority-data"]


def _plugin(old: Entry, new: Mapping[str, Any], wanted: Wanted) -> Iterator[Edit]:
    now = sign_in(old, wanted.sign_in.program)
    assert now is not None
    other_program = now.program != wanted.sign_in.program
    # Another directory of the same program, and another supported version, are the user's choice unless they ask for one.
    for key in ("command", "apiVersion"):
        unusable = key == "apiVersion" and old.text("exec", key) not in API_VERSIONS
        if old.text("exec", key) != new[key] and (other_program or unusable or key in wanted.chosen):
            yield (key,), new[key]
    if now.own != wanted.sign_in.own:
        yield ("args",), [*new["args"], *now.rest]
    # The hint explains the installation of the program, so it changes with the program.
    for key in ("interactiveMode", "installHint"):
        if old.get("exec", key) is None or (other_program and key == "installHint"):
            yield (key,), new[key]
    yield from _variables(old.get("exec", "env"), new.get("env", []))


def _variables(env: Node | None, wanted: list[dict[str, str]]) -> Iterator[Edit]:
    """Yield the edits for the wanted variables. Other variables stay."""
    if env is None or env.kind != "sequence":
        if wanted:
            yield ("env",), wanted
        return
    names = [scalar(lookup(item.resolved(), "name")) for item in env.items]
    added = len(names)
    for variable in wanted:
        if variable["name"] not in names:
            yield ("env", added), variable
            added += 1
            continue
        at = names.index(variable["name"])
        if scalar(lookup(env.items[at].resolved(), "value")) != variable["value"]:
            yield ("env", at, "value"), variable["value"]
