"""Unique ids (AROA…) of roles that were created again, so that a session of the former role gets its true reason. Pure.

STS tells the role id of a session and not when the session began. A session counts as one of the former role when a read that began
after the session was first seen shows another id. IAM is eventually consistent, so such a read may still show the former role. That is
certain where the role it shows was created longer ago than any session lasts. For a younger role the reason is wrong until the next
read.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.utc import rfc3339
from kube_iam.membership.snapshots import RoleSnapshot

LONGEST_SESSION = 12 * 3600
"""Of any role, in seconds (MaxSessionDuration)."""
_MAX_SEEN = 4096


class RoleHistory:
    """For the tracked roles, by comparable ARN. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._current: dict[str, RoleSnapshot] = {}
        self._seen: dict[tuple[str, str], float] = {}
        self._former_until: dict[str, float] = {}

    def keep(self, keys: Collection[str]) -> None:
        """Forget every other role."""
        self._current = {key: role for key, role in self._current.items() if key in keys}
        self._seen = {place: when for place, when in self._seen.items() if place[0] in keys}
        self._former_until = {key: until for key, until in self._former_until.items() if key in keys}

    def record(self, key: str, role: RoleSnapshot, now: float) -> None:
        """Record a read. A role that was absent in between and has another id was created again too."""
        if not role.role_id:
            return
        former = self._current.get(key)
        self._current[key] = role
        if former is not None and former.role_id != role.role_id:
            self._seen[key, former.role_id] = -math.inf
            self._former_until[key] = now + former.longest

    def is_former(self, key: str, role: RoleSnapshot) -> bool:
        """Return whether this read shows a role that was deleted since: a role created later was read before."""
        current = self._current.get(key)
        return current is not None and 0 < role.created < current.created

    def former_sessions_until(self, key: str, now: float) -> float:
        """Return until when sessions of the former role may live; 0 where none can."""
        until = self._former_until.get(key, 0.0)
        return until if now < until else 0.0

    def refusal(self, key: str, role: RoleSnapshot, role_id: str, now: float, wall: float) -> Refusal:
        """Return why a session with this role id is refused, which is not the id that was read. `wall` is Unix seconds."""
        first_seen = self._seen.get((key, role_id), now)
        # Access reviews come from anybody who can connect, with ids that no role ever had.
        if len(self._seen) < _MAX_SEEN:
            self._seen.setdefault((key, role_id), now)
        # A role before this one was deleted longer ago than a session lasts, so the session is newer: IAM still shows the former role.
        too_old = 0 < role.created <= wall - LONGEST_SESSION
        if too_old or role.read_at <= first_seen:
            return Refusal(Reason.ROLE_RECREATED)
        since = f"the role was created at {rfc3339(role.created)}" if role.created else ""
        return Refusal(Reason.SESSION_PREDATES_ROLE, since)
