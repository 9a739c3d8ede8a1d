"""Deletions of a plan: everything of this cluster that no level of the file needs, and what `destroy` leaves of others.

Mapping entries are deleted first, so that nobody can sign in by them. Policies are deleted last: a later run finds by them what a
killed run left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kube_iam.access.changes import (
    Attachment,
    Change,
    Detachment,
    FormerEntry,
    Kind,
    Membership,
    TemporaryRemoval,
    Verb,
    binding_fields,
    binding_name,
    entry_fields,
    member_change,
    removed,
)
from kube_iam.access.desired import (
    AnyLevel,
    DesiredLevel,
    MappedLevel,
    assumed_roles,
    level_in_name,
)
from kube_iam.access.levels import Owner, user_policy_name
from kube_iam.access.mapping import given, is_removable, pathless, role_key
from kube_iam.access.observed import Observed
from kube_iam.access.ports import GroupState, RoleState
from kube_iam.access.synced_levels import bound_grants

Desired = tuple[DesiredLevel, ...]


@dataclass(frozen=True, slots=True)
class _Stray:
    """A policy of this cluster on a group of this cluster that must not have it. `level` is the level of the change.

    `is_early`: it must be detached before anything is built, because the policy is another level's or becomes that.
    """

    group: GroupState
    policy_arn: str
    level: str
    is_early: bool

    def detached(self) -> Change:
        """Return the change that detaches the policy."""
        return _detached(self.group, self.policy_arn, self.level)


def cluster_deletions(
    observed: Observed, desired: Desired, now: float, sets: tuple[MappedLevel, ...] = ()
) -> Iterator[Change]:
    """Yield deletions of mapping entries, of temporary access and of bindings, in this order, then of attachments that must go early.

    A role that is created anew loses its entry until it exists again. Temporary access is deleted if its entry is deleted, if it
    is over at `now` (Unix seconds), or if a change of the entry would end it.
    """
    anew = {change.name.casefold() for change in replaced_roles(observed, desired)}
    wanted = {level.entry.key for level in desired if level.role_key not in anew} | {each.entry.key for each in sets}
    # A level by role has no entry in mapGroups. An entry for its group would admit the members once the group is created.
    # An existing group has been there before, and entries of others for it stay.
    created = (level for level in desired if level.role and not level.group.existing)
    ours = observed.entry_levels | {level.group.name.casefold(): level.name for level in created}
    deleted = {
        entry.key: entry for entry in reversed(observed.entries) if entry.key in ours and entry.key not in wanted
    }
    for key, entry in reversed(deleted.items()):
        yield Change(Verb.DELETE, Kind.MAPPING, entry.name, ours[key], removed(entry_fields(entry)), entry)
    every: tuple[AnyLevel, ...] = (*desired, *sets)
    yield from _former_deletions(observed, {level.entry.key for level in every})
    yield from _removable_rivals(observed, ours)
    yield from _ended_temporary(observed, desired, ours, anew, now)
    kept = {binding.ident for level in every for binding in level.bindings}
    for ident, binding in sorted(observed.bindings.items()):
        if ident not in kept and observed.owns_binding(binding):
            fields = removed(binding_fields(binding))
            level = binding.level or level_in_name(binding.name)
            yield Change(Verb.DELETE, Kind.BINDING, binding_name(binding), level, fields, binding)
    yield from (stray.detached() for stray in _strays(observed, desired) if stray.is_early)


def _former_deletions(observed: Observed, wanted: set[str]) -> Iterator[Change]:
    """Yield deletions of our entries in the former mapping, with the temporary access that they hold.

    `wanted` are the keys of entries that the present mapping has by then.
    """
    for entry, level in observed.former.entries:
        for who in entry.temporary:
            fields = removed({"until": who.until, "reason": who.reason})
            policy = user_policy_name(observed.cluster_name, level) if entry.role_arn else ""
            ended = TemporaryRemoval(entry, who.user_name, policy)
            yield Change(Verb.DELETE, Kind.TEMPORARY, f"{who.user_name} in {level}", level, fields, ended)
        name = f"{entry.name} in {observed.former.place}"
        item = FormerEntry(entry, entry.key in wanted)
        yield Change(Verb.DELETE, Kind.MAPPING, name, level, removed(entry_fields(entry)), item)


def _removable_rivals(observed: Observed, ours: dict[str, str]) -> Iterator[Change]:
    """Yield entries of mapUsers for roles of this cluster. The server would apply them once the level's own entry is deleted."""
    for key, rivals in observed.rivals.items():
        owner = observed.owners.role(role_key(key))
        of_others = observed.owners.is_existing_role(role_key(key))
        for rival in rivals if not of_others and (owner.is_ours or key in ours) else ():
            if is_removable(rival):
                level = ours.get(key, owner.level)
                yield Change(Verb.DELETE, Kind.MAPPING, rival.name, level, removed(entry_fields(rival)), rival)


