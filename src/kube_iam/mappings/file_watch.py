"""A watch of one file. The directory is watched, and a change of the file's bytes counts.

The file may be written in place, replaced by a rename, or deleted. It may be a key of a mounted ConfigMap, where kubelet replaces the
symbolic link `..data` beside it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from watchfiles import awatch

from kube_iam.config.regular_file import read_regular_file
from kube_iam.config.yaml_file import MAX_BYTES
from kube_iam.errors import KubeIamError

LOOK_AGAIN_MILLISECONDS = 5000
"""Interval of looks without an event: some file systems send no events, and a watch ends with its directory."""
_SETTLE_MILLISECONDS = 100


class FileWatch:
    """Calls `changed` for each new content of the file, and when the file is created or deleted. One `start` per instance.

    `failed` is called when the watch itself fails. Then the file is read every few seconds.
    """

    def __init__(
        self, path: Path, changed: Callable[[], Awaitable[None]], failed: Callable[[KubeIamError], None]
    ) -> None:
        self._path = path
        self._changed = changed
        self._failed = failed
        self._seen = ""
        self._lost = False
        self._looking = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the file and begin to follow it."""
        self._task = asyncio.create_task(self._follow())
        _running.add(self)
        # The watch runs after one turn of the event loop. The file is read after that, so that no change is missed.
        await asyncio.sleep(0)
        await self._look()

    async def stop(self) -> None:
        """Stop following the file."""
        _running.discard(self)
        if self._task is not None:
            # The event ends the watching thread. A cancellation alone would wait for it.
            self._stopping.set()
            self._task.cancel()
            await asyncio.wait({self._task})

    async def look_again(self) -> None:
        """Call `changed`, also where the content is the same."""
        self._seen = ""
        await self._look()

    async def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                async for _ in awatch(
                    self._path.parent,
                    watch_filter=None,
                    debounce=_SETTLE_MILLISECONDS,
                    step=20,
                    stop_event=self._stopping,
                    rust_timeout=LOOK_AGAIN_MILLISECONDS,
                    yield_on_timeout=True,
                    recursive=False,
                ):
                    self._lost = False
                    await self._look()
            except (OSError, RuntimeError) as error:
                # The directory was deleted, or this machine has no watches left.
                if not self._lost:
                    self._failed(KubeIamError(f"{self._path} cannot be watched: {type(error).__name__}"))
                self._lost = True
            await self._look()
            await asyncio.sleep(LOOK_AGAIN_MILLISECONDS / 1000)

    async def _look(self) -> None:
        """Call `changed` if the content differs from the last one."""
        async with self._looking:
            version = _version(self._path)
            seen = await asyncio.to_thread(_fingerprint, self._path)
            if seen == self._seen:
                return
            self._seen = seen
            try:
                await self._changed()
                if _version(self._path) != version:
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
        return hashlib.sha256(read_regular_file(path, MAX_BYTES + 1)).hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _version(path: Path) -> tuple[int, ...]:
    """Return numbers of the file that change with each write, or an empty tuple without a file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
