"""Connections of the listeners in the metrics, and in the log when clients fill a listener."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

from kube_iam.server.connections import LIMIT
from kube_iam.server.log import Log
from kube_iam.server.metrics import Metrics

_LOG_SECONDS = 60.0


class ConnectionReport:
    """The listeners' observer."""

    def __init__(self, log: Log, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._open: dict[str, int] = {}
        self._logged: dict[str, float] = {}
        metrics.open_connections.source = self._samples

    def looked(self, listener: str, is_open: int, closed: Counter[str]) -> None:
        """Note how many connections a listener has, and how many were closed, by reason. A full listener is logged once a minute."""
        self._open[listener] = is_open
        for reason, count in closed.items():
            self._metrics.closed_connections.add(listener, reason, count=count)
        if closed[LIMIT] and self._clock() - self._logged.get(listener, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._logged[listener] = self._clock()
            self._log.warning("too many connections: the longest idle ones are closed", listener=listener, open=is_open)

    def _samples(self) -> Iterator[tuple[tuple[str, ...], float]]:
        return (((listener,), float(count)) for listener, count in self._open.items())