def _ended_temporary(
    observed: Observed, desired: Desired, ours: dict[str, str], anew: set[str], now: float
) -> Iterator[Change]:
    staying = {level.entry.key: level for level in desired if level.role_key not in anew}
    for entry in observed.entries:
        if entry.key not in ours:
            continue
        wanted, level = staying.get(entry.key), entry.level or ours[entry.key]
        bound = bound_grants(observed, level)
        for who in dict.fromkeys((*entry.temporary, *bound)):
            # Bindings of a synced level keep their grants, other levels those of their entry. None moves from one to the other.
            has_place = wanted is not None and (wanted.is_synced if who in bound else bool(wanted.entry.iam_group))
            keeps = has_place and wanted is not None and entry.level in ("", wanted.name)
            if keeps and who.ends > now:
                continue
            policy = user_policy_name(observed.cluster_name, level) if entry.role_arn else ""
            fields = removed({"until": who.until, "reason": who.reason})
            name = f"{who.user_name} in {level}"
            ended = TemporaryRemoval(entry, who.user_name, policy, who if keeps else None)
            yield Change(Verb.DELETE, Kind.TEMPORARY, name, level, fields, ended)


def replaced_roles(observed: Observed, desired: Desired) -> Iterator[Change]:
    """Yield roles to delete before their level is built.

    Those are roles that get another path, and roles that are renamed while the level keeps its policy: the policy's document is
    all that names the old role.
    """
    paths = {level.role_key: level.role.path for level in desired if level.role}
    kept = {level.policy.arn for level in desired}
    renamed = {
        pathless(arn)
        for policy in observed.owned_policies
        if policy.arn in kept
        for arn in assumed_roles(policy.document)
    }
    for role in observed.owned_roles:
        key = role.name.casefold()
        if paths.get(key, role.path) != role.path or (key not in paths and pathless(role.arn) in renamed):
            yield _role_deletion(observed, role)


def iam_deletions(observed: Observed, desired: Desired) -> Iterator[Change]:
    """Yield deletions of members, attachments, groups, roles and policies of levels that are gone, level by level."""
    groups = {level.group.name.casefold() for level in desired}
    roles = {level.role_key for level in desired}
    policies = {level.policy.arn for level in desired}
    already = {change.name for change in replaced_roles(observed, desired)}
    strays = list(_strays(observed, desired))
    yield from _detached_from_others(observed)
    yield from (stray.detached() for stray in strays if not stray.is_early)
    early = {(stray.group.name, stray.policy_arn) for stray in strays if stray.is_early}
    changes: list[Change] = []
    for group in observed.owned_groups:
        if group.name.casefold() not in groups:
            changes += [change for change in _group_deletions(observed, group) if _place(change) not in early]
    changes += [
        _role_deletion(observed, role)
        for role in observed.owned_roles
        if role.name.casefold() not in roles and role.name not in already
    ]
    for policy in observed.owned_policies:
        if policy.arn not in policies:
            level = observed.level_of(policy)
            changes.append(Change(Verb.DELETE, Kind.POLICY, policy.name, level, (), policy))
    # Stable: within a level the order above stays. A policy can be on groups of several levels, so that all policies go last.
    yield from sorted(changes, key=lambda change: (change.kind is Kind.POLICY, change.level))


