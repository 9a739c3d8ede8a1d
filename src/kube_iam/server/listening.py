"""Listening sockets, and the limit of descriptors of this process.

This module loads in milliseconds, because nobody listens until it is loaded (`early_port`).
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from kube_iam.errors import KubeIamError

# When no descriptor is left, the reserve of 320 accepts the connections that wait on both ports (`connection_watch`).
_BACKLOG = 128
_MOST_DESCRIPTORS = 65536
_RESERVED_DESCRIPTORS = 320
_DESCRIPTORS_OF_WINDOWS = 8192
SHARED_PORTS = hasattr(socket, "SO_REUSEPORT")
# Windows behaves without options as other systems do with SO_REUSEADDR. There SO_REUSEADDR would bind a port that is in use.
_BIND_OPTION = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)


class PortInUse(KubeIamError):
    """Another process listens on the port."""


def open_port(address: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a socket that listens on an IP address. With `shared` other processes of the same user may listen there too.

    Raises PortInUse where another process listens there, KubeIamError where listening fails for another reason.
    """
    try:
        if not shared:
            # With SO_REUSEPORT alone, another process of the same user would not be noticed.
            with _bound(address, port, _BIND_OPTION):
                pass
        options = (_BIND_OPTION, socket.SO_REUSEPORT) if SHARED_PORTS else (_BIND_OPTION,)
        listening = _bound(address, port, *options)
        listening.listen(backlog())
    except OSError as error:
        kind = PortInUse if error.errno == errno.EADDRINUSE else KubeIamError
        message = f"{address}:{port} cannot be listened on: {error.strerror or error}"
        raise kind(message, "is another server running? See --address, --port and healthPort") from error
    listening.setblocking(False)
    return listening


def backlog() -> int:
    """Return the number of connections that may wait to be accepted."""
    return min(_BACKLOG, descriptor_limit() // 6)


def reachable(address: str) -> str:
    """Return the address under which a socket that listens on `address` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104


def _bound(address: str, port: int, *options: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]


def descriptor_limit() -> int:
    """Return the number of files and sockets that this process may open now. Windows has no such limit: 8192 there."""
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
    """Raise the limit by the reserve inside the context. Contexts may overlap."""
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
    # Some systems and sandboxes refuse it: then the limit stays as it is.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
