"""Memory of STS hosts that do not answer, so that further sign-ins fail at once instead of waiting (a circuit breaker).

Only silence opens the circuit of a host. An error, a refused connection and throttling are answers: kube-apiserver retries those, and
each attempt is quick. An open circuit closes with the first answer of any kind, to a probe or to a request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kube_iam.server.clock import uptime

REMEMBERED_SECONDS = 10.0
"""Time for which an unanswered request or probe counts."""
LONGEST_SECONDS = 60.0
"""Time for which probes alone keep a circuit open. Then one request is sent, in case only probes are not answered."""
PROBED_SECONDS = 30.0
"""Time for which a host is probed after the last sign-in that needed it."""


@dataclass(slots=True)
class _Open:
    """An open circuit: the last request without an answer, when the memory ends, and the last sign-in that needed the host."""

    silent_request: float
    until: float
    wanted: float


class StsCircuit:
    """State per host, by a clock that nobody sets. Does no I/O."""

    def __init__(self, clock: Callable[[], float] = uptime) -> None:
        """`clock` gives seconds that only grow."""
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
