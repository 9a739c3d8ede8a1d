"""A watch of a collection of objects at the Kubernetes API: list, then watch, and list again after an error.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes. Nothing is polled. A list is a consistent
read. The watch starts at its resourceVersion, which bookmarks move forward. The API server regularly ends a watch, and the next one
continues at the same version. Anything else (410 Gone, an error, silence, a closed connection) leads to a new list after a pause. The
pause grows and has a random part, so that the servers of a cluster do not reconnect all at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from kube_iam.core.backoff import ExponentialBackoff
from kube_iam.errors import KubeError, KubeIamError, Unreachable
from kube_iam.kube.connection import Answer, connected
from kube_iam.kube.endpoint import Endpoint, EndpointSource
from kube_iam.kube.errors import answered

INITIAL_SYNC_TIMEOUT = 5.0
"""Time in seconds for which a start waits for a source that neither answers nor fails."""
_GONE = 410


class Metadata(msgspec.Struct):
    """The used fields of an object's metadata."""

    name: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815
    creationTimestamp: str | None = None  # noqa: N815


class Object(msgspec.Struct):
    """An object of the API. Subclasses add the fields that a handler needs."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)


T = TypeVar("T", bound=Object)


class EventHandler(Protocol[T]):
    """Handler of a watch's events. An exception that it raises counts as a failure of the watch."""

    async def on_list(self, objects: list[T]) -> None:
        """Replace all known objects by these."""

    async def on_change(self, found: T) -> None:
        """Add or replace an object."""

    async def on_delete(self, found: T) -> None:
        """Remove an object."""

    def on_error(self, error: KubeIamError) -> None:
        """Take note that the watch failed, and that the known objects may be out of date until the next `on_list`."""


@dataclass(frozen=True, slots=True)
class WatchTiming:
    """Time limits of a watch, in seconds."""

    watch: int = 150
    """Time after which the API server is asked to end a watch; up to a fifth is added at random."""
    grace: float = 10.0
    """Further time after which a silent connection counts as broken."""
    first_pause: float = 0.2
    longest_pause: float = 30.0
    settled: float = 5.0
    """A watch that lasted this long, or returned an event, was successful: the next pause is `first_pause` again."""


class _Gone(Exception):
    """The API server no longer has the changes after our resourceVersion."""


class _Status(msgspec.Struct):
    message: str = ""
    code: int = 0


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _List(msgspec.Struct):
    items: list[msgspec.Raw]
    metadata: Metadata


