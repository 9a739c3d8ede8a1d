"""A watch of one file. Its status is read four times a second, and a change of the file's bytes counts.

The file may be written in place, replaced by a rename, or deleted. It may be a key of a mounted ConfigMap, where kubelet replaces the
symbolic link `..data` beside it. Events of the system would be no faster in any way that counts. The library for them takes 2 MB of
memory and two threads a file, the system may have no watches left, and some file systems send no events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from kube_iam.config.regular_file import read_regular_file
from kube_iam.config.yaml_file import MAX_BYTES
from kube_iam.errors import KubeIamError

_PAUSE_SECONDS = 0.25
_SETTLE_SECONDS = 0.1  # a file that is being written is read when most of that is over
_LOOKS_BETWEEN_READS = 20
"""Looks after which the content is read in any case: two writes within one tick of the clock can leave the status unchanged."""


class FileWatch:
    """Calls `changed` for each new content of the file, and when the file is created or deleted. One `start` per instance.

    `failed` is called when `changed` raises, and when the file cannot be looked at. The watch goes on after both.
    """

    def __init__(
        self, path: Path, changed: Callable[[], Awaitable[None]], failed: Callable[[KubeIamError], None]
    ) -> None:
        self._path = path
        self._changed = changed
        self._failed = failed
        self._seen = ""
        self._version: tuple[int, ...] = ()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the file and begin to follow it."""
        _running.add(self)
        await self._look()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop following the file."""
        _running.discard(self)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def look_again(self) -> None:
        """Call `changed`, also where the content is the same."""
        self._seen = ""
        await self._look()

    async def _follow(self) -> None:
        looks, lost = 0, False
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            looks += 1
            try:
                # In a thread: a file system that hangs must not keep sign-ins waiting.
                if await asyncio.to_thread(_version, self._path) != self._version:
                    await asyncio.sleep(_SETTLE_SECONDS)
                elif looks < _LOOKS_BETWEEN_READS:
                    continue
                looks = 0
                await self._look()
            except (OSError, RuntimeError) as error:  # no thread can be started
                if not lost:
                    self._failed(KubeIamError(f"{self._path} cannot be watched: {type(error).__name__}"))
                lost = True
            else:
                lost = False

    async def _look(self) -> None:
        """Call `changed` if the content differs from the last one."""
        async with self._looking:
            version = self._version = await asyncio.to_thread(_version, self._path)
            seen = await asyncio.to_thread(_fingerprint, self._path)
            if seen == self._seen:
                return
            self._seen = seen
            try:
                await self._changed()
                if await asyncio.to_thread(_version, self._path) != version:
                    # Written meanwhile: `changed` may have read a part of the file, or a newer content than `seen`.
                    self._seen = ""
            except Exception as error:
                # Any error: a watch that ends silently would leave the last content in force for ever.
                self._seen = ""
                self._failed(KubeIamError(f"{self._path} cannot be used: {type(error).__name__}"))


_running: set[FileWatch] = set()


async def look_again() -> None:
    """Read all files again that are followed in this process, as SIGHUP asks for."""
    for watch in tuple(_running):
        await watch.look_again()


def _fingerprint(path: Path) -> str:
    try:
        content = read_regular_file(path, MAX_BYTES + 1)
        return f"{len(content)} {hash(content)}"  # 64 bits with a key of this process; hashlib would load OpenSSL
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _version(path: Path) -> tuple[int, ...]:
    """Return numbers of the file that change with each write, or an empty tuple without a file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
