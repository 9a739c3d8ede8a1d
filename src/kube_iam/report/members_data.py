"""Members of levels as data for programs. Times are RFC 3339 in UTC, durations are seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from kube_iam.access.mapping import MappingEntry
from kube_iam.core.arns import is_account_id
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.denylist.denial import Denial
from kube_iam.denylist.denied_members import Denied, is_of_key

if TYPE_CHECKING:
    from kube_iam.access.members import LevelMembers

States = Mapping[str, dict[str, object]]
"""States of levels on the server, by level name, as `report.membership_text.states_data` returns them."""


def levels_data(
    levels: Sequence[LevelMembers],
    now: float,
    denied: Denied = MappingProxyType({}),
    states: States = MappingProxyType({}),
) -> list[dict[str, object]]:
    """Return one object per level. `notAdmitted` lists temporary access that admits nobody, `denied` denied members, if any.

    `managedIn` is `file` if the access file lists the members, `identityCenter` for a `permissionSet`, `elsewhere` for a
    `mappedRole`, else `iam`. `notInFile` and `notInIam` are the differences between file and IAM. `applied` of a permission set or
    mapped role is null if the mapping was not read.

    `server` is the state of the level in the server, if it is known.
    """
    return [
        {
            "level": each.level,
            "group": each.group,
            "applied": each.is_mapped if each.permission_set or each.mapped_role else each.users is not None,
            "users": list(each.users or ()),
            "managedIn": _managed_in(each),
            **({"permissionSet": each.permission_set} if each.permission_set else {}),
            **({"mappedRole": each.mapped_role} if each.mapped_role else {}),
            **_listed("notInFile", each.unlisted),
            **_listed("notInIam", each.absent),
            "temporary": [{"user": who.user_name, **_time(who, now)} for who in each.temporary],
            **_not_admitted({"user": who.user_name, **_time(who, now), "why": why} for who, why in each.void),
            **_listed(
                "denied", ({"user": user, **_denial(d)} for (level, user), d in denied.items() if level == each.level)
            ),
            **({"server": states[each.level]} if each.level in states else {}),
        }
        for each in levels
    ]


def _managed_in(level: LevelMembers) -> str:
    if level.permission_set:
        return "identityCenter"
    if level.mapped_role:
        return "elsewhere"
    return "iam" if level.listed is None else "file"


def users_data(
    levels: Sequence[LevelMembers],
    now: float,
    denied: Denied = MappingProxyType({}),
    states: States = MappingProxyType({}),
) -> list[dict[str, object]]:
    """Return one object per user. `levels` includes levels with temporary access. `notAdmitted` is as in `levels_data`.

    `server` lists the states of the user's levels in the server.
    """
    from kube_iam.access.members import by_user

    found = by_user(levels)
    void = {who.user_name for each in levels for who, _ in each.void}
    found |= {user: [] for user in sorted(void, key=str.casefold) if user not in found}
    return [
        {
            "user": user,
            "levels": names,
            "temporary": [
                {"level": each.level, **_time(who, now)}
                for each in levels
                for who in each.temporary
                if who.user_name == user
            ],
            **_not_admitted(
                {"level": each.level, **_time(who, now), "why": why}
                for each in levels
                for who, why in each.void
                if who.user_name == user
            ),
            **_listed(
                "denied", ({"level": level, **_denial(d)} for (level, name), d in denied.items() if name == user)
            ),
            **_listed("server", ({"level": name, **states[name]} for name in names if name in states)),
        }
        for user, names in found.items()
    ]


def entries_data(entries: Iterable[MappingEntry]) -> list[dict[str, object]]:
    """Return one object per entry of the mapping. `kind` is role, user, group, permissionSet or account.

    An account has no `username`: its users and roles are named by their ARNs.
    """
    return [
        {
            "principal": each.sso.describe() if each.sso else each.principal or each.role_arn or each.iam_group,
            "kind": kind_of_entry(each),
            "username": each.username,
            "groups": list(each.groups),
            "level": each.level,
        }
        for each in entries
    ]


def denied_data(denied: Denied) -> list[dict[str, object]]:
    """Return one object per member and level that the deny list refuses."""
    return [{"level": level, "user": user, **_denial(denial)} for (level, user), denial in denied.items()]


def kind_of_entry(entry: MappingEntry) -> str:
    """Return the kind of principal that an entry of the mapping admits."""
    if entry.sso is not None:
        return "permissionSet"
    if not entry.principal:
        return "role" if entry.role_arn else "group"
    if is_account_id(entry.principal):
        return "account"
    if entry.principal.startswith("permission set"):
        return "permissionSet"
    return "user" if ":user/" in entry.principal else "role"


def _denial(denial: Denial) -> dict[str, object]:
    end = {} if denial.until == float("inf") else {"until": denial.end}
    key = {"accessKeyId": denial.value} if is_of_key(denial) else {}
    return {"denial": denial.name, **key, **end, "reason": denial.reason}


def _not_admitted(items: Iterable[dict[str, object]]) -> dict[str, object]:
    return _listed("notAdmitted", items)


def _listed(key: str, items: Iterable[object]) -> dict[str, object]:
    listed = list(items)
    return {key: listed} if listed else {}


def _time(who: TemporaryGrant, now: float) -> dict[str, object]:
    return {"until": who.until, "secondsLeft": max(0, int(who.ends - now)), "reason": who.reason}
