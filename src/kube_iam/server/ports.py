"""The listening sockets of the server, opened before the rest of it is loaded, or shared with a predecessor.

kube-apiserver does not retry a refused connection. A connection to a listening socket waits until it is accepted. So no sign-in fails
after the sockets are open.

A port in use is an error, unless a predecessor of this server listens there. Two conditions must hold. The kernel lets a process
share a port (SO_REUSEPORT) with processes of the same effective user only. And the server on the webhook's port must present the
certificate of this server's state directory in a TLS handshake. This proves that it has the key, which no other program has. Then both
listen until the predecessor ends. The health port is shared only along with the webhook's port.

A service manager can pass listening sockets (systemd's socket activation, sd_listen_fds(3)). It keeps them while no server runs:
connections wait there for the next server, whatever ended the last one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from kube_iam.config.server import ServerConfig
from kube_iam.errors import KubeIamError
from kube_iam.server.certificates import CERTIFICATE_FILE
from kube_iam.server.early_port import EarlyPort
from kube_iam.server.listening import SHARED_PORTS, PortInUse, backlog, open_port, reachable
from kube_iam.server.sockets import take_new_connections

# The server is on this machine. A server that ends discards the packets of new connections, and cannot prove its identity any more.
_CONNECT_SECONDS, _PROOF_SECONDS = 0.05, 5.0
# A server stops within five seconds.
_PATIENCE_SECONDS, _PAUSE_SECONDS, _PROOF_PAUSE_SECONDS = 6.0, 0.003, 0.25
_CERTIFICATE_END = "-----END CERTIFICATE-----"
_FIRST_DESCRIPTOR = 3
_HINT = "see docs/install.md, systemd: ListenStream= must name IP addresses and ports of the configuration"

_Opened = TypeVar("_Opened")


@dataclass(frozen=True, slots=True)
class Ports:
    """The listening sockets; `taken_over`: a predecessor listens there too; `inherited`: those that a service manager keeps."""

    webhook: socket.socket
    health: socket.socket
    taken_over: bool
    inherited: tuple[socket.socket, ...] = ()


def open_ports(config: ServerConfig, environ: MutableMapping[str, str], early: EarlyPort | None = None) -> Ports:
    """Listen on the ports of the webhook and of health, or take the sockets that were passed to this process.

    Raises KubeIamError where an address cannot be used, or where a program that is no predecessor still listens on it after six
    seconds. The wait is needed because a predecessor that ends cannot prove its identity any more, and closes the health port last.
    """
    with contextlib.ExitStack() as stack:
        opened = early.claim(config.address, config.port) if early is not None else None
        inherited = InheritedSockets(environ)
        passed = inherited.take(config.address, config.port)
        passed_health = inherited.take(config.health_address, config.health_port)
        inherited.refuse_others()
        taken_over = False
        webhook = passed or opened
        if webhook is None:
            webhook, taken_over = _patiently(_WebhookPort(config).open)
        stack.callback(webhook.close)
        health = passed_health or _patiently(
            lambda: open_port(config.health_address, config.health_port, shared=taken_over)
        )
        stack.pop_all()
    return Ports(webhook, health, taken_over, tuple(filter(None, (passed, passed_health))))


class _WebhookPort:
    """Attempts to open the webhook's port. A proof needs a TLS handshake, so it is requested four times a second at most."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._next_proof = 0.0

    def open(self) -> tuple[socket.socket, bool]:
        """Return the socket, and whether it is shared with a predecessor. Raises PortInUse where the port may be free soon."""
        config = self._config
        try:
            return open_port(config.address, config.port), False
        except PortInUse:
            if time.monotonic() < self._next_proof:
                raise
            proved = _is_predecessor(config.address, config.port, config.state_dir / CERTIFICATE_FILE)
            self._next_proof = time.monotonic() + _PROOF_PAUSE_SECONDS
            if not proved:
                raise
        return open_port(config.address, config.port, shared=True), True


def _patiently(opened: Callable[[], _Opened]) -> _Opened:
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return opened()
        except PortInUse:
            if time.monotonic() >= end:
                raise
        time.sleep(_PAUSE_SECONDS)


def _is_predecessor(address: str, port: int, certificate: Path) -> bool:
    import ssl  # needed only where a server listens already

    if not SHARED_PORTS:
        return False
    with contextlib.suppress(OSError, ValueError):
        # The first certificate is the server's own, the others are of its issuers.
        own = ssl.PEM_cert_to_DER_cert(
            certificate.read_text().partition(_CERTIFICATE_END)[0].lstrip() + _CERTIFICATE_END
        )
        # Compared instead of verified: it has to be exactly this certificate.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((reachable(address), port), _CONNECT_SECONDS) as connection:
            connection.settimeout(_PROOF_SECONDS)
            with context.wrap_socket(connection) as secured:
                return secured.getpeercert(binary_form=True) == own
    return False


class InheritedSockets:
    """Sockets that were passed to this process and are not taken yet."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Remove LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES from the environment, so that no child process uses them.

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
        """Raise KubeIamError for a socket that was not taken: the configuration does not name its address and port."""
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
    # A predecessor that was killed while it stopped may have left the socket without new connections.
    take_new_connections(listening, backlog())
    return listening


def _address_of(listening: socket.socket) -> tuple[object, int]:
    host, port, *_ = listening.getsockname()
    return ip_address(host.partition("%")[0]), port


def _shown(listening: socket.socket) -> str:
    host, port, *_ = listening.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
