"""Observed state: what IAM, the cluster and the mapping hold of one cluster's levels, and the owner of each thing.

The policies under the cluster's path are the registry of levels: a policy is the first thing of a level to be created and the
last to be deleted, and its document names the role. So what a killed run or an edited file left behind is found in API calls that
grow with the levels, never with the users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from kube_iam.access.desired import (
    AnyLevel,
    DesiredLevel,
    MappedLevel,
    desired_state,
    iam_arn,
    mapped_arn,
    mapped_levels,
)
from kube_iam.access.inventory import read_inventory
from kube_iam.access.levels import ClusterAccess, Method, Owner
from kube_iam.access.mapping import MappingEntry, MappingStore, pathless
from kube_iam.access.ownership import OwnershipIndex
from kube_iam.access.ports import (
    BindingState,
    Caller,
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
from kube_iam.errors import AccessDenied, KubeIamError, Unreachable


@dataclass(frozen=True, slots=True)
class FormerMapping:
    """Our entries in a mapping that the present one replaces, with their levels. `place` names it, empty without one.

    `unread` is the error for which it was not read.
    """

    place: str = ""
    entries: tuple[tuple[MappingEntry, str], ...] = ()
    of_others: tuple[MappingEntry, ...] = ()
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that was observed of one cluster's levels, and the owner of each thing.

    Keys of `roles`, `groups` and `members` are names in lower case: IAM does not tell names apart by letter case. `owned_policies` are
    the registry of levels, `registered_levels` the levels that they name. `entry_levels` are the levels of our mapping entries by key.
    """

    cluster_id: str
    cluster_name: str
    path: str
    caller_arn: str
    subject: Subject | None
    policies: tuple[PolicyState, ...]  # under our path, ours or not
    elsewhere: dict[str, PolicyState]  # a desired name that is taken at path /, by desired ARN
    roles: dict[str, RoleState]
    groups: dict[str, GroupState]
    members: dict[str, tuple[User, ...]]  # of groups that are deleted, or whose members would get a level
    bindings: dict[tuple[str, str], BindingState]
    missing_rbac: tuple[tuple[str, str, str], ...]  # kind, namespace and name of bound roles that the cluster lacks
    entries: tuple[MappingEntry, ...]
    owners: OwnershipIndex
    rivals: Mapping[str, tuple[MappingEntry, ...]]  # further entries for roles of levels, by the roles' entry keys
    holders: Mapping[str, tuple[Holder, ...]]  # users, roles and groups of others with a policy of ours, by its ARN
    faults: tuple[str, ...]  # reasons why a server cannot load the mapping
    reserved_prefixes: tuple[str, ...]  # of user names that a server refuses for entries of the mapping
    users: Mapping[str, User] = field(
        default_factory=dict
    )  # listed users who are in IAM and not in their group, in lower case
    user_groups: Mapping[str, frozenset[str]] = field(default_factory=dict)  # of these users, by name
    others: tuple[MappingEntry, ...] = ()  # further entries that the server reads: users, permission sets, accounts
    inline: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # inline policies of existing groups of the file's levels
    former: FormerMapping = field(default_factory=lambda: FormerMapping())
    owned_policies: tuple[PolicyState, ...] = field(init=False)
    owned_roles: tuple[RoleState, ...] = field(init=False)
    owned_groups: tuple[GroupState, ...] = field(init=False)
    registered_levels: frozenset[str] = field(init=False)
    entry_levels: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        owners = self.owners
        policies = tuple(policy for policy in self.policies if owners.policy(policy.arn).is_ours)
        for name, value in (
            ("owned_policies", policies),
            ("owned_roles", tuple(role for key, role in self.roles.items() if owners.role(key).is_ours)),
            ("owned_groups", tuple(group for key, group in self.groups.items() if owners.group(key).is_ours)),
            ("registered_levels", frozenset(owners.policy(policy.arn).level for policy in policies)),
            ("entry_levels", {key: own.level for key, own in owners.entries.items() if own.is_read and own.is_ours}),
        ):
            object.__setattr__(self, name, value)

    def member_names(self, group: str) -> tuple[str, ...]:
        """Return the members of a group, if they were read."""
        return tuple(user.name for user in self.members.get(group.casefold(), ()))

    def spelling(self, user: str) -> str:
        """Return the name of a listed user as IAM writes it, empty if there is no such user."""
        found = self.users.get(user.casefold())
        return found.name if found is not None else ""

    def owns_tags(self, state: PolicyState | RoleState) -> bool:
        """Return whether a policy's or role's tags say that it is this cluster's."""
        return self._owner(state).is_marked

    def owns_group(self, group: GroupState) -> bool:
        """Return whether a group is this cluster's."""
        return self.owners.group(group.name).is_ours

    def owns_binding(self, binding: BindingState) -> bool:
        """Return whether a binding is this cluster's."""
        return self.owners.owns_binding(binding)

    def level_of(self, state: PolicyState | RoleState) -> str:
        """Return the level of a policy or role of ours, empty if nothing names it."""
        return self._owner(state).level

    def group_level(self, group: GroupState) -> str:
        """Return the level that a group of ours gives: its policy's, else the one that its name or the mapping says."""
        return self.owners.group(group.name).level

    def _owner(self, state: PolicyState | RoleState) -> Owner:
        owners = self.owners
        return owners.policy(state.arn) if isinstance(state, PolicyState) else owners.role(state.name)


