"""Facts about the members of levels beside IAM: denials of the deny list, and mapping entries of others that admit more principals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kube_iam.access.desired import desired_entry
from kube_iam.access.documents import mapped_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.members import LevelMembers
from kube_iam.access.ports import MappingEntry
from kube_iam.core.denied import Denial, DenialTable
from kube_iam.core.identity import Identity

Denied = Mapping[tuple[str, str], Denial]
"""Denials in force by level name and user name."""


def denied_members(
    access: ClusterAccess, levels: Iterable[LevelMembers], denials: Iterable[Denial], now: float
) -> Denied:
    """Return the members that a denial refuses in their level at `now` (unix seconds), by user name or ARN.

    Denials of access keys and unique ids are not among them: a user's name does not tell these.
    """
    table = DenialTable(denials)
    found: dict[tuple[str, str], Denial] = {}
    for members in levels:
        level = access.level(members.level)
        for user in (*(members.users or ()), *(who.user_name for who in members.temporary)) if level else ():
            denial = table.find(_identity(access, level, user), now, (level.group_name,)) if level else None
            if denial is not None:
                found[members.level, user] = denial
    return found


def other_entries(access: ClusterAccess, entries: Iterable[MappingEntry]) -> tuple[MappingEntry, ...]:
    """Return the entries that are not for a level of the file."""
    ours = {desired_entry(access, level).key for level in access.levels}
    return tuple(entry for entry in entries if entry.key not in ours)


def _identity(access: ClusterAccess, level: Level, user: str) -> Identity:
    """Return the identity with which the user signs in by the level, without unique id and access key."""
    if level.method is Method.GROUP:
        arn = f"arn:{access.partition}:iam::{access.account}:user/{user}"
        return Identity(arn, arn, access.account, "", "", "", "")
    role = mapped_arn(access, level)
    name = role.rpartition("/")[2]
    arn = f"arn:{access.partition}:sts::{access.account}:assumed-role/{name}/{user}"
    return Identity(arn, role, access.account, "", user, "", "")
