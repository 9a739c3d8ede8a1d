"""One level must not quietly get what another level's people hold.

A role, policy or group that changes its level takes people along: sessions of the role live on, members of the group stay. While
the other level stays in the file that is refused. When it has left the file, a level that is new may have its things (it is the old
one under another name), but one that has people of its own gets them only with --force.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kube_iam.access.changes import Kind
from kube_iam.access.desired import LEVEL_TAG, DesiredLevel
from kube_iam.access.documents import assumed_roles
from kube_iam.access.foreign import Foreign
from kube_iam.access.observed import Observed, pathless

Desired = tuple[DesiredLevel, ...]


@dataclass(frozen=True, slots=True)
class _Handed:
    """Something of ours that has been one level's and would be another's."""

    kind: Kind
    name: str
    before: str
    after: str


def refused(observed: Observed, desired: Desired) -> Iterator[Foreign]:
    """What would go from a level that stays in the file to another."""
    names = {level.name for level in desired}
    for handed in _all_handed(observed, desired):
        if handed.before in names:
            why = f"is level {handed.before}'s, whose people would get level {handed.after}"
            remedy = f"give level {handed.after} a name of its own for the {handed.kind.value}"
            yield Foreign(handed.kind, handed.name, why, remedy, adoptable=False)


def guarded(observed: Observed, desired: Desired) -> Iterator[str]:
    """A sentence for everything that would go from a level that is leaving to one that has people of its own."""
    names = {level.name for level in desired}
    peopled = _levels_with_groups(observed)
    for handed in _all_handed(observed, desired):
        if handed.before not in names and handed.after in peopled:
            yield (
                f"{handed.kind.value} {handed.name} was level {handed.before}'s, "
                f"whose people would get level {handed.after}"
            )


def _all_handed(observed: Observed, desired: Desired) -> Iterator[_Handed]:
    for level in desired:
        yield from _handed_policy(observed, level)
        yield from _handed_role(observed, level)
        yield from _handed_group(observed, level)


def _handed_policy(observed: Observed, level: DesiredLevel) -> Iterator[_Handed]:
    for policy in observed.owned_policies():
        before = policy.tags.get(LEVEL_TAG, "")
        if policy.arn == level.policy.arn and before not in ("", level.name):
            yield _Handed(Kind.POLICY, policy.name, before, level.name)


def _handed_role(observed: Observed, level: DesiredLevel) -> Iterator[_Handed]:
    role = observed.roles.get(level.role_key)
    if role is None or not observed.owns_tags(role):
        return
    before = role.tags.get(LEVEL_TAG, "")
    # A renaming that was stopped half way: the level's policy has its new name already.
    under_way = any(
        pathless(role.arn) == pathless(arn)
        for policy in observed.owned_policies()
        if policy.tags.get(LEVEL_TAG) == level.name
        for arn in assumed_roles(policy.document)
    )
    if before not in ("", level.name) and not under_way:
        yield _Handed(Kind.ROLE, role.name, before, level.name)


def _handed_group(observed: Observed, level: DesiredLevel) -> Iterator[_Handed]:
    group = observed.groups.get(level.group.name.casefold())
    if group is None or not observed.owns_group(group):
        return
    levels = _levels_of(observed, group.attached)
    if levels and level.name not in levels:
        yield _Handed(Kind.GROUP, group.name, min(levels), level.name)


def _levels_of(observed: Observed, attached: tuple[str, ...]) -> set[str]:
    return {policy.tags.get(LEVEL_TAG, "") for policy in observed.owned_policies() if policy.arn in attached} - {""}


def _levels_with_groups(observed: Observed) -> set[str]:
    return {name for group in observed.owned_groups() for name in _levels_of(observed, group.attached)}