class Watch(Generic[T]):
    """A watch of the objects of one path that match the selectors. `what` names them in messages."""

    def __init__(
        self,
        endpoints: EndpointSource,
        path: str,
        kind: type[T],
        handler: EventHandler[T],
        *,
        what: str,
        field_selector: str = "",
        label_selector: str = "",
        timing: WatchTiming = WatchTiming(),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._endpoints = endpoints
        self._path = path
        self._decode = msgspec.json.Decoder(kind).decode
        self._handler = handler
        self._what = what
        selectors = {"fieldSelector": field_selector, "labelSelector": label_selector}
        self._selector = {name: text for name, text in selectors.items() if text}
        self._timing = timing
        self._sleep = sleep
        self._failures = 0

    async def run(self) -> None:
        """Watch until cancelled. Errors are reported to the handler."""
        while True:
            try:
                endpoint = await asyncio.to_thread(self._endpoints.endpoint)
                version = await self._list(endpoint)
                while True:
                    version = await self._watch(endpoint, version)
            except _Gone:
                # Not a failure: it happens after every long interruption.
                await self._pause()
                continue
            except Unreachable as error:
                self._handler.on_error(Unreachable(f"cannot follow {self._what}: {error.message}", error.hint))
            except KubeIamError as error:
                self._handler.on_error(error)
            except Exception as error:
                # Any error: a watch that ends silently would leave mappings in force for ever.
                self._handler.on_error(KubeError(f"cannot follow {self._what}: {type(error).__name__}"))
            await self._pause()

    async def _list(self, endpoint: Endpoint) -> str:
        async with connected(endpoint) as connection:
            answer = await connection.request("GET", self._query({}))
        self._check(endpoint, answer)
        try:
            found = msgspec.json.decode(answer.body, type=_List)
            objects = [self._decode(item) for item in found.items]
        except msgspec.MsgspecError as error:
            raise self._invalid_response(endpoint) from error
        await self._handler.on_list(objects)
        return found.metadata.resourceVersion

    async def _watch(self, endpoint: Endpoint, version: str) -> str:
        """Watch from the version until the server regularly ends the watch. Return the version to continue at."""
        seconds = self._timing.watch + random.randint(0, self._timing.watch // 5)  # noqa: S311
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        loop = asyncio.get_running_loop()
        began = loop.time()
        first = version
        async with connected(endpoint) as connection:
            async for line in connection.lines(self._query(query), seconds + self._timing.grace):
                if isinstance(line, Answer):
                    self._check(endpoint, line)
                else:
                    version = await self._handle(endpoint, line) or version
                    if version != first:
                        self._failures = 0
        if version == first and loop.time() - began < min(self._timing.settled, self._timing.watch):
            raise Unreachable(f"{endpoint.url} ends the watch at once")
        self._failures = 0
        return version

    async def _handle(self, endpoint: Endpoint, line: bytes) -> str:
        try:
            event = msgspec.json.decode(line, type=_Event)
            if event.type == "ERROR":
                status = msgspec.json.decode(event.object, type=_Status)
                if status.code == _GONE:
                    raise _Gone
                raise answered(status.code, status.message, f"cannot follow {self._what}", endpoint.url)
            found = self._decode(event.object)
        except msgspec.MsgspecError as error:
            raise self._invalid_response(endpoint) from error
        match event.type:
            case "ADDED" | "MODIFIED":
                await self._handler.on_change(found)
            case "DELETED":
                await self._handler.on_delete(found)
            case "BOOKMARK":
                pass
            case _:
                raise self._invalid_response(endpoint)
        return found.metadata.resourceVersion

    def _query(self, more: dict[str, str]) -> str:
        query = urlencode({**self._selector, **more})
        return f"{self._path}?{query}" if query else self._path

    def _check(self, endpoint: Endpoint, answer: Answer) -> None:
        if answer.status == 200:
            return
        if answer.status == _GONE:
            raise _Gone
        if answer.status == 401:
            self._endpoints.invalidate_credentials()
        status = _Status()
        with suppress(msgspec.MsgspecError):
            status = msgspec.json.decode(answer.body, type=_Status)
        raise answered(answer.status, status.message, f"cannot follow {self._what}", endpoint.url)

    def _invalid_response(self, endpoint: Endpoint) -> KubeError:
        return KubeError(f"cannot follow {self._what}: {endpoint.url} does not answer like a Kubernetes API server")

    async def _pause(self) -> None:
        """Wait, longer after each failure. Half of the time is random."""
        self._failures += 1
        backoff = ExponentialBackoff(self._timing.first_pause, self._timing.longest_pause)
        await self._sleep(backoff.pause(self._failures, random.random()))  # noqa: S311


class WatchTask:
    """The task in which a backend follows its source. It runs `follow` from `start` to `stop`, once per instance."""

    def __init__(self, follow: Callable[[], Coroutine[None, None, None]]) -> None:
        self._follow = follow
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def synced(self) -> None:
        """Note that the state of the source is known: it was loaded, or cannot be."""
        self._synced.set()

    async def start(self) -> None:
        """Begin, and wait until `synced` was called, for INITIAL_SYNC_TIMEOUT at most: the server starts whatever the source does."""
        self._task = asyncio.create_task(self._follow())
        with suppress(TimeoutError):
            async with asyncio.timeout(INITIAL_SYNC_TIMEOUT):
                await self._synced.wait()

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
