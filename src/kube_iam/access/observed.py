"""The observed state: what IAM, the cluster and the mapping hold of one cluster's levels, and which of it is ours.

The policies under the cluster's path are the registry of levels: a policy is the first thing of a level to be created and the last
to be deleted, and its document names the role. So what a killed run or an edited file left behind is found in API calls that grow
with the levels, never with the users.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kube_iam.access.desired import CLUSTER_TAG, LEVEL_TAG, DesiredLevel
from kube_iam.access.documents import assumed_roles
from kube_iam.access.levels import ClusterAccess
from kube_iam.access.ports import (
    BindingState,
    Cluster,
    Directory,
    GroupState,
    MappingEntry,
    MappingStore,
    PolicyState,
    RoleState,
    Subject,
    User,
)


@dataclass(frozen=True, slots=True)
class Ports:
    """The three worlds that access lives in. `cluster` is None where a level binds nothing and the mapping is a local file."""

    directory: Directory
    cluster: Cluster | None
    store: MappingStore


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at the three worlds. Keys of `roles`, `groups` and `members` are names; names in IAM are told apart by letter case
    only in what they show, so that every key is in lower case."""

    cluster_id: str
    cluster_name: str
    path: str
    caller_arn: str
    subject: Subject | None
    policies: tuple[PolicyState, ...]  # under our path, ours or not
    elsewhere: dict[str, PolicyState]  # a desired name that is taken at path /, by desired ARN
    roles: dict[str, RoleState]
    groups: dict[str, GroupState]
    members: dict[str, tuple[User, ...]]  # of groups that may go or come
    bindings: dict[tuple[str, str], BindingState]
    missing_rbac: tuple[
        tuple[str, str, str], ...
    ]  # kind, namespace, name of roles that levels bind and the cluster lacks
    entries: tuple[MappingEntry, ...]

    def owns_tags(self, state: PolicyState | RoleState) -> bool:
        """Whether a policy's or role's tags say that it is this cluster's."""
        return state.tags.get(CLUSTER_TAG) == self.cluster_id

    def owns_group(self, group: GroupState) -> bool:
        """Whether a group is this cluster's: by its path, unless it carries a policy of another cluster of the same name."""
        others = {policy.arn for policy in self.policies if CLUSTER_TAG in policy.tags and not self.owns_tags(policy)}
        return group.path == self.path and not others & set(group.attached)

    def owns_binding(self, binding: BindingState) -> bool:
        """Whether our labels on a binding name this cluster."""
        return bool(binding.level) and binding.cluster == self.cluster_name

    def owned_policies(self) -> tuple[PolicyState, ...]:
        """The registry: the policies that are this cluster's."""
        return tuple(policy for policy in self.policies if self.owns_tags(policy))

    def owned_roles(self) -> tuple[RoleState, ...]:
        """The roles that are this cluster's, among those that the file or the registry names."""
        return tuple(role for role in self.roles.values() if self.owns_tags(role))

    def owned_groups(self) -> tuple[GroupState, ...]:
        """The groups that are this cluster's."""
        return tuple(group for group in self.groups.values() if self.owns_group(group))

    def registered_levels(self) -> frozenset[str]:
        """The names of the levels that exist in IAM as ours."""
        return frozenset(policy.tags.get(LEVEL_TAG, "") for policy in self.owned_policies())

    def role_levels(self) -> dict[str, str]:
        """Which role ARNs without path (in lower case) are ours, and of which level: by the registry, unless the role is another's."""
        found: dict[str, str] = {}
        for policy in self.owned_policies():
            for arn in assumed_roles(policy.document):
                role = self.roles.get(_name_of(arn))
                if role is None or self.owns_tags(role):
                    found[pathless(arn)] = policy.tags.get(LEVEL_TAG, "")
        found.update((pathless(role.arn), role.tags.get(LEVEL_TAG, "")) for role in self.owned_roles())
        return found


def pathless(role_arn: str) -> str:
    """A role's ARN without its path, in lower case: what mapping entries are compared by."""
    head, _, rest = role_arn.partition(":role/")
    return f"{head}:role/{rest.rsplit('/', 1)[-1]}".casefold()


