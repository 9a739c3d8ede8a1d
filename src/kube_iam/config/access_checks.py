"""Checks of access.yaml that a JSON Schema cannot express: composed names, levels that clash, templates, session durations.

Each check reads the parts of the file that have the right shape, so that all problems of a file are reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kube_iam.access.levels import (
    DEFAULT_USERNAME,
    DEFAULT_USERNAME_OF_SYNCED_LEVEL,
    DEFAULT_USERNAMES,
    SHORTEST_SESSION_NAME,
    Method,
    TargetKind,
    user_policy_name,
)
from kube_iam.access.mapping import pathless
from kube_iam.config import access_entry_checks, iam_settings
from kube_iam.config.durations import LONGEST_SESSION, SHORTEST_SESSION, parse_duration, session_hint, show_duration
from kube_iam.config.yaml_file import KeyPath, YamlFile
from kube_iam.core.partitions import partition_of_region
from kube_iam.core.templates import GROUP_VARIABLES, VARIABLES, parse_template
from kube_iam.errors import Problem

NAME_LIMITS = {"role": 64, "policy": 128, "group": 128}
LONGEST_USER_POLICY = 128
MASTERS = "system:masters"
_LONGEST = "12h is the longest; the shorter, the sooner a revoked person is out"
_USER_NAME = "{{UserName}}"  # in a level without a role what {{SessionNameRaw}} is in one with a role

# Text before the only value, which a colon ends: no other level's value can make the same user name.
_SYNCED_USERNAME = re.compile(r"(?:[^{}]|\{\{AccountID\}\})+:\{\{SessionName(?:Raw)?\}\}")

_OWN_KEYS = {"permission set": "permissionSet", "mapped role": "mappedRole"}

# Methods whose role others manage, each with a key of its own: what the key takes, an example, who manages the role, and a remedy.
_MANAGED_ELSEWHERE = {
    Method.PERMISSION_SET: (
        "the name of the permission set",
        "NAME",
        "IAM Identity Center manages role, sessions and users",
        "leave it out, and set it in IAM Identity Center",
    ),
    Method.MAPPED_ROLE: (
        "the ARN of the role",
        "ARN",
        "others manage the role, and who may assume it",
        "leave it out, or use method: role, with iam: {role: NAME, existing: true} for a role that exists",
    ),
}
_KEYS_IN_IAM = ("mfa", "sessionDuration", "membershipCheck", "iam", "members")


def check_semantics(file: YamlFile, cluster_name: str) -> list[Problem]:
    """Return the problems of the document in `file`, whose data is a mapping. IAM names contain `cluster_name`, a short name."""
    document = _mapping(file.data)
    problems = [*_check_cluster(file, document), *_check_partition(file, document)]
    problems += iam_settings.check_file(file, document)
    problems += _check_access_entries(file, document)
    naming = iam_settings.naming_of(document).replace("{cluster}", cluster_name)
    levels = _levels(document)
    for index, level in levels:
        path = ("levels", index)
        names = iam_names(level, naming)
        problems += _check_by_group(file, path, level)
        problems += _check_managed_elsewhere(file, path, level)
        problems += _check_mapping(file, path, level, document)
        problems += iam_settings.check_level(file, path, level, document)
        problems += _check_names(file, path, names)
        problems += _check_user_policy(file, path, level, cluster_name)
        problems += _check_session(file, path, level)
        problems += _check_username(file, path, level, document)
        problems += _check_synced(file, path, level, document)
        problems += _check_groups(file, path, level)
        problems += _check_binds(file, path, level)
        problems += _check_members(file, path, level)
    problems += _check_clashes(file, document, naming)
    return problems


def _levels(document: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    found = document.get("levels")
    return [(index, level) for index, level in enumerate(_list(found)) if isinstance(level, dict)]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(holder: dict[str, Any], key: str, default: str = "") -> str:
    value = holder.get(key, default)
    return value if isinstance(value, str) else ""


def _check_cluster(file: YamlFile, document: dict[str, Any]) -> Iterator[Problem]:
    cluster = _mapping(document.get("cluster"))
    if {"certificateAuthority", "certificateAuthorityData"} <= cluster.keys():
        yield file.problem(
            ("cluster", "certificateAuthorityData"), "stands beside certificateAuthority", "keep one of the two"
        )


def _check_partition(file: YamlFile, document: dict[str, Any]) -> Iterator[Problem]:
    region, partition = _text(document, "region"), _text(document, "partition")
    if region and partition and partition_of_region(region) != partition:
        belongs = partition_of_region(region)
        yield file.problem(("partition",), f"region {region} is in partition {belongs}", "leave partition out")


def iam_names(level: dict[str, Any], naming: str) -> dict[str, str]:
    """Return the IAM names of a level by kind (`role`, `policy`, `group`): as written, else by the template `naming`, in which only
    `{level}` is left. They are empty without a usable name of the level.
    """
    given, method, name = _mapping(level.get("iam")), _method_of(level), _text(level, "name")
    if not method.is_in_iam:
        return {}
    kinds = [kind for kind in NAME_LIMITS if kind != "role" or method is Method.ROLE]
    return {kind: _text(given, kind, naming.replace("{level}", name) if name else "") for kind in kinds}


def _method_of(level: dict[str, Any]) -> Method:
    """Return the method of a level. A value that is no method counts as the default: the structure check refuses it."""
    try:
        return Method(level.get("method", Method.ROLE))
    except ValueError:
        return Method.ROLE


def _check_by_group(file: YamlFile, path: KeyPath, level: dict[str, Any]) -> Iterator[Problem]:
    if _method_of(level) is not Method.GROUP:
        return
    if level.get("mfa") is True:
        message = (
            "cannot be asked for with method group: what AWS tells about a signature does not say whether there was MFA"
        )
        yield file.problem((*path, "mfa"), message, "method: role, whose trust policy AWS itself enforces")
    if "sessionDuration" in level:
        message = "means nothing with method group: there is no session"
        yield file.problem((*path, "sessionDuration"), message, "leave it out")
    if "role" in _mapping(level.get("iam")):
        yield file.problem((*path, "iam", "role"), "means nothing with method group: there is no role", "leave it out")
    if level.get("membershipCheck") == "assumeRole":
        message = "means nothing with method group: nobody assumes a role, and the server checks each sign-in"
        yield file.problem((*path, "membershipCheck"), message, "leave it out")


def _check_managed_elsewhere(file: YamlFile, path: KeyPath, level: dict[str, Any]) -> Iterator[Problem]:
    for method, (wanted, example, manager, remedy) in _MANAGED_ELSEWHERE.items():
        key = method.value
        if _method_of(level) is not method:
            if key in level:
                yield file.problem((*path, key), f"goes with method {key}", f"write method: {key}")
            continue
        if key not in level:
            yield file.problem((*path, "method"), f"takes {wanted}", f"add `{key}: {example}`")
        for each in _KEYS_IN_IAM:
            if each in level:
                yield file.problem((*path, each), f"means nothing with method {key}: {manager}", remedy)


def _check_mapping(file: YamlFile, path: KeyPath, level: dict[str, Any], document: dict[str, Any]) -> Iterator[Problem]:
    method, mapping = _method_of(level), _mapping(document.get("mapping"))
    if method is Method.GROUP and "crd" in mapping:
        message = "cannot be mapped by IAMIdentityMapping objects, which name a role or a user"
        yield file.problem((*path, "method"), message, "method: role, or another mapping")
    if method is Method.GROUP and _has_access_entries(document):
        message = "cannot be mapped by EKS access entries, which name a role or a user"
        yield file.problem((*path, "method"), message, "method: role, or another mapping")
    targets = [kind for kind in TargetKind if kind.value in mapping]
    if method is Method.PERMISSION_SET and any(not kind.takes_permission_sets for kind in targets):
        message = f"the authenticator that reads {targets[0].value} knows no permission sets (`sso`)"
        remedy = (
            "map the role of the permission set by hand (its ARN without path, with the 16 digits at its end), or use another"
            " mapping or method"
        )
        if _has_access_entries(document):
            remedy = (
                "write method: mappedRole, with the ARN of the permission set's role as mappedRole: with its path and the 16 digits"
                " at its end"
            )
        yield file.problem((*path, "method"), message, remedy)


def _has_access_entries(document: dict[str, Any]) -> bool:
    return TargetKind.ACCESS_ENTRIES.value in _mapping(document.get("mapping"))


def _check_access_entries(file: YamlFile, document: dict[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a file whose mapping is access entries of EKS; none for other files."""
    if not _has_access_entries(document):
        return
    levels = _levels(document)
    by_role = [(index, level) for index, level in levels if _method_of(level) is Method.ROLE]
    yield from access_entry_checks.check_cluster_name(file, _text(_mapping(document.get("cluster")), "id"))
    yield from access_entry_checks.check_membership(file, document, by_role)
    for index, level in levels:
        groups = [str(group) for group in _list(level.get("groups"))]
        if _method_of(level).has_role:
            yield from access_entry_checks.check_names(file, ("levels", index), _username(level, document), groups)


