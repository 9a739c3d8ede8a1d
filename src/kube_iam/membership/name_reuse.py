"""Unique ids that IAM user names had, so that a user who was deleted and created again is not taken for the one before. Pure.

A role's session shows the user's name and not the unique id. After a user is deleted, sessions that were begun under that name live on
until they end. A new user of that name must not be admitted together with them. Kept in memory: a restart forgets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kube_iam.core.mapping_entries import TemporaryGrant

_LONGEST_SESSION = 12 * 3600
"""Of any role, in seconds (MaxSessionDuration)."""


class UserNameReuse:
    """Times are seconds of a clock that never goes back, except where they are called Unix seconds."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._changed: dict[str, float] = {}
        self._granted: dict[tuple[str, str], float] = {}

    def record_members(self, members: Mapping[str, str], now: float) -> None:
        """Record the unique ids that these names have now."""
        for name, user_id in members.items():
            before = self._ids.get(name)
            if before != user_id:
                self._ids[name] = user_id
                if before is not None:
                    self._changed[name] = now

    def set_grants(self, grants: Iterable[TemporaryGrant], now: float, wall: float) -> None:
        """Record all temporary grants that the mappings hold; `wall` is Unix seconds."""
        grants = sorted(grants, key=lambda grant: grant.ends)
        self._granted = {
            key: self._granted.get(key, now) for key in ((grant.user_name, grant.user_id) for grant in grants)
        }
        for grant in grants:
            # The user of a grant had the name and may have a session, though no read showed the user in a group. A grant that ended
            # longer ago than any session lasts says nothing: it must not keep the name's new user out after each restart.
            if wall - grant.ends < _LONGEST_SESSION:
                self._ids.setdefault(grant.user_name, grant.user_id)

    def changed_within(self, name: str, seconds: float, now: float) -> bool:
        """Return whether the name got another unique id less than so many seconds ago."""
        changed = self._changed.get(name)
        return changed is not None and now - changed < seconds

    def user_id(self, name: str) -> str:
        """Return the last unique id of the name, also where no read shows it now; empty where it was never seen."""
        return self._ids.get(name, "")

    def granted_for(self, grant: TemporaryGrant, now: float) -> float:
        """Return for how many seconds the grant has been there."""
        return now - self._granted.get((grant.user_name, grant.user_id), now)
