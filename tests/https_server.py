"""The one HTTPS server of the tests: on loopback, with answers of a function. The stand-ins for STS, IAM and EC2 are made with it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from loopback_pair import put_pair


@dataclass(frozen=True)
class Request:
    """A request as it arrived. Names of headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request], tuple[int, str | Mapping[str, str], bytes]]
"""Status, content type (or headers) and body for a request. A status of 0 closes the connection without an answer."""


class HttpsServer:
    """Serves until `stop`. `pair` is its certificate and key; without one it has those of 127.0.0.1, and `ca` is to be trusted."""

    def __init__(self, directory: Path, answer: Answer, pair: tuple[Path, Path] | None = None) -> None:
        self.ca = directory / "cert.pem"
        if pair is None:
            put_pair(directory)
        self._server = _Server(("127.0.0.1", 0), _handler_for(answer))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(pair or (self.ca, directory / "key.pem")))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._server.server_address[1])
        self.authority = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


def _handler_for(answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # headers and body in one packet, sent at once
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, kind, text = answer(Request(self.command, self.path, headers, body))
            if status == 0:
                self.close_connection = True
                return
            self.send_response_only(status)
            for name, value in ({"content-type": kind} if isinstance(kind, str) else kind).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Silence: a request line can hold a token's signature."""

    return Handler
