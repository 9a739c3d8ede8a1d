"""Who is in which level, as data for programs. Times are RFC 3339 in UTC, lengths are seconds."""

from __future__ import annotations

from collections.abc import Sequence

from kube_iam.access.members import LevelMembers, by_user
from kube_iam.access.ports import Temporary


def levels_data(levels: Sequence[LevelMembers], now: float) -> list[dict[str, object]]:
    """One object per level."""
    return [
        {
            "level": each.level,
            "group": each.group,
            "applied": each.users is not None,
            "users": list(each.users or ()),
            "temporary": [{"user": who.user_name, **_time(who, now)} for who in each.temporary],
        }
        for each in levels
    ]


def users_data(levels: Sequence[LevelMembers], now: float) -> list[dict[str, object]]:
    """One object per user; `levels` has those in which the user is for a time, too."""
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
        }
        for user, names in by_user(levels).items()
    ]


def _time(who: Temporary, now: float) -> dict[str, object]:
    return {"until": who.until, "secondsLeft": max(0, int(who.ends - now)), "reason": who.reason}
