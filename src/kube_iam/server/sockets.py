"""Connections that a port of this process has accepted: finds them among its descriptors, and closes them.

The HTTP server's library owns the sockets and does not expose them. /dev/fd lists the descriptors of a process on Linux (where it is
/proc/self/fd) and macOS. On Windows there is no such list: `LISTED` is False and no connection is found.
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
    """The connections of one local port. Each socket is asked for its addresses once, because a port may have thousands."""

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
        """End the connection in both directions. Its owner then frees the descriptor. A closed connection is left as it is."""
        with contextlib.suppress(OSError), _borrowed(accepted.descriptor) as connection:
            # The descriptor may belong to another socket by now.
            if client_key(*connection.getpeername()) == accepted.client:
                connection.shutdown(socket.SHUT_RDWR)

    def _client(self, descriptor: int) -> str:
        try:
            with _borrowed(descriptor) as connection:
                if connection.family not in _INTERNET:
                    return ""
                return client_key(*connection.getpeername()) if connection.getsockname()[1] == self._port else ""
        except OSError:  # the socket listens, or the connection has ended
            return ""


def descriptors_in_use() -> int:
    """Return the number of descriptors of this process, or its limit where no descriptor is left to read the list with."""
    return sum(1 for _ in _descriptors())


def set_backlog(length: int) -> None:
    """Set the number of connections that may wait to be accepted, on each listening socket of this process."""
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
        # A socket without a filter, or one that is closed meanwhile, does not end the loop.
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
    except OSError:  # no descriptor is left to read the list with, so all numbers below the limit are in use
        return iter(range(descriptor_limit()))


def _socket_inode(descriptor: int) -> int | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else None


@contextlib.contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """Yield the socket under a descriptor of its own, which nothing else closes. Without a free descriptor, yield the owner's."""
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
