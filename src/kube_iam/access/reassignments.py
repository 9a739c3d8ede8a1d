"""Resources and members that would move from one level to another.

A role, policy or group that moves takes users along: sessions of the role live on, members of the group stay. While the other
level is in the file that is refused. If it has left the file, a new level may have its resources (it is the old level renamed). A
level that has members of its own gets them only with --force.

Which members get a level is decided by the mapping alone. Groups, policies and tags prove nothing: a user who may create them in
IAM could add members to a level by the next apply.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kube_iam.access.changes import Change, Kind, Verb
from kube_iam.access.desired import DesiredLevel, assumed_roles
from kube_iam.access.mapping import MappingEntry, pathless, role_key
from kube_iam.access.observed import Observed
from kube_iam.access.ports import GroupState, RoleState
from kube_iam.access.unmanaged import UnmanagedResource


@dataclass(frozen=True, slots=True)
class MovedMember:
    """A member of a former group of a level, who would join its present group.

    `is_admitted`: the mapping admits the user to the level now.
    """

    user: str
    group: str
    is_admitted: bool


def moved_members(observed: Observed, level: DesiredLevel, staying: frozenset[str]) -> Iterator[MovedMember]:
    """Yield members of former groups of the level who are not in its present group.

    A former group has the level's policy and is no level's group now. `staying` are the groups of all levels, in lower case.
    Nobody moves to an existing group, which is not kube-iam's.
    """
    if level.group.existing:
        return
    present = {*observed.member_names(level.group.name)}
    for group in observed.owned_groups:
        key = group.name.casefold()
        if key in staying or level.name not in levels_of(observed, group.attached):
            continue
        for user in observed.member_names(group.name):
            if user not in present:
                present.add(user)
                yield MovedMember(user, group.name, _admits(observed, level, key))


def _admits(observed: Observed, level: DesiredLevel, group: str) -> bool:
    """Return whether the mapping names the group for the level now.

    The group's path and policy are no proof: a user who may create groups could have made it. Neither is an entry without a
    group.
    """
    return group in _named_groups(observed, level.name, level.entry.key)


def _named_groups(observed: Observed, level: str, key: str = "") -> set[str]:
    """Return the groups, in lower case, that entries with that key, or entries of ours for the level, require.

    An empty string stands for an entry that requires none. The owner of an entry does not count: tags may have been changed
    since.
    """
    ours = observed.entry_levels
    return {
        entry.iam_group.casefold()
        for entry in observed.entries
        if entry.key == key or (entry.level == level and entry.key in ours)
    }


def gives_level(observed: Observed, level: DesiredLevel) -> bool:
    """Return whether members of the level's group have the level now: by its policy, and by the mapping."""
    group = observed.groups.get(level.group.name.casefold())
    if group is None or not observed.owns_group(group) or level.policy.arn not in group.attached:
        return False
    return bool({group.name.casefold(), ""} & _named_groups(observed, level.name, level.entry.key))


def guarded_members(observed: Observed, desired: tuple[DesiredLevel, ...]) -> Iterator[str]:
    """Yield a sentence for each group whose members would get a level that the mapping does not give them now."""
    staying = frozenset(level.group.name.casefold() for level in desired)
    for level in desired:
        if level.members is not None:  # the file says who gets it, and all others leave before they would
            continue
        added: dict[str, list[str]] = {}
        for move in moved_members(observed, level, staying):
            if not move.is_admitted:
                added.setdefault(move.group, []).append(move.user)
        group = observed.groups.get(level.group.name.casefold())
        users = _new_members(observed, desired, level, group) if group is not None else []
        if group is not None and users:
            has = "has" if level.policy.arn in group.attached else "exists without"
            yield _sentence(users, level, group.name, "would get", f"{has} the level's policy")
        for former, users in added.items():
            yield _sentence(users, level, former, "would be added to", "has the level's policy")


def _new_members(
    observed: Observed, desired: tuple[DesiredLevel, ...], level: DesiredLevel, group: GroupState
) -> list[str]:
    """Return the members of the level's group, if it is ours, who have neither the level now nor the level that it renames."""
    key, former = group.name.casefold(), observed.group_level(group)
    named, of_former = _named_groups(observed, level.name, level.entry.key), _named_groups(observed, former)
    policies = levels_of(observed, group.attached)
    has_policy = level.policy.arn in group.attached or level.name in policies
    # Without an entry the policies decide: a run that moves the role removes the entry for a moment.
    had_former = key in of_former or (not of_former and former in policies)
    is_renamed = had_former and former not in {each.name for each in desired}
    if not observed.owns_group(group) or key in named or is_renamed or (has_policy and not named - {""}):
        return []
    present = {user for each in named for user in observed.member_names(each)}
    return [user for user in observed.member_names(key) if user not in present]


