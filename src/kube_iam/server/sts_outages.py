"""Quick answers to sign-ins while STS is silent or failing.

Two kinds of outage are told apart, each per host:

- A silent host would make every sign-in wait. Only silence opens the circuit of a host (a circuit breaker): further sign-ins are
  refused at once. Probes find out when the host answers again. The circuit closes with the first answer of any kind, to a probe or to
  a request.
- A host that answers with an error, refuses connections or throttles is quick. kube-apiserver retries that for 4.5 s, and kubectl
  makes about five requests a command: 23 s until it reports an outage that was known from the first. So retries end once an outage
  lasts. STS is still asked for every sign-in: nothing has to find out that it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from kube_iam.aws.sts import StsAnswer
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.server.process import uptime

LASTING_SECONDS = 6.0
"""Time of failures alone after which an outage counts as lasting. Exceeds the 4.5 s for which kube-apiserver retries a request."""
FORGOTTEN_SECONDS = 10.0
"""Time without a failure after which the next failure begins a new outage: STS was not asked meanwhile."""
REMEMBERED_SECONDS = 10.0
"""Time for which an unanswered request or probe counts."""
LONGEST_SECONDS = 60.0
"""Time for which probes alone keep a circuit open. Then one request is sent, in case only probes are not answered."""
PROBED_SECONDS = 30.0
"""Time for which a host is probed after the last sign-in that needed it."""
PROBE_SECONDS = 0.5
"""Time from one probe to the next. They overlap: a slow host answers an earlier one, and a lost packet delays one probe only."""


@dataclass(slots=True)
class _Outage:
    """Times of the first and the last failure since an answer, in seconds of one clock."""

    first: float
    last: float


class StsOutages:
    """Outages per STS host that fails quickly. Does no I/O. Times are seconds of one clock that only grows."""

    def __init__(self) -> None:
        self._outages: dict[str, _Outage] = {}

    def answered(self, host: str) -> None:
        """Note that the host answered a sign-in: it admitted or refused it."""
        self._outages.pop(host, None)

    def failed(self, host: str, now: float) -> bool:
        """Note that the host failed or throttled a sign-in at once. Return whether this outage lasts."""
        outage = self._outages.get(host)
        if outage is None or now - outage.last > FORGOTTEN_SECONDS:
            outage = self._outages[host] = _Outage(now, now)
        outage.last = now
        return now - outage.first >= LASTING_SECONDS


@dataclass(slots=True)
class _Open:
    """An open circuit: the last request without an answer, when the memory ends, and the last sign-in that needed the host."""

    silent_request: float
    until: float
    wanted: float


class StsCircuit:
    """Silence per STS host, by a clock that cannot be set. Does no I/O."""

    def __init__(self, clock: Callable[[], float] = uptime) -> None:
        """Create closed circuits. `clock` gives seconds that only grow."""
        self.now = clock
        self._open: dict[str, _Open] = {}
        self._answered: dict[str, float] = {}

    def refuses(self, host: str) -> bool:
        """Return whether a sign-in is to be refused at once, and note that one needed the host."""
        circuit = self._current(host)
        if circuit is not None:
            circuit.wanted = self.now()
        return circuit is not None

    def wants_probe(self, host: str) -> bool:
        """Return whether the host is to be probed: its circuit is open, and a sign-in needed it lately."""
        circuit = self._current(host)
        return circuit is not None and self.now() - circuit.wanted <= PROBED_SECONDS

    def answered(self, host: str) -> bool:
        """Close the circuit. Return whether it was open."""
        self._answered[host] = self.now()
        return self._open.pop(host, None) is not None

    def request_unanswered(self, host: str, sent: float) -> bool:
        """Open the circuit, unless another request was answered since this one was sent. Return whether it was closed before."""
        if self._answered.get(host, sent - 1) >= sent:
            return False
        now = self.now()
        before = self._current(host)
        self._open[host] = _Open(now, now + REMEMBERED_SECONDS, now)
        return before is None

    def probe_unanswered(self, host: str) -> None:
        """Keep an open circuit open for longer."""
        circuit = self._current(host)
        if circuit is not None:
            circuit.until = min(self.now() + REMEMBERED_SECONDS, circuit.silent_request + LONGEST_SECONDS)

    def _current(self, host: str) -> _Open | None:
        circuit = self._open.get(host)
        if circuit is not None and self.now() >= circuit.until:
            del self._open[host]
            return None
        return circuit


class Client(Protocol):
    """Sends requests to STS."""

    async def get_caller_identity(self, url: str, cluster_id: str) -> StsAnswer | Refusal:
        """Return STS's answer, or the refusal `sts_unreachable` (it failed) or `sts_no_answer`."""

    async def is_silent(self, host: str) -> bool:
        """Return whether the host gives no answer of any kind to an unsigned request."""


class GuardedSts:
    """The verifier's STS (`server.verifier.Sts`). For one event loop."""

    def __init__(
        self,
        client: Client,
        observer: Callable[[str, bool], None],
        circuit: StsCircuit,
        probe_every: float = PROBE_SECONDS,
    ) -> None:
        """Create the guard. `observer` gets the host and whether it answers, when that changes."""
        self._client = client
        self._observer = observer
        self._circuit = circuit
        self._probe_every = probe_every
        self._probing: dict[str, asyncio.Task[None]] = {}

    async def get_caller_identity(self, url: str, cluster_id: str) -> StsAnswer | Refusal:
        """Return STS's answer, or why there is none; at once where the host has just not answered. Raises what the client raises."""
        host = urlsplit(url).netloc
        if self._circuit.refuses(host):
            self._probe(host)
            return Refusal(Reason.STS_NO_ANSWER, f"{host} has just not answered other requests")
        sent = self._circuit.now()
        answer = await self._client.get_caller_identity(url, cluster_id)
        if isinstance(answer, Refusal) and answer.reason is Reason.STS_NO_ANSWER:
            if self._circuit.request_unanswered(host, sent):
                self._observer(host, False)
            self._probe(host)
        else:
            self._answered(host)
        return answer

    async def close(self) -> None:
        """Stop probing."""
        tasks = list(self._probing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _answered(self, host: str) -> None:
        if self._circuit.answered(host):
            self._observer(host, True)

    def _probe(self, host: str) -> None:
        if host not in self._probing and self._circuit.wants_probe(host):
            self._probing[host] = asyncio.create_task(self._keep_probing(host))

    async def _keep_probing(self, host: str) -> None:
        probes = []
        try:
            while self._circuit.wants_probe(host):
                probes.append(asyncio.create_task(self._probe_once(host)))
                await asyncio.sleep(self._probe_every)
        finally:
            del self._probing[host]
            for probe in probes:
                probe.cancel()

    async def _probe_once(self, host: str) -> None:
        if await self._client.is_silent(host):
            self._circuit.probe_unanswered(host)
        else:
            self._answered(host)
