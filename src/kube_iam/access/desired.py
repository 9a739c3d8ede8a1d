"""Desired state: the IAM documents, the IAM resources, the bindings and the mapping entry of each level.

IAM returns documents with lists and single values interchanged and with keys in another order. `same_document` ignores that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kube_iam.access.levels import ClusterAccess, Level, MemberList, Method, TargetKind
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.ports import BindingState
from kube_iam.core.arns import Sso, strip_role_path
from kube_iam.core.member_source import MemberSource
from kube_iam.core.utc import parse_rfc3339

VERSION = "2012-10-17"  # policy variables such as ${aws:username} need this version of the language


def iam_arn(access: ClusterAccess, resource: str) -> str:
    """Return the ARN of a resource in IAM of the file's account. `resource` is its kind, path and name, such as `role/name`."""
    return f"arn:{access.partition}:iam::{access.account}:{resource}"


def role_arn(access: ClusterAccess, level: Level) -> str:
    """Return the role's ARN with its path, as IAM and `token -r` take it."""
    return iam_arn(access, f"role{level.role_path}{level.role_name}")


def mapped_arn(access: ClusterAccess, level: Level) -> str:
    """Return the role's ARN without its path, as STS shows it and the authenticator compares it."""
    return iam_arn(access, f"role/{level.role_name}")


def policy_arn(access: ClusterAccess, level: Level) -> str:
    """Return the ARN of the level's policy."""
    return iam_arn(access, f"policy{level.path}{level.policy_name}")


def trust_document(access: ClusterAccess, level: Level) -> dict[str, object]:
    """Return the role's trust policy: IAM users of the account, each with their own user name as session name.

    For a caller that is no IAM user `${aws:username}` has no value, so that the condition never holds.
    """
    return _level_trust(access, mfa=level.mfa)


def is_level_trust(access: ClusterAccess, document: object) -> bool:
    """Return whether a trust policy is that of a level, with MFA or without."""
    return any(same_document(document, _level_trust(access, mfa=mfa)) for mfa in (False, True))


def _level_trust(access: ClusterAccess, *, mfa: bool) -> dict[str, object]:
    condition: dict[str, object] = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}
    if mfa:
        condition["Bool"] = {"aws:MultiFactorAuthPresent": "true"}
    statement = {
        "Sid": "AssumeRoleAsOwnUserName",
        "Effect": "Allow",
        "Principal": {"AWS": iam_arn(access, "root")},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }
    return {"Version": VERSION, "Statement": [statement]}


