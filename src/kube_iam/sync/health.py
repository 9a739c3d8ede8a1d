"""The sync's own port, for kubelet and Prometheus: /readyz, /healthz and /metrics over plain HTTP/1.1."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from kube_iam.errors import KubeIamError
from kube_iam.server.metrics import CONTENT_TYPE, MetricSet

_SECONDS = 10.0
_LONGEST = 16 * 1024
_CONNECTIONS = 32


class HealthPort:
    """Answers one request for each connection. `why_not_ready` returns an empty text while the sync can do its work."""

    def __init__(self, address: str, port: int, why_not_ready: Callable[[], str], metrics: MetricSet) -> None:
        self._address, self._port = address, port
        self._why_not_ready, self._metrics = why_not_ready, metrics
        self._server: asyncio.Server | None = None
        self._slots = asyncio.Semaphore(_CONNECTIONS)

    async def start(self) -> None:
        """Listen. Raises KubeIamError where the address cannot be used."""
        try:
            self._server = await asyncio.start_server(self._answer, self._address, self._port, limit=_LONGEST)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise KubeIamError(f"{self._address}:{self._port} cannot be listened on: {reason}") from error

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with self._slots, asyncio.timeout(_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, text = self._response(head.split(b"\r\n", 1)[0])
                body = text.encode()
                lines = (
                    f"HTTP/1.1 {status}",
                    f"Content-Type: {kind}",
                    f"Content-Length: {len(body)}",
                    "Connection: close",
                )
                writer.write("\r\n".join((*lines, "", "")).encode() + body)
                await writer.drain()
        writer.close()

    def _response(self, request: bytes) -> tuple[str, str, str]:
        method, _, rest = request.decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        plain = "text/plain; charset=utf-8"
        if method != "GET":
            return "405 Method Not Allowed", plain, "GET only"
        if path == "/metrics":
            return "200 OK", CONTENT_TYPE, self._metrics.render()
        reason = self._why_not_ready() if path == "/readyz" else ""
        return ("503 Service Unavailable" if reason else "200 OK"), plain, reason or "ok"
