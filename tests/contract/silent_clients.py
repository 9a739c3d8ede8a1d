"""Clients that connect and then send nothing, too little or too slowly: each function opens one connection and leaves it so."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from h2.config import H2Configuration
from h2.connection import H2Connection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS = b"POST /authenticate HTTP/1.1\r\nhost: localhost\r\n"


class Port:
    """A port to connect to; `contexts` by ALPN protocol, none where it speaks plain HTTP."""

    def __init__(self, number: int, ca: str = "") -> None:
        self.number = number
        self._ca = ca
        self._contexts: dict[str, ssl.SSLContext] = {}

    def tcp(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.number), timeout=10)

    def connect(self, protocol: str = "http/1.1") -> socket.socket:
        if not self._ca:
            return self.tcp()
        if protocol not in self._contexts:
            self._contexts[protocol] = ssl.create_default_context(cafile=self._ca)
            self._contexts[protocol].set_alpn_protocols([protocol])
        return self._contexts[protocol].wrap_socket(self.tcp(), server_hostname="localhost")


Client = Callable[[Port], socket.socket]


def nothing(port: Port) -> socket.socket:
    return port.tcp()


def half_a_handshake(port: Port) -> socket.socket:
    return _after(port.tcp(), b"\x16\x03\x01\x02\x00\x01\x00")


def no_request(port: Port) -> socket.socket:
    return port.connect()


def half_a_request_line(port: Port) -> socket.socket:
    return _after(port.connect(), b"POST /auth")


def half_of_the_headers(port: Port) -> socket.socket:
    return _after(port.connect(), HEADERS)


def no_body(port: Port) -> socket.socket:
    return _after(port.connect(), HEADERS + b"content-length: 100\r\n\r\n")


def half_of_the_body(port: Port) -> socket.socket:
    return _after(port.connect(), HEADERS + b"content-length: 100\r\n\r\n{")


def half_of_a_chunk(port: Port) -> socket.socket:
    return _after(port.connect(), HEADERS + b"transfer-encoding: chunked\r\n\r\n40\r\n{")


def half_a_preface(port: Port) -> socket.socket:
    return _after(port.connect("h2"), PREFACE[:10])


def preface_only(port: Port) -> socket.socket:
    return _after(port.connect("h2"), PREFACE)


def settings_without_a_request(port: Port) -> socket.socket:
    return _after(port.connect("h2"), _http2().data_to_send())


def headers_without_a_body(port: Port) -> socket.socket:
    connection = _http2()
    connection.send_headers(
        1, [(":method", "POST"), (":scheme", "https"), (":authority", "x"), (":path", "/authenticate")]
    )
    return _after(port.connect("h2"), connection.data_to_send())


def idle_after_a_request(port: Port) -> socket.socket:
    client = _after(port.connect(), b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    with suppress(OSError):
        client.recv(4096)
    return client


CLIENTS: list[Client] = [
    nothing,
    no_request,
    half_a_request_line,
    half_of_the_headers,
    no_body,
    half_of_the_body,
    half_of_a_chunk,
    half_a_preface,
    preface_only,
    settings_without_a_request,
    headers_without_a_body,
    idle_after_a_request,
]
TLS_CLIENTS: list[Client] = [half_a_handshake, *CLIENTS]


def _http2() -> H2Connection:
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    return connection


def _after(client: socket.socket, sent: bytes) -> socket.socket:
    # A server that has closed the connection already is what the tests are about.
    with suppress(OSError):
        client.sendall(sent)
    return client