def policy_document(access: ClusterAccess, level: Level) -> dict[str, object]:
    """Return the policy of the level's group: assume exactly this role.

    Without a role the policy carries the level's tags alone. It allows sts:GetCallerIdentity, which cannot be denied to anybody.
    """
    if level.method is Method.GROUP:
        nothing = {"Sid": "GroupMarker", "Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
        return {"Version": VERSION, "Statement": [nothing]}
    statement = {
        "Sid": "AssumeLevelRole",
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Resource": role_arn(access, level),
    }
    return {"Version": VERSION, "Statement": [statement]}


def group_arn(access: ClusterAccess, level: Level) -> str:
    """Return the ARN of the level's group."""
    return iam_arn(access, f"group{level.path}{level.group_name}")


def temporary_document(access: ClusterAccess, level: Level, until: str) -> dict[str, object]:
    """Return a user's own policy: assume the level's role until that time (RFC 3339, UTC)."""
    statement = {
        "Sid": "TemporaryAccess",
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Resource": role_arn(access, level),
        "Condition": {"DateLessThan": {"aws:CurrentTime": until}},
    }
    return {"Version": VERSION, "Statement": [statement]}


def end_of(document: object) -> float:
    """Return the end of such a policy in Unix seconds; infinity for a document without an end."""
    try:
        until = document["Statement"][0]["Condition"]["DateLessThan"]["aws:CurrentTime"]  # type: ignore[index]
        return parse_rfc3339(until) or math.inf
    except (KeyError, IndexError, TypeError, AttributeError):
        return math.inf


def same_document(one: object, other: object) -> bool:
    """Return whether two parsed policy documents mean the same, whatever the order of keys and lists; a list of one is its value.

    Everything else counts: every key, every value and its JSON type (`true` is neither `1` nor `"true"`).
    """
    return _canonical(one) == _canonical(other)


def assumed_roles(document: object) -> tuple[str, ...]:
    """Return the role ARNs that a policy of ours allows to assume: the role that a level has, or had."""
    statements = document.get("Statement") if isinstance(document, dict) else None
    found: list[str] = []
    for statement in statements if isinstance(statements, list) else [statements]:
        resources = statement.get("Resource") if isinstance(statement, dict) else None
        for resource in resources if isinstance(resources, list) else [resources]:
            if isinstance(resource, str) and ":role/" in resource and not set("*?") & set(resource):
                found.append(resource)
    return tuple(found)


def _canonical(value: object) -> str:
    """Return JSON text that is equal for documents that mean the same. Python itself compares `1` and `true` as equal."""
    if isinstance(value, Mapping):
        pairs = sorted(f"{json.dumps(str(key))}:{_canonical(item)}" for key, item in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list | tuple):
        items = sorted({_canonical(item) for item in value})
        return items[0] if len(items) == 1 else f"[{','.join(items)}]"
    return json.dumps(value)


CLUSTER_TAG = "kube-iam.dev/cluster"
LEVEL_TAG = "kube-iam.dev/level"
EXISTING_ROLES_TAG = "kube-iam.dev/existing-role"
EXISTING_GROUPS_TAG = "kube-iam.dev/existing-group"
_BINDING = "kube-iam:"


@dataclass(frozen=True, slots=True)
class DesiredPolicy:
    """Policy of the level's group, which allows to assume the level's role if it has one. Its tags name the owner."""

    arn: str
    name: str
    path: str
    document: dict[str, object]
    tags: dict[str, str]
    description: str


@dataclass(frozen=True, slots=True)
class DesiredRole:
    """Role without permissions that users of the level assume, or an `existing` role of others, which is never changed.

    `boundary` is the ARN of its permissions boundary, "" for none, None to leave it as it is.
    """

    arn: str
    name: str
    path: str
    trust: dict[str, object]
    tags: dict[str, str]
    max_session_seconds: int
    description: str
    boundary: str | None = None
    existing: bool = False


@dataclass(frozen=True, slots=True)
class DesiredGroup:
    """IAM group whose members have the level. Its path names the owner. Only the policy of an `existing` group of others changes."""

    name: str
    path: str
    policy_arn: str
    existing: bool = False


@dataclass(frozen=True, slots=True)
class DesiredLevel:
    """One level in full. `bindings` are sorted by namespace and name. `role` is None if users sign with their own keys.

    `role_key` is the role's name in lower case, empty without a role: IAM does not tell names apart by letter case.
    """

    name: str
    policy: DesiredPolicy
    role: DesiredRole | None
    group: DesiredGroup
    bindings: tuple[BindingState, ...]
    entry: MappingEntry
    members: MemberList | None = None  # of the file; None if `grant` and `revoke` change the group's members

    role_key: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "role_key", self.role.name.casefold() if self.role else "")

    @property
    def is_synced(self) -> bool:
        """Return whether the bindings name the members."""
        return any(binding.source is not None for binding in self.bindings)


@dataclass(frozen=True, slots=True)
class MappedLevel:
    """Level of a permission set or of a mapped role, whose users others manage. It has no resources in IAM."""

    name: str
    bindings: tuple[BindingState, ...]
    entry: MappingEntry


AnyLevel = DesiredLevel | MappedLevel


def desired_state(access: ClusterAccess) -> tuple[DesiredLevel, ...]:
    """Return what each level with resources in IAM should be, in the order of the file."""
    return tuple(_desired_level(access, level) for level in access.iam_levels)


def mapped_levels(access: ClusterAccess) -> tuple[MappedLevel, ...]:
    """Return what each level without resources in IAM should be, in the order of the file."""
    return tuple(
        MappedLevel(level.name, desired_bindings(access, level), desired_entry(access, level))
        for level in access.levels
        if not level.method.is_in_iam
    )


def _desired_level(access: ClusterAccess, level: Level) -> DesiredLevel:
    tags = {**dict(level.tags), CLUSTER_TAG: access.cluster_id, LEVEL_TAG: level.name}
    called = f"Level {level.name} of the Kubernetes cluster {access.name}"
    policy = DesiredPolicy(
        policy_arn(access, level),
        level.policy_name,
        level.path,
        policy_document(access, level),
        {**tags, **_existing_tags(level)},
        f"{called}: {'assume the role' if level.method is Method.ROLE else 'marks the group'}",
    )
    role = DesiredRole(
        role_arn(access, level),
        level.role_name,
        level.role_path,
        trust_document(access, level),
        tags,
        level.session_seconds,
        level.description or called,
        level.permissions_boundary,
        level.existing_role,
    )
    return DesiredLevel(
        level.name,
        policy,
        role if level.method is Method.ROLE else None,
        DesiredGroup(level.group_name, level.path, policy.arn, level.existing_group),
        desired_bindings(access, level),
        desired_entry(access, level),
        None if level.existing_group else level.members,
    )


