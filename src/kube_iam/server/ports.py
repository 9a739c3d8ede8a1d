"""The listening sockets of the server, opened before the rest of it is loaded, and taken over from a predecessor.

kube-apiserver does not retry a refused connection. A connection to a socket that listens waits until it is accepted: so no sign-in
fails from the moment when the sockets are open.

A port in use is an error, unless the server behind it is a predecessor of this one. Two things must hold. The kernel lets a process
share a port (SO_REUSEPORT) with processes of the same effective user only. And the server on the webhook's port must present the
certificate of this server's state directory in a TLS handshake, which proves that it has the key: no other program has it. Then both
listen until the predecessor ends. The health port is shared only along with the webhook's.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kube_iam.config.server import ServerConfig
from kube_iam.server.certificates import CERTIFICATE_FILE
from kube_iam.server.early_port import EarlyPort
from kube_iam.server.inherited import InheritedSockets
from kube_iam.server.listening import SHARED_PORTS, PortInUse, open_port, reachable

# The server is on this machine. One that ends discards the packets of new connections, and cannot prove any more what it is.
_CONNECT_SECONDS, _PROOF_SECONDS = 0.05, 5.0
# A server stops within five seconds.
_PATIENCE_SECONDS, _PAUSE_SECONDS, _PROOF_PAUSE_SECONDS = 6.0, 0.003, 0.25
_CERTIFICATE_END = "-----END CERTIFICATE-----"

_Opened = TypeVar("_Opened")


@dataclass(frozen=True, slots=True)
class Ports:
    """The listening sockets, whether a predecessor still listens there too, and which of them a service manager keeps."""

    webhook: socket.socket
    health: socket.socket
    taken_over: bool
    inherited: tuple[socket.socket, ...] = ()


def open_ports(config: ServerConfig, environ: MutableMapping[str, str], early: EarlyPort | None = None) -> Ports:
    """Listen on the ports of the webhook and of health, or take the sockets that were passed to this process.

    Raises KubeIamError where an address cannot be used, or another program than a predecessor still listens on it after some seconds:
    a predecessor that ends cannot prove any more what it is, and keeps the health port for longest.
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
    """Attempts to open the webhook's port. A proof costs a handshake, and is asked for four times a second at most."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._next_proof = 0.0

    def open(self) -> tuple[socket.socket, bool]:
        """Return the socket, and whether it is shared with a predecessor. Raises KubeIamError: PortInUse where it may end soon."""
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
    import ssl  # only a server that is already there needs it

    if not SHARED_PORTS:
        return False
    with contextlib.suppress(OSError, ValueError):
        # The first certificate is the server's own, those behind it are of its issuers.
        own = ssl.PEM_cert_to_DER_cert(
            certificate.read_text().partition(_CERTIFICATE_END)[0].lstrip() + _CERTIFICATE_END
        )
        # Not verified but compared: it has to be this very certificate.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((reachable(address), port), _CONNECT_SECONDS) as connection:
            connection.settimeout(_PROOF_SECONDS)
            with context.wrap_socket(connection) as secured:
                return secured.getpeercert(binary_form=True) == own
    return False
