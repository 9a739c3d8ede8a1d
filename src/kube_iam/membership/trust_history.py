"""Roles whose trust policy left the session name open, and until when a session that was begun then can live. Pure.

A repaired trust policy ends no session. One that was begun under a chosen name stays valid, and shows the role's id like any other.
Roles are kept by that id, in memory. A role that is created again has another id, and a restart forgets all.
"""

from __future__ import annotations

from kube_iam.membership.snapshots import RoleSnapshot


class TrustPolicyHistory:
    """Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._suspended_until: dict[str, float] = {}

    def record(self, role: RoleSnapshot, now: float) -> float:
        """Record a read that has just ended. Return until when the repaired role is suspended, 0 where it is not, or still open."""
        if not role.role_id:
            return 0.0
        if role.problem:
            self._open[role.role_id] = max(role.longest, self._open.get(role.role_id, 0))
            return 0.0
        if role.role_id in self._open:
            # It was repaired at some moment up to now. An end that was computed before and comes later stays.
            longest = max(role.longest, self._open.pop(role.role_id))
            self._suspended_until[role.role_id] = max(now + longest, self._suspended_until.get(role.role_id, now))
        self._suspended_until = {role_id: until for role_id, until in self._suspended_until.items() if now < until}
        return self._suspended_until.get(role.role_id, 0.0)
