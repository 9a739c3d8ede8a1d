"""Follow one file, which may be written in place, replaced by a rename, deleted, or be a key of a mounted ConfigMap, where kubelet
swaps the symlink `..data` beside it. So the directory is watched, and what counts is whether the bytes differ.
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
"""How often to look without being told: some file systems tell nobody, and a watch ends with its directory."""
_SETTLE_MILLISECONDS = 100


class FileWatch:
    """Calls `changed` for every content of the file that is not the one before, no file being one of them. Once per instance.

    `failed` hears of the watch's own trouble; the file is then looked at from time to time.
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
        """Look at the file, and follow it."""
        self._task = asyncio.create_task(self._follow())
        _running.add(self)
        # The watch stands after one turn of the loop; only then look, so that no change falls between the two.
        await asyncio.sleep(0)
        await self._look()

    async def stop(self) -> None:
        """Stop following the file."""
        _running.discard(self)
        if self._task is not None:
            # The event ends the thread that watches, which a cancellation would wait for.
            self._stopping.set()
            self._task.cancel()
            await asyncio.wait({self._task})

    async def look_again(self) -> None:
        """Call `changed`, whether the content is another one or not."""
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
                # The directory is gone, or this machine is out of watches.
                if not self._lost:
                    self._failed(KubeIamError(f"{self._path} cannot be watched: {type(error).__name__}"))
                self._lost = True
            await self._look()
            await asyncio.sleep(LOOK_AGAIN_MILLISECONDS / 1000)

    async def _look(self) -> None:
        """Say so if the file is not what was looked at last."""
        async with self._looking:
            version = _version(self._path)
            seen = await asyncio.to_thread(_fingerprint, self._path)
            if seen == self._seen:
                return
            self._seen = seen
            try:
                await self._changed()
                if _version(self._path) != version:
                    # Written meanwhile: what was read may be a part of it, or what is in `seen` no longer there.
                    self._seen = ""
            except Exception as error:
                # Whatever it was: a watch that stops silently would leave what it last read in force for ever.
                self._seen = ""
                self._failed(KubeIamError(f"{self._path} cannot be used: {type(error).__name__}"))


_running: set[FileWatch] = set()


async def look_again() -> None:
    """Have all files that are followed in this process read again, as SIGHUP asks for."""
    for watch in tuple(_running):
        await watch.look_again()


def _fingerprint(path: Path) -> str:
    try:
        return hashlib.sha256(read_regular_file(path, MAX_BYTES + 1)).hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _version(path: Path) -> tuple[int, ...]:
    """Return what changes with each write of the file; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
