"""The desired state: everything that the levels of one cluster should be in IAM and in the cluster, level by level."""

from __future__ import annotations

from dataclasses import dataclass

from kube_iam.access.documents import mapped_arn, policy_arn, policy_document, role_arn, trust_document
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.ports import BindingState, MappingEntry

CLUSTER_TAG = "kube-iam.dev/cluster"
LEVEL_TAG = "kube-iam.dev/level"
_BINDING = "kube-iam:"


@dataclass(frozen=True, slots=True)
class DesiredPolicy:
    """The policy of the level's group, which allows to assume the level's role where it has one; its tags say whose it is."""

    arn: str
    name: str
    path: str
    document: dict[str, object]
    tags: dict[str, str]
    description: str


@dataclass(frozen=True, slots=True)
class DesiredRole:
    """The role without permissions that the level's people assume."""

    arn: str
    name: str
    path: str
    trust: dict[str, object]
    tags: dict[str, str]
    max_session_seconds: int
    description: str


@dataclass(frozen=True, slots=True)
class DesiredGroup:
    """The IAM group whose members have the level; its path says whose it is."""

    name: str
    path: str
    policy_arn: str


@dataclass(frozen=True, slots=True)
class DesiredLevel:
    """One level in full. `bindings` are sorted by namespace and name; `role` is None where people sign with their own keys."""

    name: str
    policy: DesiredPolicy
    role: DesiredRole | None
    group: DesiredGroup
    bindings: tuple[BindingState, ...]
    entry: MappingEntry

    @property
    def role_key(self) -> str:
        """The role's name in lower case, which is how IAM tells names apart; empty where there is no role."""
        return self.role.name.casefold() if self.role else ""


def desired_state(access: ClusterAccess) -> tuple[DesiredLevel, ...]:
    """What every level of the file should be, in the order of the file."""
    return tuple(_desired_level(access, level) for level in access.levels)


def _desired_level(access: ClusterAccess, level: Level) -> DesiredLevel:
    tags = {CLUSTER_TAG: access.cluster_id, LEVEL_TAG: level.name}
    called = f"Level {level.name} of the Kubernetes cluster {access.name}"
    policy = DesiredPolicy(
        policy_arn(access, level),
        level.policy_name,
        level.path,
        policy_document(access, level),
        tags,
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
    )
    return DesiredLevel(
        level.name,
        policy,
        role if level.method is Method.ROLE else None,
        DesiredGroup(level.group_name, level.path, policy.arn),
        desired_bindings(access, level),
        desired_entry(access, level),
    )


def desired_entry(access: ClusterAccess, level: Level) -> MappingEntry:
    """The entry that lets the level's people in: who is in its IAM group, unless the file leaves that to the session."""
    by_role = level.method is Method.ROLE
    return MappingEntry(
        mapped_arn(access, level) if by_role else "",
        level.username,
        level.groups,
        level.group_name if access.door or not by_role else "",
        level.name,
    )


def desired_bindings(access: ClusterAccess, level: Level) -> tuple[BindingState, ...]:
    """One ClusterRoleBinding or, per namespace, one RoleBinding for each grant of the level."""
    bindings = []
    for bind in level.bind:
        kind, role = ("ClusterRole", bind.cluster_role) if bind.cluster_role else ("Role", bind.role)
        suffix = role if kind == "ClusterRole" else f"role:{role}"
        for namespace in bind.namespaces or ("",):
            name = f"{_BINDING}{level.name}:{suffix}"
            bindings.append(BindingState(name, namespace, kind, role, level.groups, level.name, access.name))
    return tuple(sorted(bindings, key=lambda binding: binding.ident))


def level_in_name(binding_name: str) -> str:
    """Return the level in the name of a binding that `desired_bindings` made; empty for any other name."""
    level, colon, suffix = binding_name.removeprefix(_BINDING).partition(":")
    return level if binding_name.startswith(_BINDING) and colon and suffix else ""
