"""Token bucket for one event loop: a limit of calls a second, with short bursts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class RateLimit:
    """Limit of `per_second` calls in the long run and `burst` at once. With `per_second` 0 there is no limit."""

    def __init__(
        self,
        per_second: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._sleep = sleep
        self._left = float(burst)
        self._counted_at = clock()

    async def wait(self) -> None:
        """Return when the next call may be made, and count it. Callers are served in the order of their calls."""
        if not self._per_second:
            return
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_second) - 1
        self._counted_at = now
        if self._left < 0:
            await self._sleep(-self._left / self._per_second)
