"""Compares the users of all synced bindings with those that they should have, and writes the differences as the leader.

It runs after each change of a binding, of the deny list or of a read of IAM, and every second, since denials, grants and reads end by
time. Users that somebody else has just added are kept for a moment: their group is read once more before they count as no members.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from kube_iam.core.backoff import ExponentialBackoff
from kube_iam.denylist.denied_subjects import denied_subjects
from kube_iam.errors import Conflict, KubeIamError, NotFound
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.refresher import MembershipRefresher
from kube_iam.sync.bindings import Bindings, Key, SyncedBinding
from kube_iam.sync.subjects import Denials, Moment, WantedSubjects, wanted_subjects

TICK_SECONDS = 1.0
CONFIRM_SECONDS = 5.0
"""Time for which a user that somebody else added is kept, until a read of IAM that began later shows no member."""
_BACKOFF = ExponentialBackoff(first=0.5, longest=30.0)


class Observer(Protocol):
    """Observer of the reconciler, for logs, metrics and events."""

    def computed(self, binding: SyncedBinding, wanted: WantedSubjects) -> None:
        """Take the users that a binding should have."""

    def written(self, binding: SyncedBinding, added: tuple[str, ...], removed: tuple[str, ...], reason: str) -> None:
        """Take a change of subjects that was written. `reason` is why no user is left, if there is one."""

    def write_failed(self, binding: SyncedBinding, error: KubeIamError) -> None:
        """Take the error of a write. It is tried again."""

    def forget(self, keys: set[Key]) -> None:
        """Remove the state of all bindings but these."""


class Reconciler:
    """Keeps the bindings of one cluster. For one event loop."""

    def __init__(
        self,
        bindings: Bindings,
        cache: MembershipCache,
        refresher: MembershipRefresher,
        is_leader: Callable[[], bool],
        observer: Observer,
        *,
        add_within: float,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """`add_within` is the age in seconds up to which a read of IAM adds users. `clock` is that of the cache, `wall` Unix time."""
        self.denials = Denials()
        self.grace_until = 0.0
        """Time by `clock` until which users stay that no read has confirmed since the start."""
        self._bindings, self._cache, self._refresher = bindings, cache, refresher
        self._is_leader, self._observer = is_leader, observer
        self._add_within, self._clock, self._wall = add_within, clock, wall
        self._first_seen: dict[Key, dict[str, float]] = {}
        self._failures: dict[Key, tuple[int, float]] = {}
        self._refreshes: set[asyncio.Task[bool]] = set()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Compare soon."""
        self._woken.set()

    def on_binding(self, key: Key | None) -> None:
        """Take note of a change of one binding, or of all."""
        now = self._clock()
        known = {each.key: each for each in self._bindings}
        for each in known if key is None else (key,):
            before = self._first_seen.pop(each, {})
            if each in known:
                self._first_seen[each] = {user: before.get(user, now) for user in known[each].users}
        self._first_seen = {each: users for each, users in self._first_seen.items() if each in known}
        self._failures.pop(key, None) if key is not None else self._failures.clear()
        self._observer.forget(set(known))
        usable = [each.source for each in known.values() if not each.source.problem]
        self._refresher.set_tracked((), dict.fromkeys(source.requirement for source in usable))
        self.wake()

    async def run(self) -> None:
        """Compare and write until cancelled."""
        while True:
            self._woken.clear()
            await self.reconcile()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._woken.wait()

    async def reconcile(self) -> None:
        """Compare all bindings once, and write those that differ while this process is the leader."""
        for binding in list(self._bindings):
            wanted = self._wanted(binding)
            self._observer.computed(binding, wanted)
            differs = binding.foreign or set(wanted.users) != set(binding.users)
            if differs and self._is_leader() and self._clock() >= self._failures.get(binding.key, (0, -math.inf))[1]:
                await self._write(binding, wanted)

    async def _write(self, binding: SyncedBinding, wanted: WantedSubjects) -> None:
        try:
            await self._bindings.write(binding, wanted.users)
        except (Conflict, NotFound):
            return  # somebody else changed it: the watch tells, and it is computed again
        except KubeIamError as error:
            count = self._failures.get(binding.key, (0, 0.0))[0] + 1
            self._failures[binding.key] = count, self._clock() + _BACKOFF.pause(count)
            self._observer.write_failed(binding, error)
            return
        self._failures.pop(binding.key, None)
        added = tuple(sorted(set(wanted.users) - set(binding.users)))
        removed = tuple(sorted(set(binding.users) - set(wanted.users)))
        self._observer.written(binding, added, removed, wanted.problem if not wanted.users else "")

    def _wanted(self, binding: SyncedBinding) -> WantedSubjects:
        moment = Moment(self._clock(), self._wall(), self._add_within, self.grace_until)
        wanted = wanted_subjects(binding.source, binding.users, self._cache, self.denials, moment)
        kept = self._to_confirm(binding, wanted, moment)
        return WantedSubjects(tuple(sorted({*wanted.users, *kept})), wanted.problem, wanted.refused)

    def _to_confirm(self, binding: SyncedBinding, wanted: WantedSubjects, moment: Moment) -> set[str]:
        """Return users that somebody else has added since the last read of the group, which is read once more for them.

        A user who is refused for another reason than no membership is not among them.
        """
        if binding.source.problem:
            return set()
        group, role = self._cache.snapshots_of(binding.source.requirement)
        if group is None or role is None or role.problem:
            return set()
        seen = self._first_seen.get(binding.key, {})
        known = {binding.source.user_name(user) for user in group.members}
        new = {
            user
            for user in set(binding.users) - set(wanted.users) - known
            if group.read_at < seen.get(user, -math.inf) and moment.clock < seen[user] + CONFIRM_SECONDS
        }
        new -= denied_subjects(binding.source, new, self.denials.items, moment.wall).keys() if new else set()
        if new and not self._refreshes:
            task = asyncio.ensure_future(self._refresher.refresh([binding.source.iam_group]))
            self._refreshes.add(task)
            task.add_done_callback(self._refreshed)
        return new

    def _refreshed(self, task: asyncio.Task[bool]) -> None:
        self._refreshes.discard(task)
        self.wake()
