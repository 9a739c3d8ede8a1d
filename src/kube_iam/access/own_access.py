"""Guard of `revoke`: the access that a revocation takes from its caller."""

from __future__ import annotations

from kube_iam.access.desired import desired_bindings
from kube_iam.access.guards import MASTERS, signed_in_through
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import ClusterAccess, Level
from kube_iam.access.ports import Subject
from kube_iam.errors import NotFound, NotOwned

_ADMINISTRATOR = ("", "ClusterRole", "cluster-admin")


def lost_access(reader: LevelReader, level: Level, user: str, subject: Subject | None = None) -> str:
    """Return a sentence if revoking the level takes access from the user, empty if the user's other levels give as much.

    A caller who is signed in through the level (`subject`) without being a member has temporary access. A group that is not this
    cluster's gives none. Raises what the directory raises.
    """
    is_member = _is_member(reader, level, user)
    if not is_member and (subject is None or not signed_in_through(reader.access, level, subject)):
        return ""
    levels, group = reader.access.iam_levels, level.group_name.casefold()
    reader.owners(levels)
    # Levels that share an existing group are lost with it.
    sharing = (each for each in levels if each.group_name.casefold() == group and each.name != level.name)
    lost = [level, *(sharing if is_member else ())]
    others = [each for each in levels if each.group_name.casefold() != group and _is_member(reader, each, user)]
    gone = next((each.name for each in lost if not _covers(reader.access, others, each)), "")
    if not gone:
        return ""
    said = f"you are {user}, and no other level that you are in gives what level {gone} gives"
    return said if gone == level.name else f"{said}, whose group {level.group_name} you would leave"


def _is_member(reader: LevelReader, level: Level, user: str) -> bool:
    try:
        return user.casefold() in {member.name.casefold() for member in reader.members(level)}
    except (NotFound, NotOwned):
        return False


def _covers(access: ClusterAccess, others: list[Level], level: Level) -> bool:
    """Return whether the other levels give all that the level gives: its groups, or the roles that it binds."""
    groups = {group for other in others for group in other.groups}
    if (level.groups and set(level.groups) <= groups) or MASTERS in groups:
        return True
    held = {binding.grant for other in others for binding in desired_bindings(access, other)}
    wanted = [binding.grant for binding in desired_bindings(access, level)]
    return bool(wanted) and all({grant, ("", *grant[1:]), _ADMINISTRATOR} & held for grant in wanted)
