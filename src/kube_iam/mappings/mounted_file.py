"""The backend MountedFile: the mappings in the server's own config.yaml, followed while the server runs.

The file may be written in place, replaced by a rename, or be a key of a mounted ConfigMap, where kubelet swaps the symlink `..data`
beside it. So the directory is watched, and what counts is whether the bytes differ. A file that is broken, or gone, leaves the last
good mappings in force.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from watchfiles import awatch

from kube_iam.config.backends import MOUNTED_FILE
from kube_iam.config.mounted import MountedMappings, load_mounted_mappings
from kube_iam.core.mapping import MappingTable
from kube_iam.errors import ConfigError
from kube_iam.mappings.backend import Observer

LOOK_AGAIN_MILLISECONDS = 5000
"""How often to look without being told: some file systems tell nobody, and a watch ends with its directory."""
_SETTLE_MILLISECONDS = 100


class MountedFile:
    """Mappings from one file; without a file there are none, and that is a loaded state. One `start` per instance."""

    def __init__(self, path: Path | None, observer: Observer) -> None:
        self._path = path
        self._observer = observer
        self._current: MountedMappings | None = None
        self._seen = ""
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def name(self) -> str:
        """The backend's name in the configuration."""
        return MOUNTED_FILE

    @property
    def table(self) -> MappingTable | None:
        """The last good mappings; None until the first."""
        return self._current.table if self._current is not None else None

    @property
    def reserved_prefixes(self) -> tuple[str, ...]:
        """The reserved prefixes of the same version of the file as `table`."""
        return self._current.reserved_prefixes if self._current is not None else ()

    async def start(self) -> None:
        """Load the file, and follow it."""
        if self._path is None:
            self._current = MountedMappings(MappingTable())
            self._observer.loaded(self.name, 0, [])
            return
        await self._look(self._path)
        self._task = asyncio.create_task(self._follow(self._path))

    async def stop(self) -> None:
        """Stop following the file."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _follow(self, path: Path) -> None:
        while not self._stopping.is_set():
            try:
                async for _ in awatch(
                    path.parent,
                    watch_filter=None,
                    debounce=_SETTLE_MILLISECONDS,
                    step=20,
                    stop_event=self._stopping,
                    rust_timeout=LOOK_AGAIN_MILLISECONDS,
                    yield_on_timeout=True,
                    recursive=False,
                ):
                    await self._look(path)
            except OSError:
                # The directory is gone, or this machine is out of watches: look from time to time.
                await self._look(path)
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_AGAIN_MILLISECONDS / 1000):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _look(self, path: Path) -> None:
        """Load the file if it is not the one that was looked at last."""
        # Off the event loop: ten thousand entries take seconds to parse, and sign-ins go on meanwhile.
        seen = await asyncio.to_thread(_fingerprint, path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            current, warnings = await asyncio.to_thread(load_mounted_mappings, path)
        except ConfigError as error:
            self._observer.failed(self.name, error, kept=self._current is not None)
            return
        self._current = current
        self._observer.loaded(self.name, current.entries, warnings)


def _fingerprint(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"
