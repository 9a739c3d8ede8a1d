"""Reads of IAM that keep the cache fresh: one background task, however many sign-ins there are.

Each tracked group and role is read again when its snapshot is `refresh` seconds old, a few at once. A read that fails is tried again
soon, and then less often. A failure that concerns all reads (throttling, no network) slows down all of them (`backoff`). A failed or
partial read changes nothing: the last snapshot counts until it is too old (`cache`).
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from kube_iam.authn.ports import REFRESH_TIMEOUT
from kube_iam.core.arns import strip_role_path
from kube_iam.core.backoff import ExponentialBackoff
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping_entries import MembershipRequirement
from kube_iam.core.trust_policy import unrestricted_session_name
from kube_iam.errors import AccessDenied, KubeIamError
from kube_iam.membership.backoff import MAX_CONCURRENCY, PAUSES, Backoff
from kube_iam.membership.cache import Clock, MembershipCache
from kube_iam.membership.iam_reader import GroupFound, RoleFound
from kube_iam.membership.snapshots import GroupChange, GroupSnapshot, RoleSnapshot

INITIAL_SYNC_TIMEOUT = 5.0
"""Seconds that a start waits for the first reads. After that the server answers, and refuses where membership is not known."""
_JITTER = 0.1
_REFRESH_INTERVAL, _MAX_REFRESHES = 2.0, 8
"""Seconds between two requested reads of a group or role, and the number of requested reads in that time for all sign-ins together.