def _check_names(file: YamlFile, path: KeyPath, names: dict[str, str]) -> Iterator[Problem]:
    for kind, name in names.items():
        if len(name) > NAME_LIMITS[kind]:
            message = f"the IAM {kind} would be named {name!r}: {len(name)} characters, at most {NAME_LIMITS[kind]} are allowed"
            hint = f"set iam.{kind}, or a shorter cluster.name or iam.naming"
            yield file.problem((*path, "iam", kind), message, hint)


def _check_user_policy(file: YamlFile, path: KeyPath, level: dict[str, Any], cluster_name: str) -> Iterator[Problem]:
    own = user_policy_name(cluster_name, _text(level, "name"))
    if len(own) > LONGEST_USER_POLICY:
        message = f"users' own policies would be named {own!r}: at most {LONGEST_USER_POLICY} characters are allowed"
        yield file.problem((*path, "name"), message, "a shorter name, or a shorter cluster.name")


def _check_session(file: YamlFile, path: KeyPath, level: dict[str, Any]) -> Iterator[Problem]:
    written = _text(level, "sessionDuration", "1h")
    if not written:
        return
    where = (*path, "sessionDuration")
    try:
        seconds = parse_duration(written)
    except ValueError:
        yield file.problem(where, f"{written!r} is not a length of time", session_hint(written))
        return
    if not SHORTEST_SESSION <= seconds <= LONGEST_SESSION:
        hint = "write 1h, the shortest" if seconds < SHORTEST_SESSION else _LONGEST
        yield file.problem(where, f"{show_duration(seconds)} is out of range: IAM allows 1h to 12h", hint)


