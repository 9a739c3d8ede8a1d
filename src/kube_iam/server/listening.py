"""Listening sockets. This module loads in milliseconds, since nobody listens until it is loaded (`early_port`)."""

from __future__ import annotations

import errno
import socket

from kube_iam.errors import KubeIamError
from kube_iam.server.descriptors import descriptor_limit

# The reserve of 320 descriptors takes the connections that wait on both ports when none is left (`connection_watch`).
_BACKLOG = 128
SHARED_PORTS = hasattr(socket, "SO_REUSEPORT")
# What SO_REUSEADDR means elsewhere is what Windows does anyway; there it would let us bind a port that another program listens on.
_BIND_OPTION = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)


class PortInUse(KubeIamError):
    """Another process listens on the port."""


def open_port(address: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a socket that listens on an IP address. With `shared` others of the same user may listen there too.

    Raises KubeIamError where it cannot listen; PortInUse where it is because somebody else does.
    """
    try:
        if not shared:
            # With SO_REUSEPORT alone, another process of the same user would go unnoticed.
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
    """Return how many connections may wait to be accepted."""
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
