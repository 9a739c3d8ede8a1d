"""The backend DynamicFile: follows a JSON file that another program writes.

Without the file there are no mappings, and that counts as loaded: a restart must not change the answers of the server. An invalid file
leaves the last good mappings in force.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from kube_iam.config.backends import DYNAMIC_FILE
from kube_iam.config.dynamic import load_dynamic_mappings
from kube_iam.core.mapping import MappingSnapshot, MappingTable
from kube_iam.errors import ConfigError, KubeIamError
from kube_iam.mappings.backend import Observer
from kube_iam.mappings.file_watch import FileWatch

LATENCY = "dynamic_file"


class DynamicFile:
    """Mappings by ARN, or with `user_ids` by unique id. One `start` per instance."""

    name = DYNAMIC_FILE

    def __init__(
        self, path: Path, observer: Observer, reserved_prefixes: tuple[str, ...] = (), *, user_ids: bool = False
    ) -> None:
        self._path = path
        self._observer = observer
        self._user_ids = user_ids
        self.snapshot = MappingSnapshot(DYNAMIC_FILE, None, reserved_prefixes)
        """The last good mappings, with the reserved prefixes. There is no table before the first load."""
        self._watch = FileWatch(path, self._load, self._failed)

    async def start(self) -> None:
        """Load the file and begin to follow it."""
        await self._watch.start()

    async def stop(self) -> None:
        """Stop following the file."""
        await self._watch.stop()

    async def _load(self) -> None:
        first = self.snapshot.table is None
        try:
            loaded = await asyncio.to_thread(load_dynamic_mappings, self._path, user_ids=self._user_ids)
        except ConfigError as error:
            self._observer.failed(self.name, error, kept=not first)
            return
        if loaded is None:
            self.snapshot = replace(self.snapshot, table=MappingTable())
            self._observer.loaded(self.name, 0, [])
            return
        self.snapshot = replace(self.snapshot, table=loaded.table)
        self._observer.loaded(self.name, loaded.entries, loaded.problems)
        if not first:
            # The file that a start reads may have been written long before: its age is no latency.
            self._observer.arrived(LATENCY, loaded.stamp)

    def _failed(self, error: KubeIamError) -> None:
        self._observer.interrupted(self.name, error, kept=self.snapshot.table is not None)
