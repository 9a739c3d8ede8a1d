"""Exponential backoff for IAM: one call at a time while calls fail, the full rate after the first success. Pure.

For failures that concern all calls: throttling, no network, no credentials.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from kube_iam.core.backoff import ExponentialBackoff

MAX_CONCURRENCY = 4
PAUSES = ExponentialBackoff(first=1.0, longest=30.0)


class Backoff:
    """Times are seconds of a clock that never goes back. `jitter` shortens a pause a little, so that servers do not call in step."""

    def __init__(self, jitter: Callable[[float], float]) -> None:
        self._jitter = jitter
        self._failures_in_a_row = 0
        self._last_failure = -math.inf
        self.not_before = 0.0
        """The earliest time of the next call."""

    @property
    def concurrency(self) -> int:
        """The number of calls that may be under way at once."""
        return 1 if self._failures_in_a_row else MAX_CONCURRENCY

    def failed(self, began: float, now: float) -> None:
        """Record a failure of a call that began then."""
        if began < self._last_failure:
            return  # under way together with one that failed before: the same cause
        self._failures_in_a_row += 1
        self._last_failure = now
        self.not_before = now + self._jitter(PAUSES.pause(self._failures_in_a_row))

    def succeeded(self) -> None:
        """Record that a call was answered."""
        self._failures_in_a_row = 0
