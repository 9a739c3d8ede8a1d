"""The changes that take away what no level wants any more. The mapping entry goes first, which closes the door; the policy, by which
a later run finds what a killed one left, goes last."""

from __future__ import annotations

from collections.abc import Iterator

from kube_iam.access.changes import (
    Attachment,
    Change,
    Detachment,
    Ended,
    Field,
    Kind,
    Membership,
    Verb,
    binding_fields,
    binding_name,
    entry_fields,
    is_removable,
)
from kube_iam.access.desired import DesiredLevel, assumed_roles, level_in_name, user_policy_name
from kube_iam.access.mapping import pathless, role_key
from kube_iam.access.observed import Observed
from kube_iam.access.ports import GroupState, RoleState

Desired = tuple[DesiredLevel, ...]


def closing(observed: Observed, desired: Desired, now: float) -> Iterator[Change]:
    """Mapping entries and bindings that go, entries first. A role that is made anew loses its entry until it is there again.

    After the entries goes the temporary access that they gave, or that is over, or that a change of its entry would end.
    """
    anew = {change.name.casefold() for change in replacing(observed, desired)}
    wanted = {level.entry.key for level in desired if level.role_key not in anew}
    # A level by role has no entry in mapGroups. One for its group, which may be about to be created, would admit the group's members.
    ours = observed.entry_levels() | {level.group.name.casefold(): level.name for level in desired if level.role}
    going = {entry.key: entry for entry in reversed(observed.entries) if entry.key in ours and entry.key not in wanted}
    for key, entry in reversed(going.items()):
        yield Change(Verb.DELETE, Kind.MAPPING, entry.name, ours[key], _vanishing(entry_fields(entry)), entry)
    yield from _removable_rivals(observed, ours)
    yield from _no_longer_let_in(observed, desired, ours, anew, now)
    kept = {binding.ident for level in desired for binding in level.bindings}
    for ident, binding in sorted(observed.bindings.items()):
        if ident not in kept and observed.owns_binding(binding):
            fields = _vanishing(binding_fields(binding))
            level = binding.level or level_in_name(binding.name)
            yield Change(Verb.DELETE, Kind.BINDING, binding_name(binding), level, fields, binding)
    yield from (_detached(group, arn, level) for group, arn, level, early in _strays(observed, desired) if early)


def _removable_rivals(observed: Observed, ours: dict[str, str]) -> Iterator[Change]:
    """Entries of mapUsers for roles of ours. The server would apply them as soon as the level's own entry is gone."""
    for key, rivals in observed.rivals.items():
        owner = observed.owners.role(role_key(key))
        for rival in rivals if owner.is_ours or key in ours else ():
            if is_removable(rival):
                level = ours.get(key, owner.level)
                yield Change(Verb.DELETE, Kind.MAPPING, rival.name, level, _vanishing(entry_fields(rival)), rival)


def _no_longer_let_in(
    observed: Observed, desired: Desired, ours: dict[str, str], anew: set[str], now: float
) -> Iterator[Change]:
    staying = {level.entry.key: level.entry for level in desired if level.role_key not in anew}
    for entry in observed.entries:
        if entry.key not in ours:
            continue
        wanted = staying.get(entry.key)
        keeps = wanted is not None and wanted.iam_group and entry.level in ("", wanted.level)
        for who in entry.temporary:
            if keeps and who.ends > now:
                continue
            level = entry.level or ours[entry.key]
            policy = user_policy_name(observed.cluster_name, level) if entry.role_arn else ""
            fields = _vanishing({"until": who.until, "reason": who.reason})
            name = f"{who.user_name} in {level}"
            ended = Ended(entry, who.user_name, policy, who if keeps else None)
            yield Change(Verb.DELETE, Kind.TEMPORARY, name, level, fields, ended)


def replacing(observed: Observed, desired: Desired) -> Iterator[Change]:
    """Roles that must be gone before their level is built: one that gets another path, and one whose level renames its role but keeps
    its policy, since the policy's document is all that names the old role."""
    paths = {level.role_key: level.role.path for level in desired if level.role}
    kept = {level.policy.arn for level in desired}
    renamed = {
        pathless(arn)
        for policy in observed.owned_policies()
        if policy.arn in kept
        for arn in assumed_roles(policy.document)
    }
    for role in observed.owned_roles():
        key = role.name.casefold()
        if paths.get(key, role.path) != role.path or (key not in paths and pathless(role.arn) in renamed):
            yield _role_gone(observed, role)


