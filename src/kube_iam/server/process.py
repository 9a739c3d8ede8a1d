"""The server's own process, on every operating system: its user, its signals and its clock.

`ignore_signals` is called before asyncio is loaded, so this module does not load it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

# CLOCK_MONOTONIC stops in a suspended virtual machine, and cached entries would seem younger than they are afterwards.
uptime: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""Return seconds since some moment of the past. This clock cannot be set, and goes on while the machine sleeps."""


def own_user() -> str:
    """Return the user of this process as permissions name it, such as `uid 65532`."""
    return f"uid {os.getuid()}" if hasattr(os, "getuid") else "this user"


def stop_signal() -> asyncio.Event:
    """Return an event that is set when the process is asked to end: SIGTERM or SIGINT, on Windows Ctrl-C or Ctrl-Break."""
    import asyncio

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is None:
            continue
        try:
            loop.add_signal_handler(number, stopping.set)
        except NotImplementedError:  # the event loops of Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
    return stopping


def ignore_signals() -> None:
    """Ignore SIGHUP, SIGUSR1 and SIGUSR2, which ask a program to reload or to report and would end this process."""
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def reload_signal() -> asyncio.Event:
    """Return an event that is set by each SIGHUP. Windows has no such signal."""
    import asyncio

    reloading = asyncio.Event()
    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloading.set)
    return reloading
