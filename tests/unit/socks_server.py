"""A SOCKS5 server on loopback (RFC 1928, RFC 1929) that remembers to what it connected, and by whose name."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

USER, PASSWORD = "alice", "pass-word"


class SocksServer:
    """`asked` holds host and port of each connection, the host as it was asked for: an address, or a name."""

    def __init__(self, *, password: bool = False) -> None:
        self.asked: list[tuple[str, int]] = []
        self.password = password
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.port = int(self._server.server_address[1])

    def url(self, scheme: str = "socks5") -> str:
        account = f"{USER}:{PASSWORD}@" if self.password else ""
        return f"{scheme}://{account}127.0.0.1:{self.port}"

    @contextmanager
    def serving(self) -> Iterator[SocksServer]:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def serve(self, client: socket.socket) -> None:
        if not self._is_greeted(client):
            return
        _, _, _, kind = _read(client, 4)
        host = socket.inet_ntoa(_read(client, 4)) if kind == 1 else _read(client, _read(client, 1)[0]).decode()
        (port,) = struct.unpack("!H", _read(client, 2))
        self.asked.append((host, port))
        with socket.create_connection((host, port), timeout=30) as target:
            client.sendall(b"\5\0\0\1" + bytes(6))
            back = threading.Thread(target=_copy, args=(target, client), daemon=True)
            back.start()
            _copy(client, target)
            back.join()

    def _is_greeted(self, client: socket.socket) -> bool:
        version, count = _read(client, 2)
        methods = _read(client, count)
        if version != 5 or not self.password:
            client.sendall(b"\5\0")
            return version == 5
        client.sendall(b"\5\2" if 2 in methods else b"\5\xff")
        if 2 not in methods:
            return False
        user = _read(client, _read(client, 2)[1]).decode()
        password = _read(client, _read(client, 1)[0]).decode()
        is_right = (user, password) == (USER, PASSWORD)
        client.sendall(b"\1\0" if is_right else b"\1\1")
        return is_right

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        socks = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError, EOFError):
                    socks.serve(self.request)

        return Handler


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


def _read(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
