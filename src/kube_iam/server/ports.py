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
import errno
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kube_iam.config.server import ServerConfig
from kube_iam.errors import KubeIamError
from kube_iam.server.certificates import CERTIFICATE_FILE
from kube_iam.server.process import descriptor_limit

# The reserve of 320 descriptors takes the connections that wait on both ports when none is left (`connection_watch`).
_BACKLOG = 128
_PROOF_SECONDS = 5.0
# A server stops within five seconds.
_PATIENCE_SECONDS, _PAUSE_SECONDS = 6.0, 0.02
_CERTIFICATE_END = "-----END CERTIFICATE-----"
_SHARED_PORTS = hasattr(socket, "SO_REUSEPORT")
# What SO_REUSEADDR means elsewhere is what Windows does anyway; there it would let us bind a port that another program listens on.
_BIND_OPTION = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)

_Opened = TypeVar("_Opened")


@dataclass(frozen=True, slots=True)
class Ports:
    """The listening sockets, and whether they were taken over from a predecessor that still listens too."""

    webhook: socket.socket
    health: socket.socket
    taken_over: bool


def open_ports(config: ServerConfig) -> Ports:
    """Listen on the ports of the webhook and of health.

    Raises KubeIamError where an address cannot be used, or another program than a predecessor still listens on it after some seconds:
    a predecessor that ends cannot prove any more what it is, and keeps the health port for longest.
    """
    webhook, taken_over = _patiently(lambda: _open_webhook(config))
    try:
        health = _patiently(lambda: open_port(config.health_address, config.health_port, shared=taken_over))
    except KubeIamError:
        webhook.close()
        raise
    return Ports(webhook, health, taken_over)


def _open_webhook(config: ServerConfig) -> tuple[socket.socket, bool]:
    try:
        return open_port(config.address, config.port), False
    except PortInUse:
        if not _is_predecessor(config.address, config.port, config.state_dir / CERTIFICATE_FILE):
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


def open_port(address: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a socket that listens on an IP address. With `shared` others of the same user may listen there too.

    Raises KubeIamError where it cannot listen; PortInUse where it is because somebody else does.
    """
    try:
        if not shared:
            # With SO_REUSEPORT alone, another process of the same user would go unnoticed.
            with _bound(address, port, _BIND_OPTION):
                pass
        options = (_BIND_OPTION, socket.SO_REUSEPORT) if _SHARED_PORTS else (_BIND_OPTION,)
        listening = _bound(address, port, *options)
        listening.listen(backlog())
    except OSError as error:
        kind = PortInUse if error.errno == errno.EADDRINUSE else KubeIamError
        message = f"{address}:{port} cannot be listened on: {error.strerror or error}"
        raise kind(message, "is another server running? See --address, --port and healthPort") from error
    listening.setblocking(False)
    return listening


class PortInUse(KubeIamError):
    """Another process listens on the port."""


def backlog() -> int:
    """Return how many connections may wait to be accepted."""
    return min(_BACKLOG, descriptor_limit() // 6)


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


def reachable(address: str) -> str:
    """Return the address under which a socket that listens on `address` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104


def _is_predecessor(address: str, port: int, certificate: Path) -> bool:
    import ssl  # only a server that is already there needs it

    if not _SHARED_PORTS:
        return False
    with contextlib.suppress(OSError, ValueError):
        # The first certificate is the server's own, those behind it are of its issuers.
        own = ssl.PEM_cert_to_DER_cert(
            certificate.read_text().partition(_CERTIFICATE_END)[0].lstrip() + _CERTIFICATE_END
        )
        # Not verified but compared: it has to be this very certificate.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((reachable(address), port), _PROOF_SECONDS) as connection,
            context.wrap_socket(connection) as secured,
        ):
            return secured.getpeercert(binary_form=True) == own
    return False
