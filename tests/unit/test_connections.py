"""Limits of connections, on sockets of a list and a clock that is set."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from io import StringIO
from typing import Any

import pytest

from kube_iam.server.connections import ConnectionLimiter, ConnectionLimits
from kube_iam.server.log import Log
from kube_iam.server.metrics import Metrics
from kube_iam.server.observers import ConnectionObserver
from kube_iam.server.sockets import AcceptedSocket, AcceptedSockets, client_key

LIMITS = ConnectionLimits(maximum=3, first_request=10, body=20, idle=120, fresh=0.5)


class Sockets(AcceptedSockets):
    def __init__(self) -> None:
        self.clients: dict[str, int] = {}
        self.closed: list[str] = []

    def open(self) -> list[AcceptedSocket]:
        return [AcceptedSocket(number, inode, client) for number, (client, inode) in enumerate(self.clients.items())]

    def close(self, accepted: AcceptedSocket) -> None:
        self.closed.append(accepted.client)


@dataclass
class Scope:
    client: str
    method: str = "POST"
    path: str = "/authenticate"
    headers: dict[str, str] = field(default_factory=dict)


class Exchange:
    """A request whose body comes when it is told to."""

    def __init__(self) -> None:
        self.body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> bytes:
        return await self.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield await self.body

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None: ...

    def response_str(self, status: int, headers: Any, body: str) -> None: ...


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


class Site:
    """A limiter, its clock, and a handler that reads the body and then waits for `finish`."""

    def __init__(self, limits: ConnectionLimits = LIMITS) -> None:
        self.now = 0.0
        self.sockets = Sockets()
        self.finish = asyncio.Event()
        self.limiter = ConnectionLimiter(self._answer, self.sockets, limits, lambda: self.now)

    async def _answer(self, scope: Any, exchange: Any) -> None:
        if scope.headers.get("pieces"):
            async for _ in exchange:
                pass
        else:
            await exchange()
        await self.finish.wait()

    def connect(self, *clients: str) -> None:
        for client in clients:
            self.sockets.clients[client] = len(self.sockets.clients) + 1

    async def begin(self, client: str, **headers: str) -> tuple[asyncio.Task[None], Exchange]:
        exchange = Exchange()
        task = asyncio.create_task(self.limiter.handle(Scope(client, headers=headers), exchange))
        await asyncio.sleep(0)
        return task, exchange

    async def answer(self, client: str) -> None:
        self.finish.set()
        task, exchange = await self.begin(client)
        exchange.body.set_result(b"{}")
        await task
        self.finish.clear()

    def after(self, seconds: float) -> Counter[str]:
        self.now += seconds
        return self.limiter.enforce()


@on_loop
async def test_a_connection_without_a_request_is_closed_after_the_first_limit() -> None:
    site = Site()
    site.connect("127.0.0.1:1")
    assert site.after(0) == {}
    assert site.after(9) == {}
    assert site.after(2) == {"no_request": 1}
    assert site.sockets.closed == ["127.0.0.1:1"]
    assert site.after(1000) == {}


@on_loop
async def test_an_idle_connection_is_closed_later_than_one_without_requests() -> None:
    site = Site()
    site.connect("127.0.0.1:1")
    await site.answer("127.0.0.1:1")
    assert site.after(119) == {}
    await site.answer("127.0.0.1:1")
    assert site.after(119) == {}
    assert site.after(2) == {"idle": 1}


@pytest.mark.parametrize("headers", [{}, {"pieces": "yes"}])
@on_loop
async def test_a_body_that_does_not_come_closes_the_connection(headers: dict[str, str]) -> None:
    site = Site()
    site.connect("127.0.0.1:1")
    task, exchange = await site.begin("127.0.0.1:1", **headers)
    assert site.after(19) == {}
    assert site.after(2) == {"body": 1}
    exchange.body.set_exception(RuntimeError("cut"))
    with pytest.raises(RuntimeError):
        await task
    assert site.limiter.enforce() == {}


@pytest.mark.parametrize("headers", [{}, {"pieces": "yes"}])
@on_loop
async def test_a_connection_is_not_closed_while_a_request_is_answered(headers: dict[str, str]) -> None:
    site = Site()
    site.connect(*(f"127.0.0.1:{port}" for port in range(1, 11)))
    task, exchange = await site.begin("127.0.0.1:1", **headers)
    exchange.body.set_result(b"{}")
    await asyncio.sleep(0)
    assert site.after(0) == {"limit": 7}
    assert site.after(1000) == {"no_request": 2}
    assert "127.0.0.1:1" not in site.sockets.closed
    site.finish.set()
    await task
    assert site.after(100) == {}
    assert site.after(100) == {"idle": 1}


@on_loop
async def test_another_stream_without_a_body_does_not_cut_the_answer_of_the_first() -> None:
    site = Site()
    site.connect("127.0.0.1:1")
    first, exchange = await site.begin("127.0.0.1:1")
    stalled, other = await site.begin("127.0.0.1:1")
    exchange.body.set_result(b"{}")
    await asyncio.sleep(0)
    assert site.after(30) == {}
    site.finish.set()
    await first
    assert site.after(0) == {"body": 1}
    other.body.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stalled


@on_loop
async def test_too_many_connections_close_the_longest_idle_without_requests_first() -> None:
    site = Site()
    site.connect("127.0.0.1:1")
    await site.answer("127.0.0.1:1")
    for port in (2, 3, 4, 5):
        site.connect(f"127.0.0.1:{port}")
        site.after(1)
    assert site.sockets.closed == ["127.0.0.1:2", "127.0.0.1:3"]
    await site.answer("127.0.0.1:4")
    site.connect("127.0.0.1:6")
    site.after(1)
    assert site.sockets.closed == ["127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:5"]
    await site.answer("127.0.0.1:6")
    site.connect("127.0.0.1:7")
    await site.answer("127.0.0.1:7")
    site.after(1)
    assert site.sockets.closed[3:] == ["127.0.0.1:1"]


@on_loop
async def test_a_new_client_has_time_for_its_request_where_all_others_are_idle() -> None:
    site = Site()
    for port in (1, 2, 3):
        site.connect(f"127.0.0.1:{port}")
        await site.answer(f"127.0.0.1:{port}")
        site.after(1)
    site.connect("127.0.0.1:4")
    site.after(0.1)
    assert site.sockets.closed == ["127.0.0.1:1"]
    site.connect("127.0.0.1:5")
    site.after(1)
    assert site.sockets.closed == ["127.0.0.1:1", "127.0.0.1:4"]


@on_loop
async def test_a_new_client_that_has_just_been_answered_outlasts_older_new_clients() -> None:
    site = Site()
    for port in (1, 2, 3, 4):
        site.connect(f"127.0.0.1:{port}")
        await site.answer(f"127.0.0.1:{port}") if port == 4 else site.after(0.1)
    site.after(0.2)
    assert site.sockets.closed == ["127.0.0.1:1"]


@pytest.mark.parametrize("descriptors", [0, 100])
@on_loop
async def test_an_old_connection_is_not_closed_while_its_answer_is_being_written(descriptors: int) -> None:
    site = Site()
    site.connect("127.0.0.1:1")
    site.after(5)
    await site.answer("127.0.0.1:1")
    site.connect(*(f"127.0.0.1:{port}" for port in range(2, 6)))
    site.limiter.enforce(descriptors)
    assert site.sockets.closed
    assert "127.0.0.1:1" not in site.sockets.closed
    site.now += 0.2
    site.connect("127.0.0.1:6")
    site.limiter.enforce(descriptors)
    assert "127.0.0.1:1" in site.sockets.closed


@on_loop
async def test_connections_that_took_the_reserve_of_descriptors_are_closed() -> None:
    site = Site()
    site.connect("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
    task, exchange = await site.begin("127.0.0.1:2")
    exchange.body.set_result(b"{}")
    await asyncio.sleep(0)
    assert site.limiter.enforce(descriptors=1) == {"limit": 1}
    assert site.sockets.closed == ["127.0.0.1:3"]
    site.finish.set()
    await task
    site.now += 0.2
    assert site.limiter.enforce(descriptors=1) == {"limit": 1}


@on_loop
async def test_a_client_address_used_again_is_a_new_connection() -> None:
    site = Site()
    site.connect("127.0.0.1:1")
    await site.answer("127.0.0.1:1")
    site.after(1)
    site.sockets.clients["127.0.0.1:1"] = 77
    site.after(1)
    assert site.after(11) == {"no_request": 1}


@pytest.mark.parametrize(
    ("of_the_library", "of_the_kernel"),
    [
        ("127.0.0.1:4242", ("127.0.0.1", 4242)),
        ("[::1]:4242", ("::1", 4242, 0, 0)),
        ("[::ffff:127.0.0.1]:4242", ("::ffff:7f00:1", 4242, 0, 0)),
        ("[fe80::1%2]:4242", ("fe80::1%eth0", 4242, 0, 2)),
        ("[2001:db8:0:0:0:0:0:1]:4242", ("2001:db8::1", 4242, 0, 0)),
    ],
)
@on_loop
async def test_a_request_is_found_by_every_spelling_of_the_client(of_the_library: str, of_the_kernel: Any) -> None:
    site = Site()
    site.connect(client_key(*of_the_kernel))
    await site.answer(of_the_library)
    assert site.after(100) == {}
    assert site.after(21) == {"idle": 1}


def test_connections_are_in_the_metrics_and_a_full_listener_in_the_log() -> None:
    metrics, written, now = Metrics(), StringIO(), [0.0]
    report = ConnectionObserver(Log(written), metrics, lambda: now[0])
    report.looked("webhook", 5, Counter({"limit": 3}))
    report.looked("webhook", 4, Counter({"limit": 1, "idle": 2}))
    report.looked("health", 1, Counter())
    assert written.getvalue().count("too many connections") == 1
    now[0] = 61
    report.looked("webhook", 5, Counter({"limit": 1}))
    assert written.getvalue().count("too many connections") == 2
    text = metrics.render()
    assert 'kube_iam_open_connections{listener="webhook"} 5\n' in text
    assert 'kube_iam_open_connections{listener="health"} 1\n' in text
    assert 'kube_iam_closed_connections_total{listener="webhook",reason="limit"} 5\n' in text
    assert 'kube_iam_closed_connections_total{listener="webhook",reason="idle"} 2\n' in text
