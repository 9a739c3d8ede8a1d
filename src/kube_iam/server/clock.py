"""Clocks for ages and expiries, which must not depend on somebody setting the wall clock."""

from __future__ import annotations

import time
from collections.abc import Callable


def uptime() -> float:
    """Seconds since some moment of the past. Nobody sets this clock, and it goes on while the machine sleeps."""
    # CLOCK_MONOTONIC stands still in a suspended virtual machine, and what is old would look young afterwards.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class ElapsedTime:
    """Seconds since its creation, by whichever of two clocks has advanced more between two calls. It never goes back.

    For expiries: a wall clock that is set back prolongs nothing, and one that is set forward ends what is too old by it. Where
    `steady` stands still during a suspend (systems without CLOCK_BOOTTIME), the wall clock counts that time.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = uptime) -> None:
        """`wall` gives Unix seconds, which may step in both directions; `steady` gives seconds that only grow."""
        self._wall, self._steady = wall, steady
        self._last_wall, self._last_steady = wall(), steady()
        self._elapsed = 0.0

    def __call__(self) -> float:
        """Return the seconds that have passed."""
        wall, steady = self._wall(), self._steady()
        self._elapsed += max(wall - self._last_wall, steady - self._last_steady, 0.0)
        self._last_wall, self._last_steady = wall, steady
        return self._elapsed
