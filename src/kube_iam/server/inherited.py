"""Listening sockets that a service manager passes to the server: systemd's socket activation, sd_listen_fds(3).

The service manager keeps them while no server runs. Connections wait there for the next one, whatever ended the last one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from ipaddress import ip_address

from kube_iam.errors import KubeIamError
from kube_iam.server.listening import backlog
from kube_iam.server.sockets import take_new_connections

_FIRST_DESCRIPTOR = 3
_HINT = "see docs/install.md, systemd: ListenStream= must name IP addresses and ports of the configuration"


class InheritedSockets:
    """Sockets that were passed to this process and that nobody has taken yet."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Take LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment, so that no other program follows them.

        Raises KubeIamError for a descriptor that is no listening TCP socket.
        """
        process, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
        environ.pop("LISTEN_FDNAMES", None)
        passed = int(count) if process == str(os.getpid()) and count.isdecimal() else 0
        self._left = [_listening(_FIRST_DESCRIPTOR + number) for number in range(passed)]

    def take(self, address: str, port: int) -> socket.socket | None:
        """Return the socket that listens on this IP address and port, or None."""
        for candidate in self._left:
            if _address_of(candidate) == (ip_address(address), port):
                self._left.remove(candidate)
                return candidate
        return None

    def refuse_others(self) -> None:
        """Raise KubeIamError where a socket has not been taken: it listens where the configuration does not."""
        if self._left:
            where = [_shown(one) for one in self._left]
            raise KubeIamError(
                f"LISTEN_FDS holds sockets that listen where this server does not: {', '.join(where)}", _HINT
            )


def _listening(descriptor: int) -> socket.socket:
    problem = f"descriptor {descriptor} of LISTEN_FDS is no listening TCP socket"
    try:
        listening = socket.socket(fileno=descriptor)
    except OSError as error:
        raise KubeIamError(problem, _HINT) from error
    internet = listening.family in (socket.AF_INET, socket.AF_INET6) and listening.type == socket.SOCK_STREAM
    if not internet or not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listening.detach()
        raise KubeIamError(problem, _HINT)
    listening.set_inheritable(False)
    listening.setblocking(False)
    # A predecessor that was killed while it stopped may have left it so that it takes no connections.
    take_new_connections(listening, backlog())
    return listening


def _address_of(listening: socket.socket) -> tuple[object, int]:
    host, port, *_ = listening.getsockname()
    return ip_address(host.partition("%")[0]), port


def _shown(listening: socket.socket) -> str:
    host, port, *_ = listening.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
