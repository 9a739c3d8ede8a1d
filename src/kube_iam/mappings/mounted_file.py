"""The backend MountedFile: follows the mappings in the server's own config.yaml.

The last good mappings stay in force when the file is deleted or cut off, belongs to another cluster, or would keep a server from
starting (`kube_iam.config.mounted_versions`).
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
    """Mappings from one file. Without a file there are none, and that counts as loaded. One `start` per instance."""

    name = MOUNTED_FILE

    def __init__(
        self, path: Path | None, observer: Observer, flags: Mapping[str, object] | None = None, cluster_id: str = ""
    ) -> None:
        """Create the backend. `flags` override the file's settings. An empty `cluster_id` accepts files of all clusters."""
        self._versions = MountedVersions(path, flags or {}, cluster_id) if path is not None else None
        self._observer = observer
        self.snapshot = MappingSnapshot(MOUNTED_FILE)
        """The last good mappings, with the reserved prefixes of the same version. There is no table before the first load."""
        self._watch = FileWatch(path, self._load, self._failed) if path is not None else None

    async def start(self) -> None:
        """Load the file and begin to follow it."""
        if self._watch is not None:
            await self._watch.start()
        else:
            self.snapshot = MappingSnapshot(MOUNTED_FILE, MappingTable())
            self._observer.loaded(self.name, 0, [])

    async def stop(self) -> None:
        """Stop following the file."""
        if self._watch is not None:
            await self._watch.stop()

    async def _load(self) -> None:
        assert self._versions is not None
        try:
            # In a thread, so that sign-ins continue: ten thousand entries take seconds to parse.
            current, warnings = await asyncio.to_thread(self._versions.read)
        except ConfigError as error:
            self._observer.failed(self.name, error, kept=self.snapshot.table is not None)
            return
        self.snapshot = MappingSnapshot(MOUNTED_FILE, current.table, current.reserved_prefixes)
        self._observer.loaded(self.name, current.entries, warnings)

    def _failed(self, error: KubeIamError) -> None:
        self._observer.interrupted(self.name, error, kept=self.snapshot.table is not None)
