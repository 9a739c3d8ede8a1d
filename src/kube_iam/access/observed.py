"""The observed state: what IAM, the cluster and the mapping hold of one cluster's levels, and which of it is ours.

The policies under the cluster's path are the registry of levels: a policy is the first thing of a level to be created and the last
to be deleted, and its document names the role. So what a killed run or an edited file left behind is found in API calls that grow
with the levels, never with the users.


Look at IAM, the cluster and the mapping. The number of calls grows with the levels, never with the users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kube_iam.access.desired import DesiredLevel, assumed_roles, desired_state, mapped_arn
from kube_iam.access.levels import ClusterAccess, Method
from kube_iam.access.mapping import MappingEntry, MappingStore, pathless, role_key
from kube_iam.access.ownership import OwnershipIndex
from kube_iam.access.ports import (
    BindingState,
    Cluster,
    Directory,
    GroupState,
    Holder,
    PolicyState,
    Ports,
    RoleState,
    Subject,
    User,
)


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
    owners: OwnershipIndex
    rivals: Mapping[str, tuple[MappingEntry, ...]]  # further entries for roles of levels, by the roles' entry keys
    holders: Mapping[
        str, tuple[Holder, ...]
    ]  # users, roles and groups of others that have a policy of ours, by its ARN
    faults: tuple[str, ...]  # what keeps a server from loading the mapping
    others: tuple[
        MappingEntry, ...
    ] = ()  # all else that the server reads there: users, permission sets, whole accounts

    def owns_tags(self, state: PolicyState | RoleState) -> bool:
        """Return whether a policy's or role's tags say that it is this cluster's."""
        owners = self.owners
        return (owners.policy(state.arn) if isinstance(state, PolicyState) else owners.role(state.name)).is_marked

    def owns_group(self, group: GroupState) -> bool:
        """Return whether a group is this cluster's."""
        return self.owners.group(group.name).is_ours

    def owns_binding(self, binding: BindingState) -> bool:
        """Return whether a binding is this cluster's."""
        return self.owners.owns_binding(binding)

    def owned_policies(self) -> tuple[PolicyState, ...]:
        """The registry: the policies that are this cluster's."""
        return tuple(policy for policy in self.policies if self.owners.policy(policy.arn).is_ours)

    def owned_roles(self) -> tuple[RoleState, ...]:
        """The roles that are this cluster's, among those that the file, the registry or an entry with a level names."""
        return tuple(role for key, role in self.roles.items() if self.owners.role(key).is_ours)

    def owned_groups(self) -> tuple[GroupState, ...]:
        """The groups that are this cluster's."""
        return tuple(group for group in self.groups.values() if self.owns_group(group))

    def registered_levels(self) -> frozenset[str]:
        """The names of the levels that exist in IAM as ours."""
        return frozenset(self.level_of(policy) for policy in self.owned_policies())

    def level_of(self, state: PolicyState | RoleState) -> str:
        """The level of a policy or role of ours, by its tag or by what else says so; empty where nothing does."""
        owners = self.owners
        return (owners.policy(state.arn) if isinstance(state, PolicyState) else owners.role(state.name)).level

    def group_level(self, group: GroupState) -> str:
        """The level that a group of ours gives: the one of its policy, else the one that its name or the mapping says."""
        return self.owners.group(group.name).level

    def entry_levels(self) -> dict[str, str]:
        """The keys of the mapping entries that are ours, and their levels."""
        return {key: owner.level for key, owner in self.owners.entries.items() if owner.is_ours}


def observe(access: ClusterAccess, desired: tuple[DesiredLevel, ...], ports: Ports) -> Observed:
    """Look at everything that the levels, and what is left of earlier ones, consist of. Changes nothing."""
    directory, cluster = ports.directory, ports.cluster
    caller = directory.caller()
    policies = tuple(policy for policy in directory.policies(access.path) if policy.path == access.path)
    groups = {group.name.casefold(): group for group in directory.groups(access.path) if group.path == access.path}
    groups |= _groups_elsewhere(directory, desired, groups)
    bindings, missing = _bindings(access, desired, cluster) if cluster else ({}, ())
    entries = ports.store.entries()
    roles = _roles(access, directory, desired, policies, entries)
    owners = OwnershipIndex(access, policies, roles, groups, entries)
    return Observed(
        cluster_id=access.cluster_id,
        cluster_name=access.name,
        path=access.path,
        caller_arn=caller.arn,
        subject=cluster.whoami() if cluster else None,
        policies=policies,
        elsewhere=_policies_elsewhere(access, directory, desired, policies),
        roles=roles,
        groups=groups,
        members=_members(directory, desired, groups, entries),
        bindings=bindings,
        missing_rbac=missing,
        entries=entries,
        owners=owners,
        holders=_holders(directory, policies, groups, owners),
        faults=ports.store.faults(),
        others=ports.store.others(),
        rivals=_rivals(access, ports.store, roles, owners),
    )