def observe(access: ClusterAccess, desired: tuple[DesiredLevel, ...], ports: Ports) -> Observed:
    """Look at everything that the levels, and what is left of earlier ones, consist of. Changes nothing."""
    directory, cluster = ports.directory, ports.cluster
    caller = directory.caller()
    policies = tuple(policy for policy in directory.policies(access.path) if policy.path == access.path)
    groups = {group.name.casefold(): group for group in directory.groups(access.path) if group.path == access.path}
    groups |= _groups_elsewhere(directory, desired, groups)
    bindings, missing = _bindings(access, desired, cluster) if cluster else ({}, ())
    return Observed(
        cluster_id=access.cluster_id,
        cluster_name=access.name,
        path=access.path,
        caller_arn=caller.arn,
        subject=cluster.whoami() if cluster else None,
        policies=policies,
        elsewhere=_policies_elsewhere(access, directory, desired, policies),
        roles=_roles(access, directory, desired, policies),
        groups=groups,
        members=_members(directory, desired, groups),
        bindings=bindings,
        missing_rbac=missing,
        entries=ports.store.entries(),
    )


def _name_of(arn: str) -> str:
    return arn.rsplit("/", 1)[-1].casefold()


def _policies_elsewhere(
    access: ClusterAccess, directory: Directory, desired: tuple[DesiredLevel, ...], policies: tuple[PolicyState, ...]
) -> dict[str, PolicyState]:
    """Policies at `/` that take a name that a level needs: an account has each policy name once, whatever the path."""
    present = {policy.arn for policy in policies}
    found = {}
    for level in desired:
        if level.policy.arn not in present:
            taken = directory.policy(f"arn:{access.partition}:iam::{access.account}:policy/{level.policy.name}")
            if taken is not None:
                found[level.policy.arn] = taken
    return found


def _roles(
    access: ClusterAccess, directory: Directory, desired: tuple[DesiredLevel, ...], policies: tuple[PolicyState, ...]
) -> dict[str, RoleState]:
    """The roles that the file's levels have, and those that the registry's policies name in this account."""
    home = f"arn:{access.partition}:iam::{access.account}:role/"
    names = {level.role_name.casefold(): level.role_name for level in access.levels}
    names |= {level.role.name.casefold(): level.role.name for level in desired}
    for policy in policies:
        # By default the role is named like its policy: the way to it when somebody broke the policy's document.
        for arn in assumed_roles(policy.document) or (home + policy.name,):
            if arn.startswith(home):
                names.setdefault(_name_of(arn), arn.rsplit("/", 1)[-1])
    found = ((key, directory.role(name)) for key, name in names.items())
    return {key: role for key, role in found if role is not None}


def _groups_elsewhere(
    directory: Directory, desired: tuple[DesiredLevel, ...], groups: dict[str, GroupState]
) -> dict[str, GroupState]:
    wanted = (level.group.name for level in desired if level.group.name.casefold() not in groups)
    found = (directory.group(name) for name in wanted)
    return {group.name.casefold(): group for group in found if group is not None}


def _members(
    directory: Directory, desired: tuple[DesiredLevel, ...], groups: dict[str, GroupState]
) -> dict[str, tuple[User, ...]]:
    """Members of the groups that would go, whose members must leave first, or come, whose members would get in."""
    staying = {level.group.name.casefold() for level in desired}
    moving = any(key not in staying for key in groups)
    path = {level.group.name.casefold(): level.group.path for level in desired}
    return {
        key: directory.members(group.name)
        for key, group in groups.items()
        if key not in staying or group.path != path[key] or moving
    }


def _bindings(
    access: ClusterAccess, desired: tuple[DesiredLevel, ...], cluster: Cluster
) -> tuple[dict[tuple[str, str], BindingState], tuple[tuple[str, str, str], ...]]:
    """Our bindings, those of others in the way of ours, and the RBAC roles that are wanted and missing."""
    found = {binding.ident: binding for binding in cluster.bindings() if binding.cluster == access.name}
    wanted = [binding for level in desired for binding in level.bindings]
    for binding in wanted:
        other = cluster.binding(*binding.ident) if binding.ident not in found else None
        if other is not None:
            found[binding.ident] = other
    return found, tuple(_missing(cluster, wanted))


def _missing(cluster: Cluster, wanted: Iterable[BindingState]) -> Iterable[tuple[str, str, str]]:
    references = {
        (binding.role_kind, binding.namespace if binding.role_kind == "Role" else "", binding.role_name)
        for binding in wanted
    }
    return (reference for reference in sorted(references) if not cluster.role_exists(*reference))
