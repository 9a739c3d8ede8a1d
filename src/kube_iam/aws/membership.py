"""Keeps a door's knowledge of IAM fresh: one task in the background, however many sign-ins there are.

Every group and role is read again when it is `refresh` seconds old, a few at once. What fails is tried again soon and then less often;
what fails for all (throttling, no network) holds up the others, so that IAM is not asked harder the less it answers. A failed or
partial read changes nothing: the last whole one counts until it is too old (`kube_iam.authn.door`).
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from kube_iam.authn.door import Change, Clock, Door
from kube_iam.authn.snapshots import GroupSnapshot, RoleSnapshot
from kube_iam.aws.holdup import CALLS_AT_ONCE, FIRST_PAUSE, Holdup
from kube_iam.aws.iam_reader import GroupFound, RoleFound
from kube_iam.core.arns import strip_role_path
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping_entries import MembershipRequirement
from kube_iam.core.trust import open_trust
from kube_iam.errors import AccessDenied, KubeIamError

FIRST_WORD_SECONDS = 5.0
"""How long a start waits for IAM before the server answers, closed where it has to be."""
_JITTER = 0.1
_AGAIN_SECONDS, _MOST_AGAIN = 2.0, 8
"""Seconds between two reads of a group or role that sign-ins ask for, and how many of them in that time for all sign-ins together:
refused sign-ins must not use up what IAM allows the account, whichever of many entries they come by."""
_PATIENCE_SECONDS = 3.0

Found = TypeVar("Found")


class Reader(Protocol):
    """Blocking calls to IAM; `kube_iam.aws.iam_reader.IamReader` makes them."""

    def group(self, name: str) -> GroupFound | None:
        """The whole group, None where there is none."""

    def role(self, name: str) -> RoleFound | None:
        """The role, None where there is none."""


class Observer(Protocol):
    """Who hears what became of a read, for logs and metrics."""

    def group_read(self, name: str, found: GroupFound | None, change: Change) -> None:
        """A group was read."""

    def role_read(self, role: str, problem: str, *, changed: bool) -> None:
        """A role was read; `problem` is why it lets nobody in, if so. `changed`: it was another one, or another problem, before."""

    def failed(self, kind: str, name: str, error: KubeIamError, *, kept: bool) -> None:
        """A group or role could not be read. `kept`: what was read last still counts; otherwise it lets nobody in."""


@dataclass(slots=True, eq=False)
class _Item:
    kind: str
    key: str
    name: str
    due: float
    failures: int = 0
    busy: bool = False
    known: bool = False
    hurried: float = -math.inf
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Membership:
    """Reads for one door. For one event loop; one `start` per instance."""

    def __init__(self, reader: Reader, door: Door, observer: Observer, refresh: float, clock: Clock) -> None:
        self._reader = reader
        self._door = door
        self._observer = observer
        self._refresh = refresh
        self._clock = clock
        self._items: dict[tuple[str, str], _Item] = {}
        self._holdup = Holdup(_about)
        self._woken = asyncio.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._running: asyncio.Task[None] | None = None
        self._reading: set[asyncio.Task[None]] = set()

    def follow(self, groups: Collection[str], requirements: Iterable[MembershipRequirement]) -> None:
        """Read these groups, and the groups and roles of these requirements, from now on; new ones at once."""
        requirements = tuple(requirements)
        self._door.follow(groups, requirements)
        now = self._clock()
        wanted = {("group", name): name for name in (*groups, *(requirement.iam_group for requirement in requirements))}
        wanted |= {("role", requirement.role): requirement.role_name for requirement in requirements}
        before = self._items
        self._items = {place: _Item(*place, name, now) for place, name in wanted.items()}
        self._items |= {place: item for place, item in before.items() if wanted.get(place) == item.name}
        self._woken.set()

    async def start(self) -> None:
        """Begin, and wait a little for what is followed already, so that a restart turns nobody away whom IAM lets in."""
        self._running = asyncio.create_task(self._run())
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WORD_SECONDS):
                while not all(item.known or item.failures for item in self._items.values()):
                    await asyncio.sleep(0.02)

    async def read_again(self, groups: Collection[str], roles: Collection[str] = ()) -> bool:
        """Read now what was not read so lately; whether all that was begun went well. Waits three seconds at most."""
        now = self._clock()
        places = [*(("group", name) for name in groups), *(("role", role) for role in roles)]
        items = [item for place in places if (item := self._items.get(place)) is not None]
        due = [
            item
            for item in items
            if not item.failures and (now - item.hurried >= _AGAIN_SECONDS or not item.ended.is_set())
        ]
        anew = [item for item in due if now - item.hurried >= _AGAIN_SECONDS]
        lately = sum(now - item.hurried < _AGAIN_SECONDS for item in self._items.values())
        if now < self._holdup.until or not due or (anew and lately + len(anew) > _MOST_AGAIN):
            return False
        for item in anew:
            item.hurried = item.due = now
            item.ended.clear()
        self._woken.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                for item in due:
                    await item.ended.wait()
        return not any(item.failures for item in due)

    async def stop(self) -> None:
        """Read no more. Calls under way are left to end by themselves."""
        tasks = [task for task in (self._running, *self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            item = min((each for each in self._items.values() if not each.busy), key=_due, default=None)
            free = item is not None and len(self._reading) < self._holdup.at_once
            pause = max(self._holdup.until, item.due) - self._clock() if item is not None and free else None
            if item is not None and pause is not None and pause <= 0:
                item.busy = True
                reading = asyncio.create_task(self._read(item))
                self._reading.add(reading)
                reading.add_done_callback(self._ended)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    def _ended(self, reading: asyncio.Task[None]) -> None:
        self._reading.discard(reading)
        self._woken.set()

    async def _read(self, item: _Item) -> None:
        began = self._clock()
        try:
            await self._read_group(item, began) if item.kind == "group" else await self._read_role(item, began)
        except (
            Exception
        ) as problem:  # whatever it was: a task that ends silently would leave the last snapshot to grow old
            error = (
                problem if isinstance(problem, KubeIamError) else KubeIamError(f"unexpected {type(problem).__name__}")
            )
            self._failed(item, error, began)
        else:
            item.known = True
            item.failures = 0
            self._holdup.worked()
            if item.hurried <= began:
                item.due = began + _about(self._refresh)
        finally:
            item.busy = False
            if item.failures or item.hurried <= began:
                item.ended.set()

    async def _read_group(self, item: _Item, began: float) -> None:
        found = await self._in_thread(self._reader.group, item.name)
        snapshot = GroupSnapshot(began) if found is None else GroupSnapshot(began, found.account, found.members)
        self._observer.group_read(item.name, found, self._door.group_read(item.name, snapshot))

    async def _read_role(self, item: _Item, began: float) -> None:
        found = await self._in_thread(self._reader.role, item.name)
        snapshot = _judged(found, item.key, began)
        changed = self._door.role_read(item.key, snapshot)
        self._observer.role_read(item.key, self._door.problem(item.key) or snapshot.problem, changed=changed)

    def _failed(self, item: _Item, error: KubeIamError, began: float) -> None:
        now = self._clock()
        item.failures += 1
        self._door.read_failed(item.kind, item.key, forbidden=isinstance(error, AccessDenied))
        item.due = now + _about(min(self._refresh, FIRST_PAUSE * 2 ** min(item.failures - 1, 10)))
        if not isinstance(error, AccessDenied):
            # Not a matter of this one group: throttled, unreachable, without credentials.
            self._holdup.failed(began, now)
        self._observer.failed(item.kind, item.key, error, kept=self._door.counts(item.kind, item.key))

    async def _in_thread(self, read: Callable[[str], Found], name: str) -> Found:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(CALLS_AT_ONCE, "iam")
        return await asyncio.get_running_loop().run_in_executor(self._pool, read, name)


def _about(seconds: float) -> float:
    """So that the servers of a cluster do not all ask at once."""
    return seconds * random.uniform(1 - _JITTER, 1)  # noqa: S311


def _due(item: _Item) -> float:
    return item.due


def _judged(found: RoleFound | None, role: str, began: float) -> RoleSnapshot:
    if found is None:
        return RoleSnapshot(began, problem="IAM knows no such role", exists=False)
    if ascii_lower(strip_role_path(found.arn)) != role:
        problem = "the role is of another account than this server's own AWS credentials"
        return RoleSnapshot(began, problem=problem, exists=False)
    problem = open_trust(found.trust, found.arn)
    return RoleSnapshot(began, found.role_id, found.longest, problem, created=found.created)