def _rivals(
    access: ClusterAccess, store: MappingStore, roles: dict[str, RoleState], owners: OwnershipIndex
) -> dict[str, tuple[MappingEntry, ...]]:
    """Further entries for the roles of the file's levels and for roles of ours that have left the file."""
    arns = {pathless(mapped_arn(access, level)) for level in access.levels if level.method is Method.ROLE}
    arns |= {pathless(role.arn) for key, role in roles.items() if owners.role(key).is_ours}
    return dict(store.rivals(sorted(arns))) if arns else {}


def _holders(
    directory: Directory,
    policies: tuple[PolicyState, ...],
    groups: dict[str, GroupState],
    owners: OwnershipIndex,
) -> dict[str, tuple[Holder, ...]]:
    """Return others that have our policies attached. They are looked up only if IAM counts more attachments than those known."""
    ours = [group for group in groups.values() if owners.group(group.name).is_ours]
    known = {policy.arn: {group.name for group in ours if policy.arn in group.attached} for policy in policies}
    asked = [
        policy
        for policy in policies
        if owners.policy(policy.arn).is_ours and policy.attachments > len(known[policy.arn])
    ]
    found = directory.each(directory.holders, (policy.arn for policy in asked))
    return {
        policy.arn: tuple(each for each in holders if each.kind != "group" or each.name not in known[policy.arn])
        for policy, holders in zip(asked, found, strict=True)
    }


def _policies_elsewhere(
    access: ClusterAccess, directory: Directory, desired: tuple[DesiredLevel, ...], policies: tuple[PolicyState, ...]
) -> dict[str, PolicyState]:
    """Policies at `/` that take a name that a level needs: an account has each policy name once, whatever the path."""
    present = {policy.arn for policy in policies}
    home = f"arn:{access.partition}:iam::{access.account}:policy/"
    absent = [level.policy for level in desired if level.policy.arn not in present]
    found = directory.each(directory.policy, (home + policy.name for policy in absent))
    return {policy.arn: taken for policy, taken in zip(absent, found, strict=True) if taken is not None}


def _roles(
    access: ClusterAccess,
    directory: Directory,
    desired: tuple[DesiredLevel, ...],
    policies: tuple[PolicyState, ...],
    entries: tuple[MappingEntry, ...],
) -> dict[str, RoleState]:
    """The roles that the file's levels have, and those of this account that the registry's policies, or entries with a level, name."""
    home = f"arn:{access.partition}:iam::{access.account}:role/"
    names = [level.role_name for level in access.levels] + [level.role.name for level in desired if level.role]
    # By default the role is named like its policy: the way to it when somebody broke the policy's document.
    arns = [arn for policy in policies for arn in assumed_roles(policy.document) or (home + policy.name,)]
    arns += [entry.role_arn for entry in entries if entry.role_arn and entry.level]
    others: list[str] = []
    for arn in arns:
        if pathless(arn).startswith(home):
            name = role_key(arn)
            spelled = (part for part in arn.split("/") if part.casefold() == name)
            others.append(next(spelled, name))
    # Each spelling is asked for: where letter case counts, only the right one answers. The file's own goes last, and wins.
    asked = dict.fromkeys((*(name for name in others if name not in names), *names))
    found = directory.each(directory.role, asked)
    return {role.name.casefold(): role for role in found if role is not None}


def _groups_elsewhere(
    directory: Directory, desired: tuple[DesiredLevel, ...], groups: dict[str, GroupState]
) -> dict[str, GroupState]:
    wanted = (level.group.name for level in desired if level.group.name.casefold() not in groups)
    found = directory.each(directory.group, wanted)
    return {group.name.casefold(): group for group in found if group is not None}


def _members(
    directory: Directory,
    desired: tuple[DesiredLevel, ...],
    groups: dict[str, GroupState],
    entries: tuple[MappingEntry, ...],
) -> dict[str, tuple[User, ...]]:
    """Members of the groups that would go, whose members must leave first, or come, whose members would get in; and of those that
    an entry would ask for from now on, so that nobody shuts the door on himself."""
    staying = {level.group.name.casefold() for level in desired}
    moving = any(key not in staying for key in groups)
    path = {level.group.name.casefold(): level.group.path for level in desired}
    policy = {level.group.name.casefold(): level.policy.arn for level in desired}
    written = {entry.key: entry.iam_group for entry in entries}
    closing = {
        level.group.name.casefold()
        for level in desired
        if level.entry.iam_group and written.get(level.entry.key, level.entry.iam_group) != level.entry.iam_group
    }
    asked = {
        key: group.name
        for key, group in groups.items()
        if key not in staying
        or group.path != path[key]
        or policy[key] not in group.attached
        or moving
        or key in closing
    }
    return dict(zip(asked, directory.each(directory.members, asked.values()), strict=True))


def _bindings(
    access: ClusterAccess, desired: tuple[DesiredLevel, ...], cluster: Cluster
) -> tuple[dict[tuple[str, str], BindingState], tuple[tuple[str, str, str], ...]]:
    """Our bindings, those of others that have the names of ours, and the RBAC roles that are wanted and missing."""
    found = {binding.ident: binding for binding in cluster.bindings() if binding.cluster in ("", access.name)}
    wanted = [binding for level in desired for binding in level.bindings]
    # A `destroy` wants none. Those of the file are looked for all the same: labels can be lost.
    for binding in wanted or [each for level in desired_state(access) for each in level.bindings]:
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
