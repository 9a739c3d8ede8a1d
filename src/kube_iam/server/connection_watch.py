"""One task that enforces the limits of connections on all listeners of this process, and frees descriptors when none is left."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable

from kube_iam.server.connections import ConnectionLimiter, ConnectionLimits
from kube_iam.server.http import Handler
from kube_iam.server.listening import backlog, descriptor_limit, descriptors_left, more_descriptors
from kube_iam.server.sockets import AcceptedSockets, descriptors_in_use, no_new_connections

LOOK_SECONDS = 0.25
# A look takes longer with thousands of connections. It may use a tenth of the event loop's time at most.
_SHARE = 10
_RECOVERY_SECONDS = 2.0
_GRACE_SECONDS = 0.1
_PAUSE_SECONDS = 0.01

Observer = Callable[[str, int, Counter[str]], None]
"""Function that gets the name of a listener, its number of open connections, and the numbers of closed ones by reason."""


class ConnectionWatch:
    """Enforces the limits every `interval` seconds, and reports each listener to the observer."""

    def __init__(self, observer: Observer, interval: float = LOOK_SECONDS) -> None:
        self._observer = observer
        self._interval = interval
        self._limiters: dict[str, ConnectionLimiter] = {}
        self._task: asyncio.Task[None] | None = None

    def limited(self, name: str, handler: Handler, port: int, limits: ConnectionLimits) -> Handler:
        """Return a handler for the listener of this port; its connections are limited from now on."""
        self._limiters[name] = ConnectionLimiter(handler, AcceptedSockets(port), limits)
        return self._limiters[name].handle

    async def start(self) -> None:
        """Begin to enforce the limits."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop enforcing them."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        took = 0.0
        while True:
            await asyncio.sleep(max(self._interval, _SHARE * took))
            try:
                if descriptors_left():
                    start = time.perf_counter()
                    self._enforce()
                    took = time.perf_counter() - start
                else:
                    await self._recover()
            except Exception as error:  # a bug of ours: reported, and tried again
                context = {"message": "connections cannot be limited", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def _enforce(self, descriptors: int = sys.maxsize) -> int:
        closed = 0
        for name, limiter in self._limiters.items():
            counts = limiter.enforce(descriptors)
            closed += counts.total()
            self._observer(name, limiter.open, counts)
        return closed

    async def _recover(self) -> None:
        """Free descriptors when none is left.

        granian's accept then fails and is tried again at once, without end. Meanwhile no TLS handshake continues or ends, so that
        descriptors of closed connections stay in use. granian pauses when no connection waits to be accepted. So the reserve of
        descriptors accepts those that wait, and no new connection is established until enough descriptors are free. The accepted
        connections have a moment for a request. Then the idle ones are closed, and the reserve is free again.
        """
        limit = descriptor_limit()
        with no_new_connections(backlog()), more_descriptors():
            await self._free(limit, sys.maxsize)
            await asyncio.sleep(_GRACE_SECONDS)
            await self._free(limit, limit)

    async def _free(self, limit: int, highest: int) -> None:
        """Close connections until fewer descriptors than the limit are in use, and no idle connection has one above `highest`."""
        end = time.monotonic() + _RECOVERY_SECONDS
        while (self._enforce(highest) or descriptors_in_use() >= limit) and time.monotonic() < end:
            await asyncio.sleep(_PAUSE_SECONDS)
