"""Time limits for connections, and room for new clients when many are open.

The library of the HTTP server limits the TLS handshake (10 s) and HTTP/1 headers (30 s), and nothing else. A client may stay silent
after the handshake, stop in an HTTP/2 preface, announce a body that never comes, or only send pings: its connection would stay for
ever. At its limit of connections the library stops accepting, so that new clients wait.

Here each connection is known by its socket and by its requests. It is closed when it is too old for its state. When too many are open,
the longest idle ones are closed: those without any request first, and clients of the last second last. A connection is never closed
while a request on it is being answered, nor before the answer is written. See docs/decisions/0010-connection-limits.md.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from kube_iam.server.http import Exchange, Handler, Scope
from kube_iam.server.sockets import AcceptedSocket, AcceptedSockets, client_key

NO_REQUEST = "no_request"
BODY = "body"
IDLE = "idle"
LIMIT = "limit"
# The library writes an answer in a thread of its own, some time after it was given: up to 10 ms were seen on a busy machine.
_WRITING_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of one listener, times in seconds. `idle` exceeds the 90 s after which kube-apiserver itself closes idle connections.

    `fresh` is how long a new client has for its first request before it may be closed in favour of idle connections.
    """

    maximum: int
    fresh: float = 1.0
    first_request: float = 10.0
    body: float = 10.0
    idle: float = 120.0


@dataclass(slots=True)
class _Connection:
    """State of a connection: `since` is when it was opened, or when its last request began or ended. `used` is set by the first end.

    `requests` has, for each request being answered, the time of its beginning while its body is still to come, then None.
    """

    opened: float
    since: float
    inode: int = 0
    used: bool = False
    closed: bool = False
    requests: dict[int, float | None] = field(default_factory=dict)

    def may_close(self) -> bool:
        """Return whether it is open, and no request on it is being answered."""
        return not self.closed and None not in self.requests.values()

    def is_writing(self, now: float) -> bool:
        """Return whether its last answer may not have reached the socket yet."""
        return self.used and now - self.since < _WRITING_SECONDS


class ConnectionLimiter:
    """Requests and connections of one listener.

    `handle` answers requests, `enforce` closes connections. Both belong on the event loop.
    """

    def __init__(
        self,
        handler: Handler,
        sockets: AcceptedSockets,
        limits: ConnectionLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self.open = 0
        """Connections at the last look."""
        self._handler = handler
        self._sockets = sockets
        self._clock = clock
        self._connections: dict[str, _Connection] = {}

    async def handle(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request, and note when it begins, when its body is complete and when it ends."""
        client = scope.client
        if client.startswith("["):
            host, _, port = client.rpartition("]:")
            client = client_key(host[1:], int(port))
        clock = self._clock
        connection = self._connections.get(client)
        if connection is None:
            connection = self._connections[client] = _Connection(clock(), clock())
        watched = _WatchedExchange(exchange, connection)
        key = id(watched)
        connection.since = connection.requests[key] = clock()
        try:
            await self._handler(scope, watched)
        finally:
            del connection.requests[key]
            connection.used = True
            connection.since = clock()

    def enforce(self, descriptors: int = sys.maxsize) -> Counter[str]:
        """Close the connections that are over a limit, also those whose descriptor is not below `descriptors`.

        Return how many, by reason.
        """
        now = self._clock()
        sockets = self._sockets.open()
        self._update(sockets, now)
        closed: Counter[str] = Counter()
        candidates = []
        for accepted in sockets:
            connection = self._connections[accepted.client]
            reason = self._overdue(connection, now)
            idle = connection.may_close() and not connection.is_writing(now)
            if not reason and idle and accepted.descriptor >= descriptors:
                reason = LIMIT
            if reason:
                self._close(accepted, connection)
                closed[reason] += 1
            elif idle:
                # Of connections that are first seen in this look, the older one has the lower socket number.
                candidates.append((*self._worth(connection, now), accepted.inode, accepted))
        # Connections being written do not count: a new client would be closed for them. They are few: less than 1,500 answers fit.
        known = [self._connections[accepted.client] for accepted in sockets]
        left = sum(not one.closed and not (one.may_close() and one.is_writing(now)) for one in known)
        excess = max(0, left - self._limits.maximum)
        for *_, accepted in sorted(candidates, key=lambda one: one[:3])[:excess]:
            self._close(accepted, self._connections[accepted.client])
            closed[LIMIT] += 1
        self.open = len(sockets)
        return closed

    def _update(self, sockets: list[AcceptedSocket], now: float) -> None:
        connections = {client: known for client, known in self._connections.items() if known.requests}
        for accepted in sockets:
            known = self._connections.get(accepted.client)
            if known is None or (known.inode and known.inode != accepted.inode and not known.requests):
                known = _Connection(now, now)
            known.inode = accepted.inode
            connections[accepted.client] = known
        self._connections = connections

    def _worth(self, connection: _Connection, now: float) -> tuple[int, float]:
        """Return the rank of an idle connection where too many are open; the lowest is closed first."""
        # A new client is about to send its request, or is reading its answer: others that are idle go first.
        if now - connection.opened <= self._limits.fresh:
            return 2, connection.opened
        return (1, connection.since) if connection.used else (0, connection.opened)

    def _overdue(self, connection: _Connection, now: float) -> str:
        if not connection.may_close():
            return ""
        if connection.requests:
            began = min(began for began in connection.requests.values() if began is not None)
            return BODY if now - began > self._limits.body else ""
        if connection.used:
            return IDLE if now - connection.since > self._limits.idle else ""
        return NO_REQUEST if now - connection.since > self._limits.first_request else ""

    def _close(self, accepted: AcceptedSocket, connection: _Connection) -> None:
        self._sockets.close(accepted)
        connection.closed = True


class _WatchedExchange:
    """An exchange that notes when the body of its request is complete."""

    __slots__ = ("_connection", "_exchange", "response_bytes", "response_str")

    def __init__(self, exchange: Exchange, connection: _Connection) -> None:
        self._exchange = exchange
        self._connection = connection
        self.response_bytes = exchange.response_bytes
        self.response_str = exchange.response_str

    async def __call__(self) -> bytes:
        body = await self._exchange()
        self._connection.requests[id(self)] = None
        return body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._exchange:
            yield piece
        self._connection.requests[id(self)] = None
