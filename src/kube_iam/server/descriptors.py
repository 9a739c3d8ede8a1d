"""The limit of files and sockets that this process may open, on every operating system."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

_MOST_DESCRIPTORS = 65536
_RESERVED_DESCRIPTORS = 320
_DESCRIPTORS_OF_WINDOWS = 8192


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
