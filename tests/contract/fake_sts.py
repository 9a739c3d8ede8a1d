"""A fake STS for contract tests: a real HTTPS server on loopback that plays scripted answers and remembers what it was asked.

It verifies nothing. What a real STS would refuse is the sandbox's matter.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from loopback_pair import put_pair


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """A reply to send. A status of 0 closes the connection without a word."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def identity_answer(arn: str, user_id: str, account: str = "123456789012") -> Answer:
    result = {"Account": account, "Arn": arn, "UserId": user_id}
    answer = {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": {"RequestId": "1"}}}
    return Answer(body=json.dumps(answer).encode())


def error_answer(status: int, code: str) -> Answer:
    error = {
        "Error": {"Code": code, "Message": "The Canonical String was GET / X-Amz-Signature=quoted", "Type": "Sender"}
    }
    return Answer(status=status, body=json.dumps(error).encode())


class FakeSts:
    """`play` decides the answer; `asked` holds every request. Answers wait for `may_answer`."""

    def __init__(self, directory: Path) -> None:
        put_pair(directory)
        self.ca = directory / "cert.pem"
        self.asked: list[Asked] = []
        self.play: Callable[[Asked], Answer] = lambda _: Answer(500)
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, directory / "key.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.authority = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


def _handler_for(fake: FakeSts) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
            fake.asked.append(asked)
            answer = fake.play(asked)
            fake.may_answer.wait(30)
            if answer.status == 0:
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Silence: the request line holds the token's signature."""

    return Handler