def _sentence(users: list[str], level: DesiredLevel, group: str, verb: str, state: str) -> str:
    return (
        f"{', '.join(users)} {verb} level {level.name}, as members of group {group}, which {state} and which the mapping "
        f"does not name for it; to leave them out, remove them from group {group}"
    )


def levels_of(observed: Observed, attached: tuple[str, ...]) -> set[str]:
    """Return the levels of this cluster's policies among those ARNs."""
    return {observed.level_of(policy) for policy in observed.owned_policies if policy.arn in attached} - {""}


Desired = tuple[DesiredLevel, ...]


@dataclass(frozen=True, slots=True)
class Reassignment:
    """A resource of this cluster that belongs to one level and would belong to another."""

    kind: Kind
    name: str
    before: str
    after: str


def refused_reassignments(observed: Observed, desired: Desired) -> Iterator[UnmanagedResource]:
    """Yield resources that would move between levels of the file, and policies of another cluster under this cluster's path."""
    names = {level.name for level in desired}
    wanted = {level.policy.arn for level in desired}
    for policy in observed.policies:
        if observed.owners.policy(policy.arn).is_other and policy.arn not in wanted:
            cluster = observed.owners.policy(policy.arn).cluster
            why, remedy = (
                f"at {policy.path} belongs to cluster {cluster}",
                "correct cluster.id, or choose another cluster.name",
            )
            yield UnmanagedResource(Kind.POLICY, policy.name, why, remedy, adoptable=False)
    for found in _reassignments(observed, desired):
        if found.before in names:
            why = f"is level {found.before}'s, whose people would get level {found.after}"
            remedy = f"give level {found.after} a name of its own for the {found.kind.value}"
            if observed.owners.is_existing_role(found.name) and found.kind is Kind.ROLE:
                remedy = f"name another role for level {found.after}, or run apply without level {found.after} first"
            yield UnmanagedResource(found.kind, found.name, why, remedy, adoptable=False)


def under_other_name(observed: Observed) -> Iterator[UnmanagedResource]:
    """Yield roles of this cluster that were made under another cluster.name: their policies and groups are at another path."""
    for role, name in observed.owners.under_other_name():
        why = (
            f"has the tag of cluster {observed.cluster_id}, and its description is that of cluster.name {name}, not"
            f" {observed.cluster_name}"
        )
        remedy = (
            f"restore cluster.name {name} in the file; to rename the cluster, run destroy with the former name first"
        )
        yield UnmanagedResource(Kind.ROLE, role.name, why, remedy, adoptable=False)


def guarded_changes(observed: Observed, desired: Desired, changes: tuple[Change, ...]) -> Iterator[str]:
    """Yield a sentence for each change that needs --force because of the level that a resource belongs to, or belonged to."""
    yield from _guarded_reassignments(observed, desired)
    yield from guarded_members(observed, desired)
    yield from guarded_deletions(observed, changes)


def _guarded_paths(observed: Observed, changes: tuple[Change, ...]) -> Iterator[str]:
    """Yield a sentence for each deleted role and entry of a level that has neither policy nor group under the cluster's path."""
    for change in changes:
        item = change.item if change.verb is Verb.DELETE else None
        if isinstance(item, MappingEntry) and item.role_arn:
            is_elsewhere = _is_elsewhere(observed, role_key(item.role_arn), item.key, (item.iam_group,))
        elif isinstance(item, RoleState):
            key = pathless(item.arn)
            groups = tuple(entry.iam_group for entry in observed.entries if entry.key == key)
            is_elsewhere = _is_elsewhere(observed, item.name, key, groups)
        else:
            continue
        if is_elsewhere:
            yield (
                f"{change.kind.value} {change.name} is of a level of this cluster that has no policy and no group under"
                f" {observed.path}: it would be deleted. Restore cluster.name and iam.pathPrefix if they were changed"
            )


def guarded_permission_sets(observed: Observed, changes: tuple[Change, ...], levels: frozenset[str]) -> Iterator[str]:
    """Yield a sentence for each deleted entry of a permission set that has no second mark, or one of another cluster.name.

    Without a second mark its level may have been written by hand. `levels` are those of the file.
    """
    bindings = observed.bindings.values()
    bound = {binding.level for binding in bindings if observed.owns_binding(binding)}
    others = {each.level: each.cluster for each in bindings if each.cluster not in ("", observed.cluster_name)}
    for change in changes:
        entry = change.item if change.verb is Verb.DELETE else None
        if not isinstance(entry, MappingEntry) or entry.sso is None:
            continue
        if entry.level in others:
            yield (
                f"mapping {entry.name} names level {entry.level}, which is cluster {others[entry.level]}'s by the labels of its"
                " bindings: it would be deleted. If cluster.name was changed, restore cluster.name in the file"
            )
        elif entry.level not in bound | levels:
            yield (
                f"mapping {entry.name} names level {entry.level}, which neither the file nor a binding of this cluster names: it"
                " would be deleted"
            )


