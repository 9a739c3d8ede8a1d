"""Which roles left session names to be chosen, and until when a session that was begun then can live.

A trust policy that is repaired ends no session: one that was begun under a chosen name lives on, and shows the id of the role as any
other does. Kept by that id, which a role made anew does not share, and in memory: a restart forgets it.
"""

from __future__ import annotations

from kube_iam.authn.snapshots import RoleSnapshot


class Opened:
    """Times are seconds of a clock that only grows."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def seen(self, role: RoleSnapshot, now: float) -> float:
        """Take over what a read that has just ended says; until when the role admits nobody though it is repaired, 0 where it does."""
        if not role.role_id:
            return 0.0
        if role.problem:
            self._open[role.role_id] = max(role.longest, self._open.get(role.role_id, 0))
            return 0.0
        if role.role_id in self._open:
            # When it was repaired is not known, but not after this moment. What was seen before stays: it may be open for longer.
            longest = max(role.longest, self._open.pop(role.role_id))
            self._until[role.role_id] = max(now + longest, self._until.get(role.role_id, now))
        self._until = {role_id: until for role_id, until in self._until.items() if now < until}
        return self._until.get(role.role_id, 0.0)