def _existing_tags(level: Level) -> dict[str, str]:
    """Return the tags by which a level's policy keeps what is not kube-iam's, also when the level has left the file."""
    tags = {}
    if level.existing_role and level.method is Method.ROLE:
        tags[EXISTING_ROLES_TAG] = names_tag([level.role_name])
    if level.existing_group:
        tags[EXISTING_GROUPS_TAG] = names_tag([level.group_name])
    return tags


def names_tag(names: Iterable[str]) -> str:
    """Return names in IAM as the value of a tag. Tags cannot hold commas, and names cannot hold colons."""
    return " ".join(sorted(names)).replace(",", ":")


def names_in_tag(value: str) -> tuple[str, ...]:
    """Return the names in a value that `names_tag` made, with their former levels."""
    return tuple(value.replace(":", ",").split())


def of_former_level(name: str, level: str) -> str:
    """Return a name for `names_tag` that says that another level than the policy's has it until its mapping entry is changed."""
    return f"{name.partition('/')[0]}/{level}"


def desired_entry(access: ClusterAccess, level: Level) -> MappingEntry:
    """Return the entry that admits the level's users.

    Those are the members of its IAM group, with `assumeRole` everybody with its role, or everybody with its permission set or its
    mapped role.
    """
    if access.mapping.kind is TargetKind.ACCESS_ENTRIES:
        arn = level.mapped_role or role_arn(access, level)
        tags = {**dict(level.tags), CLUSTER_TAG: access.cluster_id, LEVEL_TAG: level.name}
        # EKS gives the groups of an entry no order.
        groups = tuple(sorted(level.groups))
        return MappingEntry(arn, level.username, groups, level=level.name, tags=tuple(tags.items()))
    if level.method is Method.MAPPED_ROLE:
        return MappingEntry(strip_role_path(level.mapped_role), level.username, level.groups, level=level.name)
    if level.method is Method.PERMISSION_SET:
        sso = Sso(level.permission_set, access.account, access.partition)
        return MappingEntry("", level.username, level.groups, level=level.name, sso=sso)
    by_role = level.method is Method.ROLE
    return MappingEntry(
        mapped_arn(access, level) if by_role else "",
        level.username,
        level.groups,
        level.group_name if access.asks_membership(level) else "",
        level.name,
    )


def desired_bindings(access: ClusterAccess, level: Level) -> tuple[BindingState, ...]:
    """Return one ClusterRoleBinding or, per namespace, one RoleBinding for each grant of the level.

    Those of a synced level have a source and no users: only IAM knows the members (`synced_members`).
    """
    bindings = []
    source = member_source(access, level) if access.is_synced(level) else None
    for bind in level.bind:
        kind, role = ("ClusterRole", bind.cluster_role) if bind.cluster_role else ("Role", bind.role)
        suffix = role if kind == "ClusterRole" else f"role:{role}"
        for namespace in bind.namespaces or ("",):
            name = f"{_BINDING}{level.name}:{suffix}"
            bindings.append(
                BindingState(name, namespace, kind, role, level.groups, level.name, access.name, source=source)
            )
    return tuple(sorted(bindings, key=lambda binding: binding.ident))


def member_source(access: ClusterAccess, level: Level) -> MemberSource:
    """Return where the users of a synced level's bindings come from."""
    return MemberSource(level.group_name, mapped_arn(access, level), level.username)


def level_in_name(binding_name: str) -> str:
    """Return the level in the name of a binding that `desired_bindings` made; empty for any other name."""
    level, colon, suffix = binding_name.removeprefix(_BINDING).partition(":")
    return level if binding_name.startswith(_BINDING) and colon and suffix else ""


def other_entries(access: ClusterAccess, entries: Iterable[MappingEntry]) -> tuple[MappingEntry, ...]:
    """Return the entries that are not for a level of the file."""
    ours = {desired_entry(access, level).key for level in access.levels}
    return tuple(entry for entry in entries if entry.key not in ours)