def _is_elsewhere(observed: Observed, role: str, entry_key: str, groups: tuple[str, ...]) -> bool:
    """Return whether a role is marked as ours, and neither a policy nor a group of its level is at the cluster's path."""
    owner, owners = observed.owners.role(role), observed.owners
    if not owner.is_marked or owners.is_registered(entry_key) or owner.level in observed.registered_levels:
        return False
    keys = {name.casefold() for name in groups}
    return not any(
        group.name.casefold() in keys or observed.group_level(group) == owner.level for group in observed.owned_groups
    )


def guarded_deletions(observed: Observed, changes: tuple[Change, ...]) -> Iterator[str]:
    """Yield a sentence for each deletion of what may never have been a level's, or is of a level at another path."""
    yield from _guarded_paths(observed, changes)
    for change in changes:
        item = change.item if change.verb is Verb.DELETE else None
        if isinstance(item, RoleState) and not observed.owners.is_level_role(item) and not _is_mapped(observed, item):
            yield (
                f"role {item.name} carries this cluster's tag, but neither its trust policy nor its description is that of a level: "
                "it would be deleted"
            )
        in_use = isinstance(item, GroupState) and (item.attached or observed.member_names(item.name))
        if isinstance(item, GroupState) and in_use and not observed.group_level(item):
            yield f"group {item.name} at {item.path} has no policy of a level: it would be deleted, with its memberships"


def _is_mapped(observed: Observed, role: RoleState) -> bool:
    """Return whether the mapping has an entry for the role that names the role's level."""
    level = observed.level_of(role)
    return any(entry.key == pathless(role.arn) and entry.level == level for entry in observed.entries)


def _guarded_reassignments(observed: Observed, desired: Desired) -> Iterator[str]:
    """Yield a sentence for each resource that would move from a level that leaves to one with members of its own."""
    names = {level.name for level in desired}
    with_members = _levels_with_groups(observed)
    for found in _reassignments(observed, desired):
        if found.before not in names and found.after in with_members:
            yield (
                f"{found.kind.value} {found.name} was level {found.before}'s, "
                f"whose people would get level {found.after}"
            )


def _reassignments(observed: Observed, desired: Desired) -> Iterator[Reassignment]:
    for level in desired:
        yield from _reassigned_policy(observed, level)
        yield from _reassigned_role(observed, level)
        yield from _reassigned_group(observed, level)


def _reassigned_policy(observed: Observed, level: DesiredLevel) -> Iterator[Reassignment]:
    for policy in observed.owned_policies:
        before = observed.level_of(policy)
        if policy.arn == level.policy.arn and before not in ("", level.name):
            yield Reassignment(Kind.POLICY, policy.name, before, level.name)


def _reassigned_role(observed: Observed, level: DesiredLevel) -> Iterator[Reassignment]:
    role = observed.roles.get(level.role_key)
    if role is None or not (observed.owns_tags(role) or observed.owners.is_existing_role(role.name)):
        return
    named = {
        observed.level_of(policy)
        for policy in observed.owned_policies
        if any(pathless(role.arn) == pathless(arn) for arn in assumed_roles(policy.document))
    }
    # Existing roles have no level of their own: every user who can assume one by a level's policy has that level.
    before = observed.level_of(role) if observed.owns_tags(role) else min(named - {""}, default="")
    # With the level among them a renaming was stopped half way: the level's policy has its new name already.
    if before not in ("", level.name) and level.name not in named:
        yield Reassignment(Kind.ROLE, role.name, before, level.name)


def _reassigned_group(observed: Observed, level: DesiredLevel) -> Iterator[Reassignment]:
    group = observed.groups.get(level.group.name.casefold())
    if group is None or not observed.owns_group(group):
        return
    levels = levels_of(observed, group.attached)
    if levels and level.name not in levels:
        yield Reassignment(Kind.GROUP, group.name, min(levels), level.name)


def _levels_with_groups(observed: Observed) -> set[str]:
    """Return the levels whose policy a group has: groups of ours, existing ones, and others that somebody attached it to."""
    held = {observed.level_of(policy) for policy in observed.owned_policies if observed.holders.get(policy.arn)}
    return held | {name for group in observed.groups.values() for name in levels_of(observed, group.attached)}
