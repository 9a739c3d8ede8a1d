"""An HTTP/1.1 connection to an API server on the event loop, for whole answers and for answers without end (watches).

It is made of asyncio and h11, because the server keeps one open all the time: lightkube's client needs 9 MB of memory, this one 0.3
MB. It connects without a proxy: a proxy for STS is not meant for the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import h11

from kube_iam.core.redaction import network_reason
from kube_iam.errors import KubeIamError, Unreachable
from kube_iam.kube.endpoint import Endpoint

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
MAX_BODY = 256 * 1024 * 1024
MAX_LINE = 16 * 1024 * 1024
_READ = 64 * 1024


class Answer(NamedTuple):
    """An answer of the API server."""

    status: int
    body: bytes


class Connection:
    """An open connection. Use it for one request at a time, and close it after an error."""

    def __init__(self, endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._endpoint = endpoint
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(h11.CLIENT)

    async def request(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> Answer:
        """Return the whole answer to one request. Raises Unreachable."""
        with _failures(self._endpoint):
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await self._send(method, path, body, content_type)
                answer = bytearray()
                async for piece in self._body():
                    answer += piece
                    if len(answer) > MAX_BODY:
                        raise Unreachable(f"{self._endpoint.url} answers without end")
            if self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE:
                self._protocol.start_next_cycle()
            return Answer(status, bytes(answer))

    async def lines(self, path: str, silence: float) -> AsyncIterator[bytes | Answer]:
        """Yield the answer to a GET as it comes: line by line, or one `Answer` where its status is not 200.

        Raises Unreachable, also when nothing is received for `silence` seconds.
        """
        with _failures(self._endpoint):
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await self._send("GET", path, b"", "")
            kept = bytearray()
            async for piece in self._body(silence):
                kept += piece
                if len(kept) > MAX_LINE:
                    raise Unreachable(f"{self._endpoint.url} sends lines without end")
                if status == 200 and b"\n" in piece:
                    *whole, rest = kept.split(b"\n")
                    kept = bytearray(rest)
                    for line in whole:
                        if line:
                            yield bytes(line)
            if status != 200:
                yield Answer(status, bytes(kept))

    def close(self) -> None:
        """Abort the connection at once."""
        self._writer.transport.abort()

    async def _send(self, method: str, path: str, body: bytes, content_type: str) -> int:
        headers = [("Host", self._endpoint.authority), ("Accept", "application/json"), ("User-Agent", "kube-iam")]
        if self._endpoint.authorization:
            headers.append(("Authorization", self._endpoint.authorization))
        if content_type:
            headers += [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        request = h11.Request(method=method, target=f"{self._endpoint.base}{path}", headers=headers)
        sent = self._protocol.send(request) or b""
        if body:
            sent += self._protocol.send(h11.Data(data=body)) or b""
        sent += self._protocol.send(h11.EndOfMessage()) or b""
        self._writer.write(sent)
        await self._writer.drain()
        while not isinstance(event := await self._next(), h11.Response):
            if isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("closed without an answer")
        return event.status_code

    async def _body(self, silence: float | None = None) -> AsyncIterator[bytes]:
        while True:
            async with asyncio.timeout(silence):
                event = await self._next()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                return

    async def _next(self) -> object:
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(await self._reader.read(_READ))
        return event


@contextlib.asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[Connection]:
    """Yield a connection that is closed at the end. Raises Unreachable."""
    with _failures(endpoint):
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.tls)
        _keep_alive(writer)
    connection = Connection(endpoint, reader, writer)
    try:
        yield connection
    finally:
        connection.close()


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Let the kernel detect an unreachable machine after 45 seconds, long before the end of a watch."""
    found = writer.get_extra_info("socket")
    if found is None:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@contextlib.contextmanager
def _failures(endpoint: Endpoint) -> Iterator[None]:
    """Turn network errors into Unreachable."""
    try:
        yield
    except KubeIamError:
        raise
    except TimeoutError as error:
        raise Unreachable(f"{endpoint.url} does not answer in time") from error
    except OSError as error:
        raise Unreachable(
            f"{endpoint.url} cannot be reached: {network_reason(error) or type(error).__name__}"
        ) from error
    except h11.ProtocolError as error:
        raise Unreachable(f"{endpoint.url} broke off, or does not speak HTTP ({type(error).__name__})") from error