def removing(observed: Observed, desired: Desired) -> Iterator[Change]:
    """Members, attachments, groups, roles and policies of levels that are gone, level by level."""
    groups = {level.group.name.casefold() for level in desired}
    roles = {level.role_key for level in desired}
    policies = {level.policy.arn for level in desired}
    already = {change.name for change in replacing(observed, desired)}
    strays = list(_strays(observed, desired))
    yield from _detached_from_others(observed)
    yield from (_detached(group, arn, level) for group, arn, level, early in strays if not early)
    early = {(group.name, arn) for group, arn, _, is_early in strays if is_early}
    changes: list[Change] = []
    for group in observed.owned_groups():
        if group.name.casefold() not in groups:
            changes += [change for change in _group_gone(observed, group) if _place(change) not in early]
    changes += [
        _role_gone(observed, role)
        for role in observed.owned_roles()
        if role.name.casefold() not in roles and role.name not in already
    ]
    for policy in observed.owned_policies():
        if policy.arn not in policies:
            level = observed.level_of(policy)
            changes.append(Change(Verb.DELETE, Kind.POLICY, policy.name, level, (), policy))
    # Stable: within a level the order above stays. A policy can be on groups of several levels, so that all policies go last.
    yield from sorted(changes, key=lambda change: (change.kind is Kind.POLICY, change.level))


def _strays(observed: Observed, desired: Desired) -> Iterator[tuple[GroupState, str, str, bool]]:
    """Our policies on groups of ours that should not carry them: group, policy, level, and whether it has to be off before anything
    is built, because the policy is or will be another level's. On a group that goes, only those."""
    wanted = {(level.group.name.casefold(), level.policy.arn) for level in desired}
    staying = {level.group.name.casefold(): level.name for level in desired}
    after = {level.policy.arn: level.name for level in desired}
    before = {policy.arn: observed.level_of(policy) for policy in observed.owned_policies()}
    for group in observed.owned_groups():
        key = group.name.casefold()
        for arn in group.attached:
            if arn not in before or (key, arn) in wanted:
                continue
            handed_over = after.get(arn, before[arn]) != before[arn]
            if key in staying:
                others = before[arn] != staying[key] and before[arn] in staying.values()
                yield group, arn, staying[key], handed_over or others
            elif handed_over:
                yield group, arn, before[arn], True


def _detached_from_others(observed: Observed) -> Iterator[Change]:
    """Our policies come off users, roles and groups of others, who could assume a level's role by them."""
    for policy in observed.owned_policies():
        for holder in observed.holders.get(policy.arn, ()):
            name, fields = f"{policy.name} on {holder}", _vanishing({"policy": policy.arn})
            yield Change(
                Verb.DELETE, Kind.ATTACHMENT, name, observed.level_of(policy), fields, Detachment(holder, policy.arn)
            )


def _place(change: Change) -> tuple[str, str] | None:
    item = change.item
    return (item.group, item.policy_arn) if isinstance(item, Attachment) else None


def _group_gone(observed: Observed, group: GroupState) -> Iterator[Change]:
    level = observed.group_level(group)
    for user in observed.members.get(group.name.casefold(), ()):
        item = Membership(group.name, user.name)
        yield Change(Verb.DELETE, Kind.MEMBER, f"{user.name} in {group.name}", level, (), item)
    for arn in group.attached:
        yield _detached(group, arn, level)
    yield Change(Verb.DELETE, Kind.GROUP, group.name, level, _vanishing({"path": group.path}), group)


def _detached(group: GroupState, policy_arn: str, level: str) -> Change:
    name = f"{policy_arn.rsplit('/', 1)[-1]} on {group.name}"
    fields = _vanishing({"policy": policy_arn})
    return Change(Verb.DELETE, Kind.ATTACHMENT, name, level, fields, Attachment(group.name, policy_arn))


def _role_gone(observed: Observed, role: RoleState) -> Change:
    return Change(Verb.DELETE, Kind.ROLE, role.name, observed.level_of(role), _vanishing({"path": role.path}), role)


def _vanishing(fields: dict[str, object]) -> tuple[Field, ...]:
    return tuple(Field(name, before, None) for name, before in fields.items())
