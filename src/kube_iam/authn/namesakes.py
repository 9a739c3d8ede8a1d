"""Which IAM user a name meant, so that a user who was deleted and made anew is not taken for the one before.

A role's session says the name and not the unique id. After a user is deleted, sessions that were begun in that name live on until they
end; whoever gets the name next must not share it with them. Kept in memory: a restart forgets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kube_iam.core.mapping_entries import TemporaryGrant

_LONGEST_SESSION = 12 * 3600
"""Of any role, in seconds."""


class Namesakes:
    """Times are seconds of a clock that only grows."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._changed: dict[str, float] = {}
        self._named: dict[tuple[str, str], float] = {}

    def seen(self, members: Mapping[str, str], now: float) -> None:
        """These names have these unique ids now."""
        for name, user_id in members.items():
            before = self._ids.get(name)
            if before != user_id:
                self._ids[name] = user_id
                if before is not None:
                    self._changed[name] = now

    def named(self, items: Iterable[TemporaryGrant], now: float, wall: float) -> None:
        """These are all that are let in for a time; `wall` is Unix seconds."""
        items = sorted(items, key=lambda item: item.until)
        self._named = {key: self._named.get(key, now) for key in ((item.user_name, item.user_id) for item in items)}
        for item in items:
            # Whom an item means had the name and may have a session, though nobody ever saw them in a group. What ended longer ago
            # than any session lasts tells nothing, and must not keep whoever has the name now outside after each restart.
            if wall - item.until < _LONGEST_SESSION:
                self._ids.setdefault(item.user_name, item.user_id)

    def changed_within(self, name: str, seconds: float, now: float) -> bool:
        """Whether the name got another unique id less than so many seconds ago."""
        changed = self._changed.get(name)
        return changed is not None and now - changed < seconds

    def user_id(self, name: str) -> str:
        """The unique id that the name had last, also where it is nobody's in sight now; empty where it was never seen."""
        return self._ids.get(name, "")

    def named_for(self, item: TemporaryGrant, now: float) -> float:
        """For how many seconds the item has been there."""
        return now - self._named.get((item.user_name, item.user_id), now)
