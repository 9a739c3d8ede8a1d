"""A fake AWS service on loopback that gives prepared answers in order, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl


class FaultyHttp:
    """`answers` are status and body of the next answers. Status 0 cuts the connection. Without answers nothing is sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.reply: Callable[[dict[str, str]], tuple[int, bytes]] | None = None
        """Answers every form in place of `answers`."""
        self.forms: list[dict[str, str]] = []
        self.agents: list[str] = []
        self.authorizations: list[str] = []
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyHttp:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                form = dict(parse_qsl(body.decode()))
                served.forms.append(form)
                served.agents.append(self.headers["User-Agent"])
                served.authorizations.append(self.headers["Authorization"])
                if served.reply is not None:
                    status, text = served.reply(form)
                else:
                    if not served.answers:
                        served._ended.wait(30)
                    status, text = served.answers.pop(0) if served.answers else (0, b"")
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