def _strays(observed: Observed, desired: Desired) -> Iterator[_Stray]:
    """Yield strays. Of a group that is deleted only early ones: the others go with the group."""
    wanted = {(level.group.name.casefold(), level.policy.arn) for level in desired}
    staying = {level.group.name.casefold(): level.name for level in desired}
    after = {level.policy.arn: level.name for level in desired}
    before = {policy.arn: observed.level_of(policy) for policy in observed.owned_policies}
    for group in observed.owned_groups:
        key = group.name.casefold()
        for arn in group.attached:
            if arn not in before or (key, arn) in wanted:
                continue
            reassigned = after.get(arn, before[arn]) != before[arn]
            if key in staying:
                others = before[arn] != staying[key] and before[arn] in staying.values()
                yield _Stray(group, arn, staying[key], reassigned or others)
            elif reassigned:
                yield _Stray(group, arn, before[arn], True)


def _detached_from_others(observed: Observed) -> Iterator[Change]:
    """Yield detachments of our policies from users, roles and groups of others, who could assume a level's role by them."""
    for policy in observed.owned_policies:
        for holder in observed.holders.get(policy.arn, ()):
            name, fields = f"{policy.name} on {holder}", removed({"policy": policy.arn})
            yield Change(
                Verb.DELETE, Kind.ATTACHMENT, name, observed.level_of(policy), fields, Detachment(holder, policy.arn)
            )


def _place(change: Change) -> tuple[str, str] | None:
    item = change.item
    return (item.group, item.policy_arn) if isinstance(item, Attachment) else None


def _group_deletions(observed: Observed, group: GroupState) -> Iterator[Change]:
    level = observed.group_level(group)
    for user in observed.member_names(group.name):
        yield member_change(Verb.DELETE, Membership(group.name, user), level)
    for arn in group.attached:
        yield _detached(group, arn, level)
    yield Change(Verb.DELETE, Kind.GROUP, group.name, level, removed({"path": group.path}), group)


def _detached(group: GroupState, policy_arn: str, level: str) -> Change:
    name = f"{policy_arn.rsplit('/', 1)[-1]} on {group.name}"
    fields = removed({"policy": policy_arn})
    return Change(Verb.DELETE, Kind.ATTACHMENT, name, level, fields, Attachment(group.name, policy_arn))


def _role_deletion(observed: Observed, role: RoleState) -> Change:
    return Change(Verb.DELETE, Kind.ROLE, role.name, observed.level_of(role), removed({"path": role.path}), role)


def left_alone(observed: Observed) -> Iterator[str]:
    """Yield a sentence for each resource through which somebody could sign in, or that would admit somebody again.

    That is each policy and group under the cluster's path, each binding with the name of one of the levels', and each mapping
    entry for a role or group that the file or a policy under the path names. Resources of this cluster are not among them: they
    are deleted.
    """
    owners = observed.owners
    for policy in observed.policies:
        if not owners.policy(policy.arn).is_ours:
            yield f"policy {policy.name} at {policy.path} {_whose(owners.policy(policy.arn))}"
    for group in observed.groups.values():
        if group.path == observed.path and not owners.group(group.name).is_ours:
            yield f"group {group.name} at {group.path} {_whose(owners.group(group.name))}"
    for entry in observed.entries:
        owner = owners.entry(entry.key)
        if owners.is_related(entry) and not owner.is_ours:
            yield f"mapping {entry.name} ({given(entry)}) {_whose(owner)}"
    for binding in observed.bindings.values():
        if not observed.owns_binding(binding) and level_in_name(binding.name):
            groups = ", ".join(binding.subjects) or "nobody"
            whose = f"belongs to cluster {binding.cluster}" if binding.cluster else "is not marked as this cluster's"
            yield f"binding {binding_name(binding)} ({binding.role_kind} {binding.role_name} for {groups}) {whose}"
    for key, rivals in observed.rivals.items():
        is_ours = owners.role(role_key(key)).is_ours or owners.entry(key).is_ours
        removed = is_ours and not owners.is_existing_role(role_key(key))
        for rival in rivals:
            if not (removed and is_removable(rival)):
                yield f"mapping {rival.name} at {rival.where} ({given(rival)}) means the role {key}"


def _whose(owner: Owner) -> str:
    return f"belongs to cluster {owner.cluster}" if owner.is_other else "is not marked as this cluster's"
