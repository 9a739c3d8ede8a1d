"""Verification of tokens: the checks, then one call to STS for all concurrent requests with the same token.

The protocol is in docs/protocol.md, sections 2 and 3.

A verdict is cached briefly, so that retries and replicas of kube-apiserver do not all become calls to STS. A verified token is cached
for one minute, because a revoked key can still sign in for that time. The minute is measured by a clock that never goes back
(`ElapsedTime`). The token's own age is measured by the wall clock, as STS does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from kube_iam.aws.sts import StsAnswer
from kube_iam.core.bounded_cache import BoundedCache
from kube_iam.core.checks import LIFETIME, CheckedToken, check_token
from kube_iam.core.identity import Identity, interpret_sts_response
from kube_iam.core.reasons import REFUSED_BY_STS, Reason, Refusal
from kube_iam.core.sts_hosts import GLOBAL_HOST, StsHosts
from kube_iam.core.tokens import sha256
from kube_iam.server.metrics import Metrics
from kube_iam.server.process import uptime
from kube_iam.server.sts_outages import StsOutages

VERIFIED_SECONDS = 60.0
REFUSED_SECONDS = 10.0
CAPACITY = 8192
_FINAL = (*REFUSED_BY_STS, Reason.STS_INVALID_RESPONSE)
_QUICK_FAILURES = (Reason.STS_UNREACHABLE, Reason.STS_THROTTLED)
_Waiting = asyncio.Future[Identity | Refusal]


class Sts(Protocol):
    """Sends one GetCallerIdentity request."""

    async def get_caller_identity(self, url: str, cluster_id: str) -> StsAnswer | Refusal:
        """Return STS's answer, or the refusal `sts_unreachable` or `sts_no_answer`."""


class StsVerifier:
    """The verifier of one cluster id. For one event loop."""

    def __init__(
        self,
        sts: Sts,
        hosts: StsHosts,
        cluster_id: str,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = uptime,
    ) -> None:
        """Create the verifier. `clock` gives Unix seconds for the age of tokens; `steady` gives seconds that only grow."""
        self._sts = sts
        self._hosts = hosts
        self._cluster_id = cluster_id
        self._metrics = metrics
        self._clock = clock
        self._elapsed = ElapsedTime(clock, steady)
        self._steady = steady
        self._outages = StsOutages()
        # Two caches: many refused tokens must not evict verified ones.
        self._verified: BoundedCache[bytes, Identity] = BoundedCache(CAPACITY)
        self._identities: BoundedCache[Identity, Identity] = BoundedCache(CAPACITY)
        self._refused: BoundedCache[bytes, Refusal] = BoundedCache(CAPACITY)
        # Tokens that STS is being asked about, each with the requests that wait for the verdict.
        self._asking: dict[bytes, tuple[asyncio.Task[None], list[_Waiting]]] = {}

    async def verify(self, token: str) -> Identity | Refusal:
        """Return the identity that signed the token, or why there is none. Raises nothing."""
        now = self._elapsed()
        key = sha256(token.encode()).digest()
        # Only verdicts on tokens that passed the checks are cached, and never past the token's fifteen minutes.
        known = self._verified.get(key, now) or self._refused.get(key, now)
        if known is not None:
            self._metrics.lookups.add("cache")
            return known
        checked = check_token(token, hosts=self._hosts, now=self._clock())
        if isinstance(checked, Refusal):
            return checked
        loop = asyncio.get_running_loop()
        mine: _Waiting = loop.create_future()
        asking = self._asking.get(key)
        self._metrics.lookups.add("sts" if asking is None else "shared")
        if asking is None:
            # A task of its own: when one client disconnects, the others still get the answer.
            waiting = [mine]
            self._asking[key] = loop.create_task(self._tell(waiting, key, checked)), waiting
        else:
            asking[1].append(mine)
        return await mine

    async def _tell(self, waiting: list[_Waiting], key: bytes, checked: CheckedToken) -> None:
        """Ask STS, and give the verdict to all requests with that token. They get one whatever happens: no request waits for ever."""
        verdict: Identity | Refusal = Refusal(Reason.STS_UNREACHABLE, "the question was cut off")
        try:
            verdict = await self._ask(key, checked)
        except (
            Exception
        ) as error:  # a bug of ours: the token is refused, and a message that may hold the URL is not shown
            verdict = Refusal(Reason.STS_UNREACHABLE, f"unexpected {type(error).__name__}")
        finally:
            del self._asking[key]
            for one in waiting:
                if not one.done():
                    one.set_result(verdict)

    async def _ask(self, key: bytes, checked: CheckedToken) -> Identity | Refusal:
        verdict = self._in_outage(checked.host, await self._ask_sts(checked))
        now = self._elapsed()
        left = checked.signed_at + LIFETIME - self._clock()
        if isinstance(verdict, Identity):
            # Tokens of one session have equal identities, of which one object is kept.
            verdict = self._identities.get(verdict, now) or verdict
            self._identities.put(verdict, verdict, now + VERIFIED_SECONDS)
            self._verified.put(key, verdict, now + min(VERIFIED_SECONDS, left))
        elif verdict.reason in _FINAL:
            self._refused.put(key, verdict, now + min(REFUSED_SECONDS, left))
        return verdict

    def _in_outage(self, host: str, verdict: Identity | Refusal) -> Identity | Refusal:
        """Record the outcome of a sign-in. Return its verdict, marked as lasting for a quick failure in an outage that lasts."""
        if isinstance(verdict, Identity) or verdict.reason in _FINAL:
            self._outages.answered(host)
        elif verdict.reason in _QUICK_FAILURES:
            return replace(verdict, lasting=self._outages.failed(host, self._steady()))
        return verdict

    async def _ask_sts(self, checked: CheckedToken) -> Identity | Refusal:
        region = "global" if checked.host == GLOBAL_HOST else checked.region
        try:
            answer = await self._sts.get_caller_identity(checked.request_url(), self._cluster_id)
        except Exception as error:  # the token is refused, and a message that may hold the URL is not shown
            answer = Refusal(Reason.STS_UNREACHABLE, f"unexpected {type(error).__name__}")
        if isinstance(answer, Refusal):
            self._metrics.sts_connection_failures.add(region)
            return answer
        self._metrics.sts_responses.add(str(answer.status), region)
        verdict = interpret_sts_response(
            answer.status,
            answer.body,
            answer.content_type,
            access_key_id=checked.access_key_id,
            sts_host=checked.host,
            cluster_id=self._cluster_id,
        )
        if isinstance(verdict, Refusal) and verdict.reason is Reason.STS_THROTTLED:
            self._metrics.sts_throttling.add(region)
        return verdict


class ElapsedTime:
    """Seconds since its creation, by the clock of two that has advanced more between two calls. It never goes back.

    Expiries use it: a wall clock that is set back prolongs nothing, and entries that are too old by a wall clock that is set forward
    expire. Where `steady` stops during a suspend (systems without CLOCK_BOOTTIME), the wall clock counts that time.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = uptime) -> None:
        """Start at 0. `wall` gives Unix seconds, which may step in both directions; `steady` gives seconds that only grow."""
        self._wall, self._steady = wall, steady
        self._last_wall, self._last_steady = wall(), steady()
        self._elapsed = 0.0

    def __call__(self) -> float:
        """Return the seconds that have passed."""
        wall, steady = self._wall(), self._steady()
        self._elapsed += max(wall - self._last_wall, steady - self._last_steady, 0.0)
        self._last_wall, self._last_steady = wall, steady
        return self._elapsed
