"""Members of existing groups who would get a level: who they are, and whether the mapping gives them that level already.

The mapping decides. Groups, policies and tags do not: a user who may create them in IAM could add people to a level by the next apply.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kube_iam.access.desired import DesiredLevel
from kube_iam.access.observed import Observed
from kube_iam.access.ports import GroupState


@dataclass(frozen=True, slots=True)
class MovedMember:
    """A member of a former group of a level, who would get into its present one. `is_admitted`: the mapping admits that user now."""

    user: str
    group: str
    is_admitted: bool


def moved_members(observed: Observed, level: DesiredLevel, staying: frozenset[str]) -> Iterator[MovedMember]:
    """Return who is in a group with the level's policy that no level has any more, and not in the level's group.

    `staying` are the groups of all levels, in lower case.
    """
    ours = {policy.arn for policy in observed.owned_policies() if observed.level_of(policy) == level.name}
    present = {user.name for user in observed.members.get(level.group.name.casefold(), ())}
    for group in observed.owned_groups():
        key = group.name.casefold()
        if key in staying or not ours & set(group.attached):
            continue
        for user in observed.members.get(key, ()):
            if user.name not in present:
                present.add(user.name)
                yield MovedMember(user.name, group.name, _admits(observed, level, key))


def _admits(observed: Observed, level: DesiredLevel, group: str) -> bool:
    """Return whether the mapping names the group for the level now.

    The group's path and policy are no proof: a user who may create groups could have made it. Neither does an entry without a group.
    """
    return group in _named_groups(observed, level.name, level.entry.key)


def _named_groups(observed: Observed, level: str, key: str = "") -> set[str]:
    """Return the groups, in lower case, that entries with that key, or entries of ours that name the level, ask for.

    An empty string stands for an entry that asks for none. The owner of an entry does not count: tags may have been changed since.
    """
    owners = observed.owners
    return {
        entry.iam_group.casefold()
        for entry in observed.entries
        if entry.key == key or (entry.level == level and owners.entry(entry.key).is_ours)
    }


def guarded_members(observed: Observed, desired: tuple[DesiredLevel, ...]) -> Iterator[str]:
    """Return a sentence for each group whose members would get a level that the mapping does not give them now."""
    staying = frozenset(level.group.name.casefold() for level in desired)
    for level in desired:
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
    """Return the members of the level's group, if it is ours, who do not have the level now, nor one that is this one renamed."""
    key, former = group.name.casefold(), observed.group_level(group)
    named, of_former = _named_groups(observed, level.name, level.entry.key), _named_groups(observed, former)
    policies = levels_of(observed, group.attached)
    has_policy = level.policy.arn in group.attached or level.name in policies
    # Without an entry the policies decide: a run that moves the role removes the entry for a moment.
    had_former = key in of_former or (not of_former and former in policies)
    is_renamed = had_former and former not in {each.name for each in desired}
    if not observed.owns_group(group) or key in named or is_renamed or (has_policy and not named - {""}):
        return []
    present = {user.name for each in named for user in observed.members.get(each, ())}
    return [user.name for user in observed.members.get(key, ()) if user.name not in present]


def _sentence(users: list[str], level: DesiredLevel, group: str, verb: str, state: str) -> str:
    return (
        f"{', '.join(users)} {verb} level {level.name}, as members of group {group}, which {state} and which the mapping "
        f"does not name for it; to leave them out, remove them from group {group}"
    )


def levels_of(observed: Observed, attached: tuple[str, ...]) -> set[str]:
    """Return the levels of this cluster's policies among those ARNs."""
    return {observed.level_of(policy) for policy in observed.owned_policies() if policy.arn in attached} - {""}
