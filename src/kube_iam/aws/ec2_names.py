"""The node's name for {{EC2PrivateDNSName}}: read from EC2 in batches, within the configured rate, and cached in bounded memory.

The session name of an instance's own credentials is its instance id; STS says so, and the id is looked up in the server's own region.
A caller that may assume the node role by other means chooses the session name, and with it the node: see docs/security.md.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from kube_iam.aws.ec2_instances import BATCH, Instance
from kube_iam.aws.rate_limit import RateLimit
from kube_iam.core.bounded_cache import BoundedCache
from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.errors import AccessDenied, KubeIamError, NotFound, Throttled

TIMEOUT_SECONDS = 10.0
FRESH_SECONDS = 3600.0
"""An instance keeps its name while it runs, and its id is never another's; this is how soon a terminated one is noticed."""
KEPT_SECONDS = 86400.0
"""Time (seconds) for which a name still serves while EC2 does not answer: nodes must not leave the cluster with EC2's API."""
UNKNOWN_SECONDS = 10.0
"""A new instance is not known at once: AWS calls the API eventually consistent."""
CAPACITY = 16384
MAX_WAITING = 8000
_WINDOW_SECONDS = 0.02
_CALLS_AT_ONCE = 4

_INSTANCE_ID = re.compile(r"i-(\w{8}|\w{17})", re.ASCII)
_DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_TEMPORARY = (Reason.EC2_THROTTLED, Reason.EC2_UNREACHABLE)


class Instances(Protocol):
    """Blocking calls to EC2; `kube_iam.aws.ec2_instances.Ec2Instances` makes them."""

    def describe(self, ids: Sequence[str]) -> dict[str, Instance]:
        """Return the instances. Raises NotFound where one of them is unknown."""

    def search(self, ids: Sequence[str]) -> dict[str, Instance]:
        """Return those of the instances that are known."""


class Observer(Protocol):
    """Observer of calls to EC2, for logs and metrics."""

    def asked(self, instances: int) -> None:
        """Record one call for that many instances."""

    def failed(self, error: KubeIamError) -> None:
        """Record a failed call."""


@dataclass(frozen=True, slots=True)
class _Known:
    instance: Instance
    fresh_until: float


class Ec2NodeNames:
    """`kube_iam.authn.ports.NodeNames` of one event loop."""

    def __init__(
        self,
        instances: Instances,
        observer: Observer,
        limit: RateLimit,
        *,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._instances = instances
        self._observer = observer
        self._limit = limit
        self._clock = clock
        self._timeout = timeout
        # Two caches: invented ids must not evict those of nodes.
        self._known: BoundedCache[str, _Known] = BoundedCache(CAPACITY)
        self._unknown: BoundedCache[str, bool] = BoundedCache(CAPACITY)
        self._asking: dict[str, asyncio.Future[Instance | Refusal | None]] = {}
        self._queue: deque[str] = deque()
        self._slots = asyncio.Semaphore(_CALLS_AT_ONCE)
        self._pool = ThreadPoolExecutor(_CALLS_AT_ONCE, "ec2")
        self._sending: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def private_dns_name(self, identity: Identity) -> str | Refusal:
        """Return the private DNS name of the instance that the session is named after. It must be of the identity's own account."""
        instance_id = identity.session_name
        # The session name comes from the answer's user id; an instance's own session has the id in the ARN as well.
        if not _INSTANCE_ID.fullmatch(instance_id) or identity.arn.rpartition("/")[2] != instance_id:
            return Refusal(Reason.NOT_AN_INSTANCE)
        instance = await self._find(instance_id)
        if isinstance(instance, Refusal):
            return instance
        if instance is None or not instance.private_dns_name:
            return Refusal(Reason.INSTANCE_UNKNOWN)
        if instance.account_id != identity.account_id:
            return Refusal(Reason.INSTANCE_UNKNOWN, "the instance is another account's")
        if not _DNS_NAME.fullmatch(instance.private_dns_name):
            return Refusal(Reason.INSTANCE_UNKNOWN, "the name that EC2 gives is not a DNS name in lower case")
        return instance.private_dns_name

    async def close(self) -> None:
        """Make no more calls. Calls under way end by themselves."""
        tasks = [*self._calls, *([self._sending] if self._sending is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _find(self, instance_id: str) -> Instance | Refusal | None:
        now = self._clock()
        known = self._known.get(instance_id, now)
        if known is not None and known.fresh_until > now:
            return known.instance
        if self._unknown.get(instance_id, now):
            return None
        answer = await self._ask(instance_id)
        if known is not None and isinstance(answer, Refusal) and answer.reason in _TEMPORARY:
            return known.instance
        return answer

    async def _ask(self, instance_id: str) -> Instance | Refusal | None:
        """Join the next batch, or the read of the same instance that is under way."""
        asking = self._asking.get(instance_id)
        if asking is None:
            if len(self._asking) >= MAX_WAITING:
                return Refusal(Reason.EC2_THROTTLED, "too many instances wait to be looked up")
            asking = asyncio.get_running_loop().create_future()
            self._asking[instance_id] = asking
            self._queue.append(instance_id)
            if self._sending is None or self._sending.done():
                self._sending = asyncio.create_task(self._send())
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(asking)
        except TimeoutError:
            return Refusal(Reason.EC2_UNREACHABLE, f"no answer within {self._timeout:g} seconds")

    async def _send(self) -> None:
        """Make calls while a request waits. Requests that arrive while the rate or the slots are used up go into one call."""
        await asyncio.sleep(_WINDOW_SECONDS)
        while self._queue:
            await self._slots.acquire()
            await self._limit.wait()
            ids = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            call = asyncio.create_task(self._call(ids))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, ids: list[str]) -> None:
        try:
            answer = await self._answer(ids)
        finally:
            self._slots.release()
        now = self._clock()
        for instance_id in ids:
            found = answer if isinstance(answer, Refusal) else answer.get(instance_id)
            if found is None:
                self._unknown.put(instance_id, True, now + UNKNOWN_SECONDS)
                self._known.discard(instance_id)
            elif isinstance(found, Instance):
                self._known.put(instance_id, _Known(found, now + FRESH_SECONDS), now + KEPT_SECONDS)
            asking = self._asking.pop(instance_id)
            if not asking.done():
                asking.set_result(found)

    async def _answer(self, ids: list[str]) -> dict[str, Instance] | Refusal:
        try:
            try:
                return await self._in_thread(self._instances.describe, ids)
            except NotFound:
                # An unknown instance must not delay the others of its batch.
                if len(ids) == 1:
                    return {}
            await self._limit.wait()
            return await self._in_thread(self._instances.search, ids)
        except KubeIamError as error:
            self._observer.failed(error)
            return _refusal(error)
        except Exception as error:  # fails closed: the waiting requests are refused
            self._observer.failed(KubeIamError(f"cannot look EC2 instances up: unexpected {type(error).__name__}"))
            return Refusal(Reason.EC2_UNREACHABLE, f"unexpected {type(error).__name__}")

    async def _in_thread(
        self, look_up: Callable[[Sequence[str]], dict[str, Instance]], ids: list[str]
    ) -> dict[str, Instance]:
        self._observer.asked(len(ids))
        return await asyncio.get_running_loop().run_in_executor(self._pool, look_up, ids)


def _refusal(error: KubeIamError) -> Refusal:
    """AWS's own words stay in the log: they can name the server's role."""
    if isinstance(error, Throttled):
        return Refusal(Reason.EC2_THROTTLED)
    return Refusal(Reason.EC2_REFUSED if isinstance(error, AccessDenied) else Reason.EC2_UNREACHABLE)
