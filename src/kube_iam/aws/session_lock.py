"""One run at a time makes a session: the others wait and find it made, instead of asking the same person for the same code again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PATIENCE_SECONDS = 120.0
"""How long the others wait for one that may be waiting for a person; then they go on as if alone."""

_POLL_SECONDS = 0.05


@contextmanager
def one_at_a_time(path: str, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the lock file `path` while the block runs. Where files cannot be written or locked, the block runs without.

    The lock ends with the process that holds it, so none is ever left behind.
    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + patience
        while not _locked(descriptor) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return _locked_on_windows(descriptor)
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _locked_on_windows(descriptor: int) -> bool:
    try:
        import msvcrt
    except ImportError:
        return True
    with suppress(OSError):
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return True
    return False
