"""Clients that send nothing, too little or too slowly lose their connection, and never keep others from being answered.

The listener is the server's own, with real TLS and sockets, and with limits that suit a test.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import silent_clients
from running_server import RunningServer, wait_until
from silent_clients import CLIENTS, TLS_CLIENTS, Client, Port

from kube_iam.sandbox.processes import free_port
from kube_iam.server.certificates import TlsPair, ensure_pair, load_pair
from kube_iam.server.connection_watch import ConnectionWatch
from kube_iam.server.connections import ConnectionLimits
from kube_iam.server.http import Exchange, Scope
from kube_iam.server.listener import Listener

NEVER = 3600.0
MAXIMUM = 8
FULL = ConnectionLimits(MAXIMUM, NEVER, NEVER, NEVER)
SHORT = ConnectionLimits(1000, first_request=0.1, body=0.1, idle=0.1)


class Site:
    """A listener on a loop of its own. Requests to /slow wait for `release`; those to /authenticate read their body."""

    def __init__(self, limits: ConnectionLimits, pair: TlsPair | None, ca: str) -> None:
        self.number = free_port()
        self.port = Port(self.number, ca)
        self.release = threading.Event()
        self.slow = threading.Event()
        self.open = 0
        self.closed: Counter[str] = Counter()
        self._watch = ConnectionWatch(self._looked, interval=0.02)
        self._listener = Listener(
            self._watch.limited("test", self._answer, self.number, limits), "127.0.0.1", self.number
        )
        self._pair = pair
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._run(self._listener.start(self._pair))
        self._run(self._watch.start())

    def stop(self) -> None:
        self.release.set()
        self._run(self._listener.stop())
        self._run(self._watch.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def _looked(self, _: str, is_open: int, closed: Counter[str]) -> None:
        self.open = is_open
        self.closed += closed

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        if scope.path == "/authenticate":
            if scope.headers.get("content-length"):
                await exchange()
            else:
                async for _ in exchange:
                    pass
        if scope.path == "/slow":
            self.slow.set()
            await exchange()
            await asyncio.to_thread(self.release.wait)
        exchange.response_str(200, [], "ok")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[TlsPair, str]:
    directory = tmp_path_factory.mktemp("pair")
    now = datetime.now(UTC)
    ensure_pair(directory, "localhost", "127.0.0.1", now)
    return load_pair(directory, now), str(directory / "cert.pem")


@pytest.fixture(params=["tls", "plain"])
def make_site(
    request: pytest.FixtureRequest, certificate: tuple[TlsPair, str]
) -> Iterator[Callable[[ConnectionLimits], Site]]:
    made: list[Site] = []

    def make(limits: ConnectionLimits) -> Site:
        made.append(Site(limits, *(certificate if request.param == "tls" else (None, ""))))
        made[-1].start()
        return made[-1]

    yield make
    for site in made:
        site.stop()


@contextmanager
def opened(clients: list[socket.socket]) -> Iterator[None]:
    try:
        yield
    finally:
        for client in clients:
            client.close()


def begin_to_connect(port: Port) -> socket.socket:
    """Connect without waiting for the server to accept."""
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port.number))
    return client


def is_answered(port: Port, path: str = "/healthz") -> bool:
    client = port.connect()
    with client:
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".encode())
        return client.recv(4096).startswith(b"HTTP/1.1 200")


def both_are_answered(server: RunningServer) -> bool:
    try:
        return server.request("GET", "/healthz").body == server.health("/healthz").body == b"ok"
    except OSError:
        return False


def has_ended(client: socket.socket) -> bool:
    """Whether the server has closed the connection. What it sent before is read and dropped."""
    client.setblocking(False)
    try:
        while client.recv(65536):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    return True


# The plain listener has no TLS handshake, and the same clients otherwise.
@pytest.mark.parametrize("silent", TLS_CLIENTS, ids=lambda client: client.__name__)
def test_many_silent_clients_do_not_keep_others_from_being_answered(
    make_site: Callable[[ConnectionLimits], Site], silent: Client
) -> None:
    site = make_site(FULL)
    clients = [silent(site.port) for _ in range(5 * MAXIMUM)]
    with opened(clients):
        assert is_answered(site.port)
        wait_until(lambda: site.open <= MAXIMUM)
        assert is_answered(site.port)


@pytest.mark.parametrize("silent", CLIENTS, ids=lambda client: client.__name__)
def test_a_silent_client_loses_its_connection(make_site: Callable[[ConnectionLimits], Site], silent: Client) -> None:
    site = make_site(SHORT)
    client = silent(site.port)
    with opened([client]):
        wait_until(lambda: has_ended(client))
        assert is_answered(site.port)


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"", b"P" * 10_000),
        (b"", silent_clients.PREFACE),
        (silent_clients.HEADERS, b"x" * 10_000),
        (silent_clients.HEADERS + b"content-length: 10000\r\n\r\n", b" " * 10_000),
        (silent_clients.HEADERS + b"transfer-encoding: chunked\r\n\r\n2710\r\n", b" " * 10_000),
    ],
    ids=["request line", "preface", "headers", "body", "chunk"],
)
def test_a_client_that_sends_a_byte_now_and_then_loses_its_connection(
    make_site: Callable[[ConnectionLimits], Site], begin: bytes, drip: bytes
) -> None:
    site = make_site(SHORT)
    client = site.port.connect()
    left = iter(drip)

    def is_cut_off() -> bool:
        with suppress(OSError):
            client.sendall(bytes([next(left, 0)]))
        return has_ended(client)

    with opened([client]):
        client.sendall(begin)
        client.setblocking(False)
        wait_until(is_cut_off)


def test_pings_do_not_keep_a_connection_without_requests(make_site: Callable[[ConnectionLimits], Site]) -> None:
    site = make_site(SHORT)
    http2 = silent_clients._http2()
    client = site.port.connect("h2")

    def is_cut_off() -> bool:
        http2.ping(b"12345678")
        with suppress(OSError):
            client.sendall(http2.data_to_send())
        return has_ended(client)

    with opened([client]):
        wait_until(is_cut_off)


def test_a_request_is_answered_however_long_it_takes_and_however_many_connect(
    make_site: Callable[[ConnectionLimits], Site],
) -> None:
    site = make_site(ConnectionLimits(MAXIMUM, first_request=0.1, body=0.1, idle=0.1))
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(is_answered(site.port, "/slow")))
    asking.start()
    assert site.slow.wait(20)
    clients = [silent_clients.half_of_the_body(site.port) for _ in range(5 * MAXIMUM)]
    with opened(clients):
        wait_until(lambda: all(map(has_ended, clients)))
        assert answers == []
        site.release.set()
        asking.join()
    assert answers == [True]


def test_a_connection_is_used_again_within_the_idle_limit(make_site: Callable[[ConnectionLimits], Site]) -> None:
    site = make_site(ConnectionLimits(MAXIMUM, first_request=0.1, body=0.1, idle=NEVER))
    client, silent = silent_clients.idle_after_a_request(site.port), silent_clients.no_request(site.port)
    with opened([client, silent]):
        wait_until(lambda: has_ended(silent))
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_the_server_recovers_when_silent_clients_took_all_descriptors(
    make_server: Callable[..., RunningServer],
) -> None:
    server = make_server()
    server.start(descriptors=256)
    for port in (Port(server.port), Port(server.health_port)):
        clients = [begin_to_connect(port) for _ in range(600)]
        with opened(clients):
            wait_until(lambda: both_are_answered(server))
        wait_until(lambda: both_are_answered(server), 10)
        wait_until(lambda: server.metric('kube_iam_open_connections{listener="webhook"}') < 10, 10)
    assert server.metric('kube_iam_closed_connections_total{listener="webhook",reason="limit"}') > 0
    assert "too many connections" in server.log()
