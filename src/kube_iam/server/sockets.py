"""Connections that a port of this process has accepted, found among its descriptors, and closed from here.

The HTTP server's library owns the sockets and tells nothing about them. /dev/fd names the descriptors of a process on Linux (where it
is /proc/self/fd) and macOS. On Windows there is no such list: `LISTED` is False and nothing is found.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from kube_iam.server.process import descriptor_limit

_DESCRIPTORS = "/dev/fd"
_INTERNET = (socket.AF_INET, socket.AF_INET6)
LISTED = Path(_DESCRIPTORS).is_dir()


@dataclass(frozen=True, slots=True)
class AcceptedSocket:
    """One connection: its descriptor, the number that the kernel gave the socket (0 where it gives none), and the client."""

    descriptor: int
    inode: int
    client: str


class AcceptedSockets:
    """The connections of one local port. A socket is asked for its addresses once, since a port may have thousands."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._known: dict[int, AcceptedSocket] = {}

    def open(self) -> list[AcceptedSocket]:
        """Return the connections that are open now, including those whose TLS handshake is not over."""
        known = {}
        for descriptor in _descriptors():
            inode = _socket_inode(descriptor)
            if inode is None:
                continue
            seen = self._known.get(descriptor)
            if seen is None or not inode or seen.inode != inode:
                seen = AcceptedSocket(descriptor, inode, self._client(descriptor))
            known[descriptor] = seen
        self._known = known
        return [one for one in known.values() if one.client]

    def close(self, accepted: AcceptedSocket) -> None:
        """Shut the connection down in both directions. Its owner sees the end and frees the descriptor. A closed one is left alone."""
        with contextlib.suppress(OSError), _borrowed(accepted.descriptor) as connection:
            # The number may belong to another socket by now.
            if client_key(*connection.getpeername()) == accepted.client:
                connection.shutdown(socket.SHUT_RDWR)

    def _client(self, descriptor: int) -> str:
        try:
            with _borrowed(descriptor) as connection:
                if connection.family not in _INTERNET:
                    return ""
                return client_key(*connection.getpeername()) if connection.getsockname()[1] == self._port else ""
        except OSError:  # it listens, or has ended
            return ""


def set_backlog(length: int) -> None:
    """Set how many connections may wait to be accepted, on each listening socket of this process."""
    for descriptor in _descriptors():
        if _socket_inode(descriptor) is None:
            continue
        with contextlib.suppress(OSError), _borrowed(descriptor) as candidate:
            if candidate.family in _INTERNET and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                candidate.listen(length)


def client_key(host: str, port: int, *_: int) -> str:
    """Return one spelling for a client's address, however the kernel or a library writes IPv6."""
    return f"{ip_address(host.partition('%')[0])}|{port}" if ":" in host else f"{host}:{port}"


def _descriptors() -> Iterator[int]:
    if not LISTED:
        return iter(())
    try:
        return map(int, os.listdir(_DESCRIPTORS))  # noqa: PTH208 - names are enough, and are numbers
    except OSError:  # none is left to read the list with: then all numbers below the limit are in use
        return iter(range(descriptor_limit()))


def _socket_inode(descriptor: int) -> int | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else None


@contextlib.contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """Yield the socket under a number of its own, so that it stays what it is. Without a free number, under the owner's."""
    try:
        own = os.dup(descriptor)
    except OSError:
        connection = socket.socket(fileno=descriptor)
        try:
            yield connection
        finally:
            connection.detach()
    else:
        with socket.socket(fileno=own) as connection:
            yield connection
