"""Connections that a port of this process has accepted, found among its descriptors, and closed from here.

The HTTP server's library owns the sockets and tells nothing about them. /dev/fd names the descriptors of a process on Linux (where it
is /proc/self/fd) and macOS. On Windows there is no such list: `LISTED` is False and nothing is found.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from kube_iam.server.listening import descriptor_limit

_DESCRIPTORS = "/dev/fd"
_INTERNET = (socket.AF_INET, socket.AF_INET6)
# include/uapi/asm-generic/socket.h and linux/filter.h: one instruction of classic BPF, "return 0 bytes".
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_DISCARD_ALL = struct.pack("@HBBI", 0x06, 0, 0, 0)
DISCARDS = sys.platform == "linux"
"""Whether packets of new connections can be discarded."""
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


def descriptors_in_use() -> int:
    """Return how many descriptors this process has, or its limit where none is left to count them with."""
    return sum(1 for _ in _descriptors())


def set_backlog(length: int) -> None:
    """Set how many connections may wait to be accepted, on each listening socket of this process."""
    _with_each_listening(lambda listening: listening.listen(length))


@contextlib.contextmanager
def no_new_connections(backlog: int) -> Iterator[None]:
    """Establish no connection meanwhile, as `discard_new_connections` does. `backlog` holds again afterwards."""
    discard_new_connections()
    try:
        yield
    finally:
        _with_each_listening(lambda listening: take_new_connections(listening, backlog))


def discard_new_connections() -> None:
    """Establish no more connections; those that wait can be accepted. Clients try again after a second.

    On Linux a packet filter of the listening sockets discards the packets (socket(7), SO_ATTACH_FILTER). Elsewhere one connection may
    wait at a time.
    """
    program = array("B", _DISCARD_ALL)
    discard = struct.pack("@HP", 1, program.buffer_info()[0])

    def pause(listening: socket.socket) -> None:
        listening.listen(0)
        if DISCARDS:
            listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, discard)

    _with_each_listening(pause)


def take_new_connections(listening: socket.socket, backlog: int) -> None:
    """Establish connections of this listening socket again, whether or not they were discarded; `backlog` of them may wait."""
    listening.listen(backlog)
    if DISCARDS:
        with contextlib.suppress(FileNotFoundError):  # there is no filter
            listening.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def _with_each_listening(act: Callable[[socket.socket], None]) -> None:
    for descriptor in _descriptors():
        if _socket_inode(descriptor) is None:
            continue
        # One that has no filter, or is closed meanwhile, is no reason to leave out the others.
        with contextlib.suppress(OSError), _borrowed(descriptor) as candidate:
            if candidate.family in _INTERNET and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                act(candidate)


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
