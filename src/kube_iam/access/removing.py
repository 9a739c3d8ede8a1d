"""The changes that take away what no level wants any more. The mapping entry goes first, which closes the door; the policy, by which
a later run finds what a killed one left, goes last."""

from __future__ import annotations

from collections.abc import Iterator

from kube_iam.access.building import binding_fields, binding_name, entry_fields
from kube_iam.access.changes import Attachment, Change, Field, Kind, Membership, Verb
from kube_iam.access.desired import LEVEL_TAG, DesiredLevel
from kube_iam.access.documents import assumed_roles
from kube_iam.access.observed import Observed, pathless
from kube_iam.access.ports import GroupState, RoleState

Desired = tuple[DesiredLevel, ...]


def closing(observed: Observed, desired: Desired) -> Iterator[Change]:
    """Mapping entries and bindings that go, entries first."""
    wanted = {pathless(level.entry.role_arn) for level in desired}
    ours = observed.role_levels()
    for arn in dict.fromkeys(entry.role_arn for entry in observed.entries):
        if pathless(arn) in ours and pathless(arn) not in wanted:
            entry = next(entry for entry in observed.entries if entry.role_arn == arn)
            yield Change(Verb.DELETE, Kind.MAPPING, arn, ours[pathless(arn)], _vanishing(entry_fields(entry)), entry)
    kept = {binding.ident for level in desired for binding in level.bindings}
    for ident, binding in sorted(observed.bindings.items()):
        if ident not in kept and observed.owns_binding(binding):
            fields = _vanishing(binding_fields(binding))
            yield Change(Verb.DELETE, Kind.BINDING, binding_name(binding), binding.level, fields, binding)


def replacing(observed: Observed, desired: Desired) -> Iterator[Change]:
    """Roles that must be gone before their level is built: one that gets another path, and one whose level renames its role but keeps
    its policy, since the policy's document is all that names the old role."""
    paths = {level.role.name.casefold(): level.role.path for level in desired}
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
            yield _role_gone(role)


def removing(observed: Observed, desired: Desired) -> Iterator[Change]:
    """Members, attachments, groups, roles and policies of levels that are gone, level by level."""
    groups = {level.group.name.casefold() for level in desired}
    roles = {level.role.name.casefold() for level in desired}
    policies = {level.policy.arn for level in desired}
    already = {change.name for change in replacing(observed, desired)}
    yield from _stray_attachments(observed, desired)
    changes: list[Change] = []
    for group in observed.owned_groups():
        if group.name.casefold() not in groups:
            changes += _group_gone(observed, group)
    changes += [
        _role_gone(role)
        for role in observed.owned_roles()
        if role.name.casefold() not in roles and role.name not in already
    ]
    for policy in observed.owned_policies():
        if policy.arn not in policies:
            level = policy.tags.get(LEVEL_TAG, "")
            changes.append(Change(Verb.DELETE, Kind.POLICY, policy.name, level, (), policy))
    yield from sorted(changes, key=lambda change: change.level)  # stable: within a level the order above stays


def _stray_attachments(observed: Observed, desired: Desired) -> Iterator[Change]:
    """Our policies on groups of ours that should not carry them: one that is going, or one that somebody attached by hand."""
    wanted = {(level.group.name.casefold(), level.policy.arn) for level in desired}
    staying = {level.group.name.casefold(): level.name for level in desired}
    ours = {policy.arn for policy in observed.owned_policies()} | {level.policy.arn for level in desired}
    for key, group in observed.groups.items():
        for arn in group.attached if key in staying else ():
            if arn in ours and (key, arn) not in wanted:
                yield _detached(group, arn, staying[key])


def _group_gone(observed: Observed, group: GroupState) -> Iterator[Change]:
    levels = {policy.arn: policy.tags.get(LEVEL_TAG, "") for policy in observed.owned_policies()}
    level = next((levels[arn] for arn in group.attached if arn in levels), "")
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


def _role_gone(role: RoleState) -> Change:
    return Change(
        Verb.DELETE, Kind.ROLE, role.name, role.tags.get(LEVEL_TAG, ""), _vanishing({"path": role.path}), role
    )


def _vanishing(fields: dict[str, object]) -> tuple[Field, ...]:
    return tuple(Field(name, before, None) for name, before in fields.items())
