"""Duration of quick STS failures per host, so that sign-ins stop being retried in an outage that lasts.

kube-apiserver retries a quick failure for 4.5 s, and kubectl makes about five requests a command: 23 s until it reports an outage that
was known from the first. STS is still asked for every sign-in, so nothing has to find out that it is back.
"""

from __future__ import annotations

from dataclasses import dataclass

LASTING_SECONDS = 6.0
"""Time of failures alone after which an outage counts as lasting. Exceeds the 4.5 s for which kube-apiserver retries a request."""
FORGOTTEN_SECONDS = 10.0
"""Time without a failure after which the next one begins a new outage: nothing is known of STS meanwhile."""


@dataclass(slots=True)
class _Outage:
    """Times of the first and of the last failure since an answer, in seconds of one clock."""

    first: float
    last: float


class StsOutages:
    """State per STS host. Does no I/O. Times are seconds of one clock that only grows."""

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