def observe(
    access: ClusterAccess,
    desired: tuple[DesiredLevel, ...],
    ports: Ports,
    caller: Caller,
    sets: tuple[MappedLevel, ...] = (),
) -> Observed:
    """Read all things of the file's levels, and what is left of earlier levels. Changes nothing."""
    directory, cluster = ports.directory, ports.cluster
    bindings, missing = _bindings(access, (*desired, *sets), cluster) if cluster else ({}, ())
    entries = ports.store.entries()
    former, unread = _former_entries(ports.former)
    inventory = replace(read_inventory(access, directory, desired, (*entries, *former)), entries=entries)
    owners = OwnershipIndex(access, inventory)
    policies = tuple(policy for policy in inventory.policies.values() if policy is not None)
    roles = {key: role for key, role in inventory.roles.items() if role is not None}
    groups = {key: group for key, group in inventory.groups.items() if group is not None}
    members = _members(directory, desired, groups, entries)
    users, user_groups = _listed_users(directory, desired, members)
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
        members=members,
        bindings=bindings,
        missing_rbac=missing,
        entries=entries,
        owners=owners,
        holders=_holders(directory, policies, groups, owners, desired),
        inline=_inline(directory, desired, groups),
        faults=ports.store.faults(),
        users=users,
        user_groups=user_groups,
        reserved_prefixes=ports.store.reserved_prefixes(),
        others=ports.store.others(),
        rivals=_rivals(access, ports.store, roles, owners),
        former=_our_former(access, owners, ports.former, former, unread),
    )


def _former_entries(store: MappingStore | None) -> tuple[tuple[MappingEntry, ...], str]:
    """Return the entries of the former mapping, and the error for which it was not read: the plan goes on without them."""
    if store is None:
        return (), ""
    try:
        return store.entries(), ""
    except Unreachable:
        raise
    except KubeIamError as error:
        return (), str(error)


def _our_former(
    access: ClusterAccess,
    owners: OwnershipIndex,
    store: MappingStore | None,
    entries: tuple[MappingEntry, ...],
    unread: str,
) -> FormerMapping:
    """Return our entries in the former mapping, by the rules for entries without labels."""
    if store is None:
        return FormerMapping()
    found = OwnershipIndex(access, replace(owners.inventory, entries=entries))
    ours = {each.key: found.entry(each.key) for each in entries}
    kept = tuple((each, ours[each.key].level) for each in entries if ours[each.key].is_read and ours[each.key].is_ours)
    others = tuple(each for each in entries if each not in {entry for entry, _ in kept})
    return FormerMapping(store.describe(), kept, others, unread)


def _rivals(
    access: ClusterAccess, store: MappingStore, roles: dict[str, RoleState], owners: OwnershipIndex
) -> dict[str, tuple[MappingEntry, ...]]:
    """Return further entries for the roles of the file's levels and for roles of ours that have left the file."""
    arns = {pathless(mapped_arn(access, level)) for level in access.levels if level.method is Method.ROLE}
    arns |= {pathless(role.arn) for key, role in roles.items() if owners.role(key).is_ours}
    return dict(store.rivals(sorted(arns))) if arns else {}


def _holders(
    directory: Directory,
    policies: tuple[PolicyState, ...],
    groups: dict[str, GroupState],
    owners: OwnershipIndex,
    desired: tuple[DesiredLevel, ...],
) -> dict[str, tuple[Holder, ...]]:
    """Return others that have our policies attached. They are read only if IAM counts more attachments than those known.

    An existing group of a level is known to have the level's policy.
    """
    wanted = {(level.group.name.casefold(), level.policy.arn) for level in desired if level.group.existing}
    known = {
        policy.arn: {
            group.name
            for key, group in groups.items()
            if policy.arn in group.attached and (owners.group(key).is_ours or (key, policy.arn) in wanted)
        }
        for policy in policies
    }
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