Refused sign-ins must not use up the rate limit of IAM for the account, whichever of many entries they match.
"""

Found = TypeVar("Found")


class Reader(Protocol):
    """Blocking calls to IAM; `kube_iam.membership.iam_reader.IamReader` makes them."""

    def group(self, name: str) -> GroupFound | None:
        """Return the whole group, or None if there is none. Raises KubeIamError."""

    def role(self, name: str) -> RoleFound | None:
        """Return the role, or None if there is none. Raises KubeIamError."""


class Observer(Protocol):
    """Observer of reads, for logs and metrics."""

    def group_read(self, name: str, found: GroupFound | None, change: GroupChange) -> None:
        """Record that a group was read."""

    def role_read(self, role: str, problem: str, *, changed: bool) -> None:
        """Record that a role was read; `problem` is why its entries admit nobody. `changed`: id, problem or suspension differ."""

    def failed(self, kind: str, name: str, error: KubeIamError, *, kept: bool) -> None:
        """Record that a read of a group or role failed. `kept`: the last snapshot still counts; otherwise its entries admit nobody."""


class _LastRead(Enum):
    """Outcome of the last read of a group or role."""

    NONE = "none yet"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class _Item:
    """A tracked group or role: idle until `due`, then being read (`reading`), then idle again.

    A refresh is requested at `refresh_requested_at` and open until `finished`: until a read that began later succeeds, or one fails.
    """

    kind: str
    key: str
    name: str
    due: float
    last_read: _LastRead = _LastRead.NONE
    failures: int = 0
    """In a row."""
    reading: bool = False
    refresh_requested_at: float = -math.inf
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def may_refresh(self, now: float) -> bool:
        return now - self.refresh_requested_at >= _REFRESH_INTERVAL

    def request_refresh(self, now: float) -> None:
        self.refresh_requested_at = self.due = now
        self.finished.clear()

    def record_success(self, began: float, due: float) -> None:
        self.last_read, self.failures = _LastRead.SUCCEEDED, 0
        if self.refresh_requested_at <= began:
            # Otherwise it stays due: the refresh was requested while this read was under way.
            self.due = due
            self.finished.set()

    def record_failure(self, due: float) -> None:
        self.last_read = _LastRead.FAILED
        self.due = due
        self.finished.set()


class MembershipRefresher:
    """Keeps one cache fresh. For one event loop; one `start` per instance."""

    def __init__(
        self, reader: Reader, cache: MembershipCache, observer: Observer, refresh: float, clock: Clock
    ) -> None:
        """`refresh` is the age in seconds at which a snapshot is read again; `clock` is that of the cache."""
        self._reader = reader
        self._cache = cache
        self._observer = observer
        self._refresh = refresh
        self._clock = clock
        self._items: dict[tuple[str, str], _Item] = {}
        self._backoff = Backoff(_with_jitter)
        self._woken = asyncio.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._running: asyncio.Task[None] | None = None
        self._reads: set[asyncio.Task[None]] = set()

    def set_tracked(self, groups: Collection[str], requirements: Iterable[MembershipRequirement]) -> None:
        """Read these groups, and the groups and roles of these requirements, from now on; new ones at once."""
        requirements = tuple(requirements)
        self._cache.set_tracked(groups, requirements)
        now = self._clock()
        wanted = {("group", name): name for name in (*groups, *(each.iam_group for each in requirements))}
        wanted |= {("role", each.role): each.role_name for each in requirements}
        before = self._items
        self._items = {place: _Item(*place, name, now) for place, name in wanted.items()}
        self._items |= {place: item for place, item in before.items() if wanted.get(place) == item.name}
        self._woken.set()

    async def start(self) -> None:
        """Begin to read. Return when all that is tracked now was tried once, after `INITIAL_SYNC_TIMEOUT` at most.

        So a restart refuses no member, if IAM answers in time.
        """
        self._running = asyncio.create_task(self._run())
        with suppress(TimeoutError):
            async with asyncio.timeout(INITIAL_SYNC_TIMEOUT):
                while any(item.last_read is _LastRead.NONE for item in self._items.values()):
                    await asyncio.sleep(0.02)

    async def refresh(
        self, groups: Collection[str], roles: Collection[str] = (), seconds: float = REFRESH_TIMEOUT
    ) -> bool:
        """Read groups (names) and roles (comparable ARNs) now. Return whether all were read, after `seconds` at most.

        Not read are those whose last read failed, or that were requested less than two seconds ago. Returns False at once where
        nothing is left, IAM fails for all, or too many were requested lately. Concurrent callers share one read. Raises nothing.
        """
        now = self._clock()
        places = [*(("group", name) for name in groups), *(("role", role) for role in roles)]
        tracked = [item for place in places if (item := self._items.get(place)) is not None]
        usable = [item for item in tracked if item.last_read is not _LastRead.FAILED]
        new = [item for item in usable if item.may_refresh(now)]
        awaited = [item for item in usable if item.may_refresh(now) or not item.finished.is_set()]
        lately = sum(not item.may_refresh(now) for item in self._items.values())
        too_many = bool(new) and lately + len(new) > _MAX_REFRESHES
        if not awaited or too_many or now < self._backoff.not_before:
            return False
        for item in new:
            item.request_refresh(now)
        self._woken.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for item in awaited:
                    await item.finished.wait()
        return all(item.last_read is not _LastRead.FAILED for item in awaited)

    async def stop(self) -> None:
        """Stop reading. Calls under way are left to end by themselves."""
        tasks = [task for task in (self._running, *self._reads) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            idle = (each for each in self._items.values() if not each.reading)
            item = min(idle, key=lambda each: each.due, default=None)
            pause: float | None = None  # until woken
            if item is not None and len(self._reads) < self._backoff.concurrency:
                pause = max(self._backoff.not_before, item.due) - self._clock()
                if pause <= 0:
                    self._begin(item)
                    continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    def _begin(self, item: _Item) -> None:
        item.reading = True
        read = asyncio.create_task(self._read(item))
        self._reads.add(read)
        read.add_done_callback(self._ended)

    def _ended(self, read: asyncio.Task[None]) -> None:
        self._reads.discard(read)
        self._woken.set()

    async def _read(self, item: _Item) -> None:
        began = self._clock()
        try:
            await self._read_group(item, began) if item.kind == "group" else await self._read_role(item, began)
        except KubeIamError as error:
            self._failed(item, error, began)
        except Exception as problem:  # a bug: a task that ends silently would leave the last snapshot to grow old
            self._failed(item, KubeIamError(f"unexpected {type(problem).__name__}"), began)
        except asyncio.CancelledError:
            item.finished.set()
            raise
        else:
            self._backoff.succeeded()
            item.record_success(began, began + _with_jitter(self._refresh))
        finally:
            item.reading = False

    async def _read_group(self, item: _Item, began: float) -> None:
        found = await self._in_thread(self._reader.group, item.name)
        change = self._cache.update_group(item.name, group_snapshot(found, began))
        self._observer.group_read(item.name, found, change)

    async def _read_role(self, item: _Item, began: float) -> None:
        found = await self._in_thread(self._reader.role, item.name)
        snapshot = role_snapshot(found, item.key, began)
        changed = self._cache.update_role(item.key, snapshot)
        self._observer.role_read(item.key, self._cache.role_problem(item.key) or snapshot.problem, changed=changed)

    def _failed(self, item: _Item, error: KubeIamError, began: float) -> None:
        now = self._clock()
        item.failures += 1
        pause = ExponentialBackoff(PAUSES.first, self._refresh).pause(item.failures)
        item.record_failure(now + _with_jitter(pause))
        denied = isinstance(error, AccessDenied)
        self._cache.record_failure(item.kind, item.key, forbidden=denied)
        if not denied:
            # Not a matter of this one group: throttled, unreachable, without credentials.
            self._backoff.failed(began, now)
        self._observer.failed(item.kind, item.key, error, kept=self._cache.is_fresh(item.kind, item.key))

    async def _in_thread(self, read: Callable[[str], Found], name: str) -> Found:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_CONCURRENCY, "iam")
        return await asyncio.get_running_loop().run_in_executor(self._pool, read, name)


def _with_jitter(seconds: float) -> float:
    """Return up to a tenth less, so that the servers of a cluster do not all call IAM at once."""
    return seconds * random.uniform(1 - _JITTER, 1)  # noqa: S311


def group_snapshot(found: GroupFound | None, began: float) -> GroupSnapshot:
    """Return the snapshot of a group that was read; None stands for a group that does not exist."""
    return GroupSnapshot(began) if found is None else GroupSnapshot(began, found.account, found.members)


def role_snapshot(found: RoleFound | None, role: str, began: float) -> RoleSnapshot:
    """Return the snapshot of a role that was read, with the problem of its trust policy. `role` is the ARN that the mapping names."""
    if found is None:
        return RoleSnapshot(began, problem="IAM knows no such role", exists=False)
    if ascii_lower(strip_role_path(found.arn)) != role:
        problem = "the role is of another account than this server's own AWS credentials"
        return RoleSnapshot(began, problem=problem, exists=False)
    problem = unrestricted_session_name(found.trust, found.arn)
    return RoleSnapshot(began, found.role_id, found.longest, problem, created=found.created)
