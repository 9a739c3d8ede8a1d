"""A port that answers: granian's embedded server, with TLS or without, stopped with a drain and renewed while it serves.

granian binds with SO_REUSEPORT, so a second server can take over a port from the first while requests go on; only a connection that
waits to be accepted in that instant is lost, and kube-apiserver tries again. It also means that a port in use by another process of
the same user would not be noticed: that is asked first. Windows has no such option: there the first server stops before the second
one starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.server.embed import Server

from kube_iam.errors import KubeIamError
from kube_iam.server.certificates import TlsPair, write_file
from kube_iam.server.process import descriptor_limit
from kube_iam.server.sockets import LISTED, set_backlog
from kube_iam.server.webhook import Handler

DRAIN_SECONDS = 4.0
_START_SECONDS = 10.0
# The reserve of 320 descriptors takes the connections that wait on both ports when none is left (`connection_watch`).
_BACKLOG = 128
# granian stops accepting at this number of connections. Where `connections` can close them, it is out of reach.
_ACCEPTED = 1_000_000 if LISTED else 1024
_MEMORY = "/dev/shm"  # noqa: S108
_SHARED_PORTS = hasattr(socket, "SO_REUSEPORT")
# What SO_REUSEADDR means elsewhere is what Windows does anyway; there it would let us bind a port that another program listens on.
_BIND_OPTION = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)


class Listener:
    """One address and port, and the handler of its requests."""

    def __init__(self, handler: Handler, address: str, port: int) -> None:
        self._handler = handler
        self._address = address
        self._port = port
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, pair: TlsPair | None = None) -> None:
        """Listen; returns once connections are taken. Raises KubeIamError where the address cannot be used."""
        _claim(self._address, self._port)
        await self._serve(pair)

    async def renew(self, pair: TlsPair) -> None:
        """Present another certificate from now on. Requests under way end as they began."""
        old_server, old_serving = self._server, self._serving
        if _SHARED_PORTS:
            await self._serve(pair)
            await _stop(old_server, old_serving)
        else:
            await _stop(old_server, old_serving)
            await self._serve(pair)

    async def stop(self) -> bool:
        """Take no more connections and wait for requests under way; whether all of them ended in time."""
        return await _stop(self._server, self._serving)

    async def _serve(self, pair: TlsPair | None) -> None:
        with _tls_files(pair) as files:
            server = Server(
                self._handler,
                address=self._address,
                port=self._port,
                interface=Interfaces.RSGI,
                http=HTTPModes.auto,
                websockets=False,
                backlog=backlog(),
                backpressure=_ACCEPTED,
                log_enabled=False,
                ssl_cert=files[0] if files else None,
                ssl_key=files[1] if files else None,
                ssl_protocol_min=SSLProtocols.tls12,
            )
            serving = asyncio.create_task(server.serve())
            await self._listening(serving)
        set_backlog(backlog())  # granian takes no less than 128
        self._server, self._serving = server, serving

    async def _listening(self, serving: asyncio.Task[None]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while not serving.done():
                    try:
                        _, writer = await asyncio.open_connection(_reachable(self._address), self._port)
                    except OSError:
                        await asyncio.sleep(0.01)
                        continue
                    writer.close()
                    return
        if not serving.done():
            serving.cancel()
        raise KubeIamError(f"{self._address}:{self._port} cannot be listened on")


def backlog() -> int:
    """Return how many connections may wait to be accepted."""
    return min(_BACKLOG, descriptor_limit() // 6)


async def _stop(server: Server | None, serving: asyncio.Task[None] | None) -> bool:
    if server is None or serving is None:
        return True
    server.stop()  # type: ignore[no-untyped-call]
    done, _ = await asyncio.wait({serving}, timeout=DRAIN_SECONDS)
    return bool(done)


def _claim(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, _BIND_OPTION, 1)
            probe.bind((address, port))
    except OSError as error:
        message = f"{address}:{port} cannot be listened on: {error.strerror or error}"
        raise KubeIamError(message, "is another server running? See --address, --port and healthPort") from error


def _reachable(address: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104


@contextlib.contextmanager
def _tls_files(pair: TlsPair | None) -> Iterator[tuple[Path, Path] | None]:
    """The pair as the files that granian wants: private, and gone once it has read them."""
    if pair is None:
        yield None
        return
    try:
        # Memory where there is any: the key stays off the disk, and a container's root may be read-only.
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        directory = tempfile.TemporaryDirectory(prefix="kube-iam-", dir=memory)
    except OSError as error:
        raise KubeIamError("no directory for temporary files can be written", "set TMPDIR") from error
    with directory as name:
        certificate, key = Path(name) / "cert.pem", Path(name) / "key.pem"
        write_file(certificate, pair.certificate_pem, 0o600)
        write_file(key, pair.key_pem, 0o600)
        yield certificate, key
