"""The backend EKSConfigMap: watches the ConfigMap kube-system/aws-auth.

Without the ConfigMap there are no mappings, and that counts as loaded. While the API server is unreachable, the last good ones stay.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec

from kube_iam.config.backends import EKS_CONFIG_MAP
from kube_iam.config.config_map import read_config_map
from kube_iam.core.mapping import MappingSnapshot
from kube_iam.errors import KubeIamError
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.watch import Object, Watch, WatchTask, WatchTiming
from kube_iam.mappings.backend import Observer

NAME = "aws-auth"
PATH = "/api/v1/namespaces/kube-system/configmaps"


class ConfigMap(Object):
    """The used parts of a ConfigMap."""

    data: dict[str, str] | None = msgspec.field(default=None)


class EksConfigMap:
    """Mappings from the ConfigMap aws-auth. One `start` per instance."""

    name = EKS_CONFIG_MAP

    def __init__(
        self,
        endpoints: EndpointSource,
        observer: Observer,
        reserved_prefixes: tuple[str, ...] = (),
        timing: WatchTiming | None = None,
    ) -> None:
        self._observer = observer
        self.snapshot = MappingSnapshot(EKS_CONFIG_MAP, None, reserved_prefixes)
        """The last good mappings, with the reserved prefixes. There is no table before the first load."""
        self._good: dict[str, str] = {}
        # Selected by name, so that the right to read this one ConfigMap is enough.
        watch = Watch(
            endpoints,
            PATH,
            ConfigMap,
            self,
            what=f"ConfigMap kube-system/{NAME}",
            field_selector=f"metadata.name={NAME}",
            timing=timing or WatchTiming(),
        )
        self._task = WatchTask(watch.run)

    async def start(self) -> None:
        """Begin to watch. Return when the first list was loaded or has failed, after INITIAL_SYNC_TIMEOUT at most."""
        await self._task.start()

    async def stop(self) -> None:
        """Stop watching."""
        await self._task.stop()

    async def on_list(self, objects: list[ConfigMap]) -> None:
        """Load the ConfigMap, or no mappings without it."""
        found = next((each for each in objects if each.metadata.name == NAME), None)
        await self._load(found.data or {} if found is not None else None)

    async def on_change(self, found: ConfigMap) -> None:
        """Load the new version."""
        if found.metadata.name == NAME:
            await self._load(found.data or {})

    async def on_delete(self, found: ConfigMap) -> None:
        """Remove all mappings."""
        if found.metadata.name == NAME:
            await self._load(None)

    def on_error(self, error: KubeIamError) -> None:
        """Report that the source cannot be followed."""
        self._observer.interrupted(self.name, error, kept=self.snapshot.table is not None)
        self._task.synced()

    async def _load(self, data: dict[str, str] | None) -> None:
        """Apply the ConfigMap's mappings. None means no ConfigMap, and removes the last good values of its keys."""
        # In a thread, so that sign-ins continue: ten thousand entries take seconds to parse.
        last_good = self._good if data is not None else {}
        loaded = await asyncio.to_thread(read_config_map, data or {}, last_good)
        self.snapshot, self._good = replace(self.snapshot, table=loaded.table), loaded.good
        self._observer.loaded(self.name, loaded.entries, loaded.problems)
        self._task.synced()