def _inline(
    directory: Directory, desired: tuple[DesiredLevel, ...], groups: dict[str, GroupState]
) -> dict[str, tuple[str, ...]]:
    existing = {level.group.name.casefold() for level in desired if level.group.existing}
    asked = {key: groups[key].name for key in sorted(existing & groups.keys())}
    return dict(zip(asked, directory.each(directory.inline_policies, asked.values()), strict=True))


def _policies_elsewhere(
    access: ClusterAccess, directory: Directory, desired: tuple[DesiredLevel, ...], policies: tuple[PolicyState, ...]
) -> dict[str, PolicyState]:
    """Return policies at `/` with a name that a level needs: an account has each policy name once, whatever the path."""
    present = {policy.arn for policy in policies}
    home = iam_arn(access, "policy/")
    absent = [level.policy for level in desired if level.policy.arn not in present]
    found = directory.each(directory.policy, (home + policy.name for policy in absent))
    return {policy.arn: taken for policy, taken in zip(absent, found, strict=True) if taken is not None}


def _members(
    directory: Directory,
    desired: tuple[DesiredLevel, ...],
    groups: dict[str, GroupState],
    entries: tuple[MappingEntry, ...],
) -> dict[str, tuple[User, ...]]:
    """Return the members of groups that are deleted, that a level adopts or whose members move.

    Included are groups whose members the file lists or bindings name, and groups that an entry will require from now on: the caller
    may not be in them.
    """
    listed = {level.group.name.casefold() for level in desired if level.members is not None}
    synced = {level.group.name.casefold() for level in desired if any(each.source for each in level.bindings)}
    staying = {level.group.name.casefold() for level in desired}
    moving = any(key not in staying for key in groups)
    path = {level.group.name.casefold(): level.group.path for level in desired if not level.group.existing}
    policies: dict[str, set[str]] = {}
    for level in desired:
        policies.setdefault(level.group.name.casefold(), set()).add(level.policy.arn)
    written = {entry.key: entry.iam_group for entry in entries}
    newly_required = {
        level.group.name.casefold()
        for level in desired
        if level.entry.iam_group and written.get(level.entry.key, level.entry.iam_group) != level.entry.iam_group
    }
    asked = {
        key: group.name
        for key, group in groups.items()
        if key not in staying
        or group.path != path.get(key, group.path)
        or not policies[key] <= set(group.attached)
        or moving
        or key in newly_required
        or key in listed
        or key in synced
    }
    return dict(zip(asked, directory.each(directory.members, asked.values()), strict=True))


def _listed_users(
    directory: Directory, desired: tuple[DesiredLevel, ...], members: dict[str, tuple[User, ...]]
) -> tuple[dict[str, User], dict[str, frozenset[str]]]:
    """Return the users that the file lists, by their names in lower case, and the groups of those who are not in theirs."""
    found: dict[str, User] = {}
    absent: dict[str, str] = {}
    for level in desired:
        present = {user.name.casefold(): user for user in members.get(level.group.name.casefold(), ())}
        for name in level.members.users if level.members else ():
            if name.casefold() in present:
                found[name.casefold()] = present[name.casefold()]
            else:
                absent[name.casefold()] = name
    asked = [name for key, name in absent.items() if key not in found]
    found |= {user.name.casefold(): user for user in directory.each(directory.user, asked) if user is not None}
    if any(key not in found for key in absent):
        # A name in another letter case is found by a list of all users only, where letter case counts.
        with suppress(AccessDenied):
            found |= {user.name.casefold(): user for user in directory.users() if user.name.casefold() in absent}
    names = [found[key].name for key in absent if key in found]
    return found, dict(zip(names, directory.each(directory.groups_of, names), strict=True))


def _bindings(
    access: ClusterAccess, desired: tuple[AnyLevel, ...], cluster: Cluster
) -> tuple[dict[tuple[str, str], BindingState], tuple[tuple[str, str, str], ...]]:
    """Return our bindings and others with their names, and the RBAC roles that are bound and missing."""
    found = {binding.ident: binding for binding in cluster.bindings() if binding.cluster in ("", access.name)}
    wanted = [binding for level in desired for binding in level.bindings]
    # A `destroy` wants none. Those of the file are read all the same, because labels can be lost.
    every: tuple[AnyLevel, ...] = (*desired_state(access), *mapped_levels(access))
    for binding in wanted or [each for level in every for each in level.bindings]:
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
