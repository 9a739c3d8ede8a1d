"""The backend EKSConfigMap: the ConfigMap kube-system/aws-auth, watched.

Without the ConfigMap there are no mappings, and that is a loaded state. While the API server is away the last good mappings serve.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec

from kube_iam.config.backends import EKS_CONFIG_MAP
from kube_iam.config.config_map import read_config_map
from kube_iam.core.mapping import MappingSnapshot
from kube_iam.errors import KubeIamError
from kube_iam.kube.endpoint import Access
from kube_iam.kube.follower import Follower
from kube_iam.kube.watch import Object, Pace, Watch
from kube_iam.mappings.backend import Observer

NAME = "aws-auth"
PATH = "/api/v1/namespaces/kube-system/configmaps"


class ConfigMap(Object):
    """What is used of a ConfigMap."""

    data: dict[str, str] | None = msgspec.field(default=None)


class EksConfigMap:
    """Mappings from the ConfigMap aws-auth. One `start` per instance."""

    def __init__(
        self, access: Access, observer: Observer, reserved_prefixes: tuple[str, ...] = (), pace: Pace | None = None
    ) -> None:
        self._observer = observer
        self._snapshot = MappingSnapshot(EKS_CONFIG_MAP, None, reserved_prefixes)
        self._good: dict[str, str] = {}
        # By name alone, so that the right to read this one ConfigMap is enough.
        watch = Watch(
            access,
            PATH,
            ConfigMap,
            self,
            what=f"ConfigMap kube-system/{NAME}",
            field_selector=f"metadata.name={NAME}",
            pace=pace or Pace(),
        )
        self._follower = Follower(watch.run)

    @property
    def name(self) -> str:
        """The backend's name in the configuration."""
        return EKS_CONFIG_MAP

    @property
    def snapshot(self) -> MappingSnapshot:
        """The last good mappings, with the reserved prefixes; no table until the first load."""
        return self._snapshot

    async def start(self) -> None:
        """Begin to watch; the first list has come, or has failed, when this returns."""
        await self._follower.start()

    async def stop(self) -> None:
        """Stop watching."""
        await self._follower.stop()

    async def replaced(self, objects: list[ConfigMap]) -> None:
        """Load what is there now."""
        found = next((each for each in objects if each.metadata.name == NAME), None)
        await self._load(found.data or {} if found is not None else None)

    async def changed(self, found: ConfigMap) -> None:
        """Load the new version."""
        if found.metadata.name == NAME:
            await self._load(found.data or {})

    async def removed(self, found: ConfigMap) -> None:
        """There are no mappings any more."""
        if found.metadata.name == NAME:
            await self._load(None)

    def failed(self, error: KubeIamError) -> None:
        """Say that the API server cannot be heard."""
        self._observer.interrupted(self.name, error, kept=self._snapshot.table is not None)
        self._follower.heard()

    async def _load(self, data: dict[str, str] | None) -> None:
        """Put the ConfigMap's mappings into force; None is no ConfigMap, whose keys then have no last good values either."""
        # Off the event loop: ten thousand entries take seconds to parse, and sign-ins go on meanwhile.
        last_good = self._good if data is not None else {}
        loaded = await asyncio.to_thread(read_config_map, data or {}, last_good)
        self._snapshot, self._good = replace(self._snapshot, table=loaded.table), loaded.good
        self._observer.loaded(self.name, loaded.entries, loaded.problems)
        self._follower.heard()
