"""A port that is served by granian's embedded server, with TLS or without. It can be drained, and its certificate renewed.

The listening socket is ours (`ports`), and granian gets a descriptor of it. So connections wait to be accepted before granian runs,
and while a new granian replaces the running one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.server.embed import Server

from kube_iam.errors import KubeIamError
from kube_iam.files import write_file
from kube_iam.server.certificates import TlsPair
from kube_iam.server.http import Handler
from kube_iam.server.listening import backlog, open_port, reachable
from kube_iam.server.sockets import DISCARDS, LISTED, set_backlog

DRAIN_SECONDS = 3.0
_START_SECONDS = 10.0
# Neither TLS nor HTTP: granian answers with an alert or an error, or closes the connection.
_NO_REQUEST = b"\0\r\n\r\n"
# granian stops accepting at this number of connections. Where `connections` can close them, it is never reached.
_ACCEPTED = 1_000_000 if LISTED else 1024
_MEMORY = "/dev/shm"  # noqa: S108


class Listener:
    """One address and port, and the handler of its requests."""

    def __init__(self, handler: Handler, address: str, port: int, listening: socket.socket | None = None) -> None:
        """Create the listener. `listening` is a socket that listens there already; without it `start` opens one."""
        self._handler = handler
        self._address = address
        self._port = port
        self._listening = listening
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, pair: TlsPair | None = None) -> None:
        """Serve. Return once connections are accepted. Raises KubeIamError where the address cannot be used."""
        if self._listening is None:
            self._listening = open_port(self._address, self._port)
        await self._serve(self._listening, pair)

    async def renew(self, pair: TlsPair) -> None:
        """Present this certificate on new connections. Requests under way are finished."""
        assert self._listening is not None
        old_server, old_serving = self._server, self._serving
        await self._serve(self._listening, pair)
        await _stop(old_server, old_serving)

    async def stop(self) -> bool:
        """Accept no more connections, and wait for requests under way. Return whether all ended in time. A second call has no effect.

        Where packets can be discarded, the port stays in use until the process ends. So no connection is refused before a successor,
        or the service manager, can listen.
        """
        if self._listening is not None and not DISCARDS:
            self._listening.close()
        server, self._server = self._server, None
        return await _stop(server, self._serving)

    async def _serve(self, listening: socket.socket, pair: TlsPair | None) -> None:
        with _tls_files(pair) as files:
            server = _Server(
                listening,
                target=self._handler,
                interface=Interfaces.RSGI,
                http=HTTPModes.auto,
                websockets=False,
                backpressure=_ACCEPTED,
                log_enabled=False,
                ssl_cert=files[0] if files else None,
                ssl_key=files[1] if files else None,
                ssl_protocol_min=SSLProtocols.tls12,
            )
            serving = asyncio.create_task(server.serve())
            await self._accepting(serving)
        set_backlog(backlog())
        self._server, self._serving = server, serving

    async def _accepting(self, serving: asyncio.Task[None]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while not serving.done():
                    with contextlib.suppress(OSError):
                        await _provoke(reachable(self._address), self._port)
                        return
                    await asyncio.sleep(0.01)
        if not serving.done():
            serving.cancel()
        raise KubeIamError(f"{self._address}:{self._port} cannot be listened on")


class _Server(Server):
    """granian on a socket that listens already. granian gets a descriptor of its own."""

    def __init__(self, listening: socket.socket, **options: Any) -> None:
        super().__init__(**options)
        self._listening = listening

    def build_ssl_context(
        self, cert: Path | None, key: Path | None, password: str | None, proto: SSLProtocols, *_: object
    ) -> None:
        # As granian does, but without a check of the pair by OpenSSL: `certificates` has checked it.
        if cert is None or key is None:
            super().build_ssl_context(cert, key, password, proto, None, [], False)
        else:
            self.ssl_ctx = (True, str(cert), str(key), password, str(proto), None, [], False)  # type: ignore[assignment]

    def _init_shared_socket(self) -> None:
        # granian itself passes a descriptor instead of an address where the system has no SO_REUSEPORT.
        self._shd = SocketHolder(self._listening.dup().detach(), False, backlog())  # type: ignore[assignment, call-arg]


async def _provoke(address: str, port: int) -> None:
    """Send bytes that are no request, and return when the server reacts. Raises OSError."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(_NO_REQUEST)
        await reader.read(1)
    finally:
        writer.close()


async def _stop(server: Server | None, serving: asyncio.Task[None] | None) -> bool:
    if server is None or serving is None:
        return True
    server.stop()  # type: ignore[no-untyped-call]
    done, _ = await asyncio.wait({serving}, timeout=DRAIN_SECONDS)
    return bool(done)


@contextlib.contextmanager
def _tls_files(pair: TlsPair | None) -> Iterator[tuple[Path, Path] | None]:
    """Yield the pair as the files that granian needs. They are private, and removed after granian has read them."""
    if pair is None:
        yield None
        return
    try:
        # In memory where possible: the key is not written to a disk, and a container's root may be read-only.
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        directory = tempfile.TemporaryDirectory(prefix="kube-iam-", dir=memory)
    except OSError as error:
        raise KubeIamError("no directory for temporary files can be written", "set TMPDIR") from error
    with directory as name:
        certificate, key = Path(name) / "cert.pem", Path(name) / "key.pem"
        write_file(certificate, pair.certificate_pem, 0o600)
        write_file(key, pair.key_pem, 0o600)
        yield certificate, key