def _is_synced(level: dict[str, Any], document: dict[str, Any]) -> bool:
    check = level.get("membershipCheck") or document.get("membershipCheck")
    return check == "rbac" and _method_of(level) is Method.ROLE


def _check_synced(file: YamlFile, path: KeyPath, level: dict[str, Any], document: dict[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a level whose bindings name its members. The user name alone gives the rights of the level."""
    if level.get("membershipCheck") == "rbac" and _method_of(level) is not Method.ROLE:
        yield file.problem((*path, "membershipCheck"), "rbac is for method role", "leave it out")
    if not _is_synced(level, document):
        return
    if "groups" in level:
        message = "means nothing with membershipCheck rbac: the bindings name the members"
        yield file.problem((*path, "groups"), message, "leave it out")
    if not _list(level.get("bind")):
        message = "is needed with membershipCheck rbac: the bindings name the members"
        yield file.problem((*path, "bind"), message, "such as bind: [{clusterRole: view}]")
    username = _username(level, document)
    if username and not _SYNCED_USERNAME.fullmatch(username):
        message = "has to end with {{SessionNameRaw}} or {{SessionName}} after a colon, with membershipCheck rbac"
        example = DEFAULT_USERNAME_OF_SYNCED_LEVEL.format(level=_text(level, "name"))
        yield file.problem((*path, "username"), message, f"{example}, the default")


def _check_username(
    file: YamlFile, path: KeyPath, level: dict[str, Any], document: dict[str, Any]
) -> Iterator[Problem]:
    username, where = _username(level, document), (*path, "username")
    by_group = _method_of(level) is Method.GROUP
    if not username:
        return  # empty, or no text: the structure check has said so
    if username.casefold().startswith("system:"):
        yield file.problem(where, "names in system: belong to Kubernetes itself", "another prefix, such as awsiam:")
    if by_group and "{{SessionName" in username:
        yield file.problem(where, "with method group there is no session", "the IAM user's name is {{UserName}}")
        return
    if _USER_NAME in username and not by_group:
        yield file.problem(where, f"{_USER_NAME} is for method group", "the IAM user's name is {{SessionNameRaw}}")
        return
    try:
        template = parse_template(username, GROUP_VARIABLES if by_group else VARIABLES)
    except ValueError as error:
        yield file.problem(where, str(error))
        return
    if template.needs_ec2:
        yield file.problem(where, "{{EC2PrivateDNSName}} is for nodes, and levels are for people", DEFAULT_USERNAME)


def _username(level: dict[str, Any], document: dict[str, Any]) -> str:
    default = DEFAULT_USERNAMES[_method_of(level)]
    if _is_synced(level, document):
        default = DEFAULT_USERNAME_OF_SYNCED_LEVEL.format(level=_text(level, "name"))
    return _text(level, "username", default)


def _check_groups(file: YamlFile, path: KeyPath, level: dict[str, Any]) -> Iterator[Problem]:
    for index, group in enumerate(_list(level.get("groups"))):
        where = (*path, "groups", index)
        if not isinstance(group, str):
            continue
        if "{{" in group:
            yield file.problem(where, "a template in a group would let sessions choose groups", "name the group itself")
        if group.casefold().startswith("system:") and group != MASTERS:
            yield file.problem(
                where, f"{group} is a group of Kubernetes itself", "another name, and bind a ClusterRole to it"
            )


def _check_binds(file: YamlFile, path: KeyPath, level: dict[str, Any]) -> Iterator[Problem]:
    seen: set[tuple[str, str, str]] = set()
    for index, bind in enumerate(_list(level.get("bind"))):
        if not isinstance(bind, dict):
            continue
        where = (*path, "bind", index)
        if ("clusterRole" in bind) == ("role" in bind):
            yield file.problem(where, "takes exactly one of clusterRole, role")
        elif "role" in bind and "namespaces" not in bind:
            yield file.problem(where, "a role needs namespaces", "say where it is, or name a clusterRole")
        for namespace in _list(bind.get("namespaces")) or [""]:
            key = (_text(bind, "clusterRole"), _text(bind, "role"), str(namespace))
            if key in seen:
                place = f"in namespace {namespace}" if namespace else "in the whole cluster"
                yield file.problem(where, f"{key[0] or key[1]} {place} is granted twice", "keep one of the two")
            seen.add(key)


def _check_members(file: YamlFile, path: KeyPath, level: dict[str, Any]) -> Iterator[Problem]:
    """Add problems of names that IAM takes for one user, or that cannot be the name of a session."""
    if "members" in level and _has_existing_group(level):
        message = "means nothing with an existing group, from which apply removes nobody"
        yield file.problem((*path, "members"), message, "leave it out, and use grant and revoke")
    seen: dict[str, str] = {}
    for index, user in enumerate(_list(level.get("members"))):
        where = (*path, "members", index)
        if not isinstance(user, str):
            continue
        first = seen.setdefault(user.casefold(), user)
        if first != user:
            message = f"{user} and {first} are one IAM user: names do not differ by letter case alone"
            yield file.problem(where, message, "keep the one that IAM shows")
        if 0 < len(user) < SHORTEST_SESSION_NAME and _method_of(level) is not Method.GROUP:
            message = f"{user!r} cannot sign in: sessions are named after their IAM user, and AWS takes names of 2 to 64 characters"
            yield file.problem(where, message, "rename the IAM user (aws iam update-user), or use method: group")


def _check_clashes(file: YamlFile, document: dict[str, Any], naming: str) -> Iterator[Problem]:
    """Add problems of levels that share what tells levels apart. IAM names do not differ by letter case alone."""
    seen: dict[tuple[str, object], str] = {}
    places: dict[str, str] = {}  # where each level is, if there are several files
    groups_in_use: dict[str, list[dict[str, Any]]] = {}
    for index, level in _levels(document):
        name, path = _text(level, "name"), ("levels", index)
        if not name:
            continue
        if name.casefold() in places:
            message = f"level {name} is repeated{places[name.casefold()]}"
            yield file.problem((*path, "name"), message, "each level once")
            continue
        source = file.file_of(*path)
        places[name.casefold()] = f" ({source} line {file.line(*path)})" if source else ""
        groups = frozenset(str(group) for group in _list(level.get("groups", [f"kube-iam:{name}"])))
        names = iam_names(level, naming)
        shared = {kind: found.casefold() for kind, found in names.items() if found}
        if _method_of(level) is Method.PERMISSION_SET and _text(level, "permissionSet"):
            shared["permission set"] = _text(level, "permissionSet").casefold()
        if _method_of(level) is Method.MAPPED_ROLE and _text(level, "mappedRole"):
            shared["mapped role"] = pathless(_text(level, "mappedRole"))
        group = shared.pop("group", "")
        yield from _check_shared_group(file, path, level, group, groups_in_use.setdefault(group, []))
        username = _username(level, document).replace(_USER_NAME, "{{SessionNameRaw}}")
        groups = frozenset() if _is_synced(level, document) else groups
        for what, value in (*shared.items(), ("username", (username, groups))):
            other = seen.setdefault(_identity(what, value, _text(document, "account")), name)
            if other == name:
                continue
            place = places[other.casefold()]
            if what == "username":
                message = f"level {name} has the user name and groups of level {other}{place}: the cluster cannot tell them apart"
                yield file.problem(path, message, "give it other groups")
            else:
                message = f"the IAM {what} {value} is also level {other}'s{place}"
                where = (*path, _OWN_KEYS[what]) if what in _OWN_KEYS else (*path, "iam", what)
                yield file.problem(where, message, "another name")


def _identity(what: str, value: object, account: str) -> tuple[str, object]:
    """Return the key of what levels may not share. A mapped role of the account is the same as a level's own or existing role."""
    own = f":iam::{account}:role/"
    if what == "mapped role" and isinstance(value, str) and own in value:
        return "role", value.partition(own)[2]
    return what, value


def _check_shared_group(
    file: YamlFile, path: KeyPath, level: dict[str, Any], group: str, before: list[dict[str, Any]]
) -> Iterator[Problem]:
    """Yield the problem of a group that levels share. Levels may share an existing one, but only one of them by method group."""
    others, where = list(before), (*path, "iam", "group")
    before.append(level)
    if not group or not others:
        return
    if not all(_has_existing_group(each) for each in (level, *others)):
        hint = "another name, or, for a group that exists and is not kube-iam's, existing: true at each of these levels"
        yield file.problem(where, f"the IAM group {group} is also level {_text(others[0], 'name')}'s", hint)
        return
    rival = next((each for each in others if _method_of(each) is Method.GROUP), None)
    if rival is not None and _method_of(level) is Method.GROUP:
        message = f"the IAM group {group} admits its members to level {_text(rival, 'name')} already, by method group"
        yield file.problem(where, message, "another group, or method: role for one of the two")


def _has_existing_group(level: dict[str, Any]) -> bool:
    return "group" in iam_settings.existing_kinds(_mapping(level.get("iam")))
