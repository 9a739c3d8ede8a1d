"""An HTTPS proxy (CONNECT, RFC 9110 section 9.3.6) that connects the names of STS to a loopback port, and refuses all others.

It serves programs that connect to AWS's own hosts only, as the reference's server does.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator


class ConnectProxy:
    """A proxy that runs in threads until it is closed. `asked` lists the authorities of all requests."""

    def __init__(self, names: Iterable[str], port: int) -> None:
        """Start to connect port 443 of these names to the loopback port."""
        self._authorities = {f"{name}:443" for name in names}
        self._port = port
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop accepting connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, IndexError):
            head = b""
            while b"\r\n\r\n" not in head:
                received = client.recv(4096)
                if not received:
                    return
                head += received
            authority = head.split()[1].decode()
            self.asked.append(authority)
            if not head.startswith(b"CONNECT ") or authority not in self._authorities:
                client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self._port)) as account:
                for end in (client, account):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(account, client), daemon=True)
                back.start()
                _pump(client, account)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def connect_proxy(names: Iterable[str], port: int) -> Iterator[ConnectProxy]:
    """Run a proxy until the context ends."""
    proxy = ConnectProxy(names, port)
    try:
        yield proxy
    finally:
        proxy.close()
