"""The server's own process, on every operating system: its user, its stop signals, its limit of descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

_MOST_DESCRIPTORS = 65536
_RESERVED_DESCRIPTORS = 320
_DESCRIPTORS_OF_WINDOWS = 8192


def own_user() -> str:
    """Who this process runs as, as a person would look for it in a permission."""
    return f"uid {os.getuid()}" if hasattr(os, "getuid") else "this user"


def stop_signal() -> asyncio.Event:
    """An event that is set when the process is asked to end: SIGTERM or SIGINT, on Windows Ctrl-C or Ctrl-Break."""
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
    """Let no signal end the process that only asks a program to reload or to report: SIGHUP, SIGUSR1, SIGUSR2."""
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def reload_signal() -> asyncio.Event:
    """Return an event that is set by each SIGHUP. Windows has no such signal."""
    reloading = asyncio.Event()
    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloading.set)
    return reloading


def descriptor_limit() -> int:
    """Return how many files and sockets this process may open now. Windows knows no such limit: a number that it can bear."""
    return _DESCRIPTORS_OF_WINDOWS if resource is None else resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_descriptor_limit() -> None:
    """Raise the soft limit of descriptors to the hard one, 65,536 at most, less a reserve for `more_descriptors`."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(soft, _MOST_DESCRIPTORS) if hard == resource.RLIM_INFINITY else min(max(soft, _MOST_DESCRIPTORS), hard)
    _set_descriptor_limit(most - min(_RESERVED_DESCRIPTORS, most // 3))


def descriptors_left() -> bool:
    """Return whether a socket can be opened now."""
    try:
        socket.socket().close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def more_descriptors() -> Iterator[None]:
    """Allow the reserve meanwhile. Several may overlap."""
    if resource is None:
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = before + _RESERVED_DESCRIPTORS
    _set_descriptor_limit(more if hard == resource.RLIM_INFINITY else min(more, hard))
    try:
        yield
    finally:
        _set_descriptor_limit(min(before, descriptor_limit()))


def _set_descriptor_limit(soft: int) -> None:
    # Refused by some systems and sandboxes: then the limit stays as it is.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
