"""The backend MountedFile: the mappings in the server's own config.yaml, followed while the server runs.

A file that is gone, that a server would not start with, that is another cluster's or that is cut off leaves the last good mappings in
force (`kube_iam.config.mounted_versions`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from kube_iam.config.backends import MOUNTED_FILE
from kube_iam.config.mounted_versions import MountedVersions
from kube_iam.core.mapping import MappingSnapshot, MappingTable
from kube_iam.errors import ConfigError, KubeIamError
from kube_iam.mappings.backend import Observer
from kube_iam.mappings.file_watch import FileWatch


class MountedFile:
    """Mappings from one file; without a file there are none, and that is a loaded state. One `start` per instance."""

    def __init__(
        self, path: Path | None, observer: Observer, flags: Mapping[str, object] | None = None, cluster_id: str = ""
    ) -> None:
        """`flags` are those that go before the file's settings; `cluster_id` is the one in force, empty where any will do."""
        self._versions = MountedVersions(path, flags or {}, cluster_id) if path is not None else None
        self._observer = observer
        self._snapshot = MappingSnapshot(MOUNTED_FILE)
        self._watch = FileWatch(path, self._load, self._failed) if path is not None else None

    @property
    def name(self) -> str:
        """The backend's name in the configuration."""
        return MOUNTED_FILE

    @property
    def snapshot(self) -> MappingSnapshot:
        """The last good mappings, with the reserved prefixes of the same version of the file; no table until the first load."""
        return self._snapshot

    async def start(self) -> None:
        """Load the file, and follow it."""
        if self._watch is not None:
            await self._watch.start()
        else:
            self._snapshot = MappingSnapshot(MOUNTED_FILE, MappingTable())
            self._observer.loaded(self.name, 0, [])

    async def stop(self) -> None:
        """Stop following the file."""
        if self._watch is not None:
            await self._watch.stop()

    async def _load(self) -> None:
        assert self._versions is not None
        try:
            # Off the event loop: ten thousand entries take long to parse, and sign-ins go on meanwhile.
            current, warnings = await asyncio.to_thread(self._versions.read)
        except ConfigError as error:
            self._observer.failed(self.name, error, kept=self._snapshot.table is not None)
            return
        self._snapshot = MappingSnapshot(MOUNTED_FILE, current.table, current.reserved_prefixes)
        self._observer.loaded(self.name, current.entries, warnings)

    def _failed(self, error: KubeIamError) -> None:
        self._observer.interrupted(self.name, error, kept=self._snapshot.table is not None)
