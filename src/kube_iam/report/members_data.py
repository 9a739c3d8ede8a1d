"""Who is in which level, as data for programs. Times are RFC 3339 in UTC, lengths are seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kube_iam.access.members import LevelMembers, by_user
from kube_iam.access.ports import Temporary


def levels_data(levels: Sequence[LevelMembers], now: float) -> list[dict[str, object]]:
    """One object per level. `notAdmitted` is there where temporary access admits nobody, with `why`."""
    return [
        {
            "level": each.level,
            "group": each.group,
            "applied": each.users is not None,
            "users": list(each.users or ()),
            "temporary": [{"user": who.user_name, **_time(who, now)} for who in each.temporary],
            **_not_admitted({"user": who.user_name, **_time(who, now), "why": why} for who, why in each.void),
        }
        for each in levels
    ]


def users_data(levels: Sequence[LevelMembers], now: float) -> list[dict[str, object]]:
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
        }
        for user, names in found.items()
    ]


def _not_admitted(items: Iterable[dict[str, object]]) -> dict[str, object]:
    listed = list(items)
    return {"notAdmitted": listed} if listed else {}


def _time(who: Temporary, now: float) -> dict[str, object]:
    return {"until": who.until, "secondsLeft": max(0, int(who.ends - now)), "reason": who.reason}
