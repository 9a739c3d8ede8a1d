"""The clock that ages are measured by: nobody sets it, and it goes on while the machine sleeps."""

from __future__ import annotations

import time


def uptime() -> float:
    """Seconds since some moment of the past."""
    # CLOCK_MONOTONIC stands still in a suspended virtual machine, and what is old would look young afterwards.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
