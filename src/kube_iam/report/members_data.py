"""Who is in which level, as data for programs. Times are RFC 3339 in UTC, lengths are seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType

from kube_iam.access.member_states import Denied
from kube_iam.access.members import LevelMembers, by_user
from kube_iam.access.ports import MappingEntry, Temporary
from kube_iam.core.denied import Denial


def levels_data(
    levels: Sequence[LevelMembers], now: float, denied: Denied = MappingProxyType({})
) -> list[dict[str, object]]:
    """One object per level. `notAdmitted` is there where temporary access admits nobody, `denied` where members are."""
    return [
        {
            "level": each.level,
            "group": each.group,
            "applied": each.users is not None,
            "users": list(each.users or ()),
            "temporary": [{"user": who.user_name, **_time(who, now)} for who in each.temporary],
            **_not_admitted({"user": who.user_name, **_time(who, now), "why": why} for who, why in each.void),
            **_listed(
                "denied", ({"user": user, **_denial(d)} for (level, user), d in denied.items() if level == each.level)
            ),
        }
        for each in levels
    ]


def users_data(
    levels: Sequence[LevelMembers], now: float, denied: Denied = MappingProxyType({})
) -> list[dict[str, object]]:
    """One object per user; `levels` has those in which the user is for a time, too. `notAdmitted` as in `levels_data`."""
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
        }
        for user, names in found.items()
    ]


def entries_data(entries: Iterable[MappingEntry]) -> list[dict[str, object]]:
    """One object per entry of the mapping."""
    return [
        {"principal": each.name, "username": each.username, "groups": list(each.groups), "level": each.level}
        for each in entries
    ]


def _denial(denial: Denial) -> dict[str, object]:
    end = {} if denial.until == float("inf") else {"until": denial.end}
    return {"denial": denial.ident, **end, "reason": denial.reason}


def _not_admitted(items: Iterable[dict[str, object]]) -> dict[str, object]:
    return _listed("notAdmitted", items)


def _listed(key: str, items: Iterable[dict[str, object]]) -> dict[str, object]:
    listed = list(items)
    return {key: listed} if listed else {}


def _time(who: Temporary, now: float) -> dict[str, object]:
    return {"until": who.until, "secondsLeft": max(0, int(who.ends - now)), "reason": who.reason}
