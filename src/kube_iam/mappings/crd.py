"""The backend CRD: watches cluster-scoped objects IAMIdentityMapping, and writes their status and Events.

The status gets the canonical ARN, and the unique id of the last principal that signed in with it. An object that is not used, because
another one has its ARN or because it is invalid, gets an Event of type Warning. Sign-ins need neither.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec

from kube_iam.config.backends import CRD
from kube_iam.config.identity_mapping import (
    MappingSpec,
    is_membership_key,
    mapping_spec,
    read_identity_mappings,
)
from kube_iam.core.mapping import MappingSnapshot
from kube_iam.errors import KubeIamError, Problem
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.labels import LEVEL
from kube_iam.kube.watch import Metadata, Object, Watch, WatchTask, WatchTiming
from kube_iam.kube.writer import Writer
from kube_iam.mappings.backend import Observer
from kube_iam.mappings.crd_status import PATH, StatusWriter


class LabelledMetadata(Metadata):
    """The used fields of the metadata of an IAMIdentityMapping."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class IdentityMapping(Object):
    """The used parts of an IAMIdentityMapping. Spec and status are decoded one by one: an invalid object must not hide the others."""

    metadata: LabelledMetadata = msgspec.field(default_factory=LabelledMetadata)
    spec: Any = None
    status: Any = None

    def __post_init__(self) -> None:
        """Keep only the labels and annotations that count: `kubectl apply` writes the whole object into an annotation."""
        metadata = self.metadata
        if metadata.labels:
            metadata.labels = {name: text for name, text in metadata.labels.items() if name == LEVEL} or None
        if metadata.annotations:
            kept = {name: text for name, text in metadata.annotations.items() if is_membership_key(name)}
            metadata.annotations = kept or None

    @property
    def content(self) -> object:
        """Return all that decides about sign-ins."""
        metadata = self.metadata
        return metadata.uid, metadata.labels, metadata.annotations, self.spec


class IdentityMappings:
    """Mappings from the objects of one cluster. One `start` per instance."""

    name = CRD

    def __init__(
        self,
        endpoints: EndpointSource,
        observer: Observer,
        reserved_prefixes: tuple[str, ...] = (),
        timing: WatchTiming | None = None,
    ) -> None:
        self._observer = observer
        self.snapshot = MappingSnapshot(CRD, None, reserved_prefixes)
        """The last good mappings, with the reserved prefixes. There is no table before the first load."""
        self._objects: dict[str, IdentityMapping] = {}
        self._dirty = asyncio.Event()
        watch = Watch(
            endpoints, PATH, IdentityMapping, self, what="IAMIdentityMappings", timing=timing or WatchTiming()
        )
        writer = Writer(endpoints, lambda error: observer.troubled(CRD, error))
        self._status_writer = StatusWriter(writer)
        self._watch_task = WatchTask(watch.run)
        self._other_tasks = [WatchTask(self._rebuild), WatchTask(writer.run)]

    async def start(self) -> None:
        """Begin to watch. Return when the first list was loaded or has failed, after INITIAL_SYNC_TIMEOUT at most."""
        for task in self._other_tasks:
            task.synced()
            await task.start()
        await self._watch_task.start()

    async def stop(self) -> None:
        """Stop watching and writing."""
        for task in (self._watch_task, *self._other_tasks):
            await task.stop()

    async def on_list(self, objects: list[IdentityMapping]) -> None:
        """Load all objects."""
        self._objects = {each.metadata.name: each for each in objects}
        self._status_writer.retain(self._objects)
        for each in objects:
            self._status_writer.on_status(each.metadata, each.status)
        self._dirty.set()

    async def on_change(self, found: IdentityMapping) -> None:
        """Load the object's new version."""
        before = self._objects.get(found.metadata.name)
        self._objects[found.metadata.name] = found
        self._status_writer.on_status(found.metadata, found.status)
        # Our own writes of the status come back too.
        if before is None or before.content != found.content:
            self._dirty.set()

    async def on_delete(self, found: IdentityMapping) -> None:
        """Remove the object."""
        self._objects.pop(found.metadata.name, None)
        self._status_writer.retain(self._objects)
        self._dirty.set()

    def on_error(self, error: KubeIamError) -> None:
        """Report that the source cannot be followed."""
        self._observer.interrupted(self.name, error, kept=self.snapshot.table is not None)
        self._watch_task.synced()

    async def _rebuild(self) -> None:
        """Build a new table after changes, one for all changes since the last table."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._load()
            except Exception as error:
                # Any error: a task that ends silently would leave mappings in force for ever.
                trouble = KubeIamError(f"the objects cannot be used: {type(error).__name__}")
                self._observer.failed(self.name, trouble, kept=self.snapshot.table is not None)
            self._watch_task.synced()

    async def _load(self) -> None:
        specs = [_spec(each) for each in self._objects.values()]
        # In a thread, so that sign-ins continue while ten thousand objects are read.
        read = await asyncio.to_thread(read_identity_mappings, specs)
        self.snapshot = replace(self.snapshot, table=self._status_writer.observed(read.table))
        refused = [Problem(name, why.message) for name, why in read.refused.items()]
        self._observer.loaded(self.name, read.entries, [*refused, *read.odd])
        self._status_writer.write(read)


def _spec(found: IdentityMapping) -> MappingSpec:
    metadata = found.metadata
    level = (metadata.labels or {}).get(LEVEL, "")
    return mapping_spec(metadata.name, metadata.creationTimestamp or "", found.spec, level, metadata.annotations)
