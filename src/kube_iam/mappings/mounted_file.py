"""The backend MountedFile: the mappings in the server's own config.yaml, followed while the server runs.

A file that is broken, or gone, leaves the last good mappings in force.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from kube_iam.config.backends import MOUNTED_FILE
from kube_iam.config.mounted import MountedMappings, load_mounted_mappings
from kube_iam.core.mapping import MappingTable
from kube_iam.errors import ConfigError, KubeIamError
from kube_iam.mappings.backend import Observer
from kube_iam.mappings.file_watch import FileWatch


class MountedFile:
    """Mappings from one file; without a file there are none, and that is a loaded state. One `start` per instance."""

    def __init__(self, path: Path | None, observer: Observer) -> None:
        self._path = path
        self._observer = observer
        self._current: MountedMappings | None = None
        self._watch = FileWatch(path, self._load, self._failed) if path is not None else None

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
        if self._watch is not None:
            await self._watch.start()
        else:
            self._current = MountedMappings(MappingTable())
            self._observer.loaded(self.name, 0, [])

    async def stop(self) -> None:
        """Stop following the file."""
        if self._watch is not None:
            await self._watch.stop()

    async def _load(self) -> None:
        assert self._path is not None
        try:
            # Off the event loop: ten thousand entries take long to parse, and sign-ins go on meanwhile.
            current, warnings = await asyncio.to_thread(load_mounted_mappings, self._path)
        except ConfigError as error:
            self._observer.failed(self.name, error, kept=self._current is not None)
            return
        self._current = current
        self._observer.loaded(self.name, current.entries, warnings)

    def _failed(self, error: KubeIamError) -> None:
        self._observer.interrupted(self.name, error, kept=self._current is not None)
