"""Checks of an access file whose mapping is access entries of EKS: what its authenticator does not know, and what its API refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kube_iam.config.yaml_file import KeyPath, YamlFile
from kube_iam.core.access_entries import SESSION_NAMES, access_entry_refusals
from kube_iam.errors import Problem

_EKS_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}", re.ASCII)
_VARIABLE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_SIGN_IN = "signIn"
_WHY = "EKS's own authenticator reads no IAM groups, and kube-iam's server cannot run there"
_REMEDY = (
    "write membershipCheck: assumeRole: AWS checks membership when the role is assumed, and a removed member keeps a session until"
    " it ends (sessionDuration, 1h at least); or rbac, with `kube-iam sync` in the cluster: a removed member loses all rights at once"
)


def check_cluster_name(file: YamlFile, cluster_id: str) -> Iterator[Problem]:
    """Yield the problem of a cluster id that cannot be the name of an EKS cluster."""
    if cluster_id and not _EKS_NAME.fullmatch(cluster_id):
        message = f"{cluster_id!r} is no name of an EKS cluster, and with mapping accessEntries it has to be one"
        hint = "write the name that `aws eks list-clusters` shows: letters, digits, - and _, at most 100 characters"
        yield file.problem(("cluster", "id"), message, hint)


def check_membership(
    file: YamlFile, document: dict[str, Any], levels: list[tuple[int, dict[str, Any]]]
) -> Iterator[Problem]:
    """Yield the problems of levels whose membership a server would have to check at each sign-in.

    `levels` are those with a role of their own or an existing one, by their positions.
    """
    if any("membershipCheck" not in level for _, level in levels):
        if "membershipCheck" not in document:
            message = f"is signIn by default, which cannot work with mapping accessEntries: {_WHY}"
            yield file.problem(("membershipCheck",), message, _REMEDY)
        elif document["membershipCheck"] == _SIGN_IN:
            message = f"signIn cannot work with mapping accessEntries: {_WHY}"
            yield file.problem(("membershipCheck",), message, _REMEDY)
    for index, level in levels:
        if level.get("membershipCheck") == _SIGN_IN:
            message = f"signIn cannot work with mapping accessEntries: {_WHY}"
            yield file.problem(("levels", index, "membershipCheck"), message, _REMEDY)


def check_names(file: YamlFile, path: KeyPath, username: str, groups: list[str]) -> Iterator[Problem]:
    """Yield what EKS refuses of a level's user name and groups, and variables of user names that it does not document."""
    hint = "write awsiam:{{SessionNameRaw}}, the default, or another prefix that ends in a colon"
    for refusal in access_entry_refusals(username):
        yield file.problem((*path, "username"), f"an EKS access entry refuses it: {refusal}", hint)
    for variable in dict.fromkeys(_VARIABLE.findall(username)):
        if variable not in SESSION_NAMES:
            message = f"EKS documents {' and '.join(SESSION_NAMES)} for access entries, and not {variable}"
            yield file.problem((*path, "username"), message, hint)
        elif not username.endswith(variable):
            yield file.problem((*path, "username"), f"EKS documents {variable} at the end of a user name only", hint)
    for index, group in enumerate(groups):
        for refusal in access_entry_refusals("", [group]):
            hint = "name a group of your own, and bind a ClusterRole such as cluster-admin to it"
            yield file.problem((*path, "groups", index), f"an EKS access entry refuses it: {refusal}", hint)
