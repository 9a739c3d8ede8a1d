"""The backend CRD: cluster-scoped objects IAMIdentityMapping, watched, with what became of them written back.

The status gets the canonical ARN, and the unique id of whoever signs in with it. An object that does not serve, because another one
has its ARN or because it cannot be understood, gets an Event of type Warning. Neither is needed for sign-ins.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec

from kube_iam.config.backends import CRD
from kube_iam.config.identity_mapping import MappingSpec, read_identity_mappings
from kube_iam.core.mapping import MappingSnapshot
from kube_iam.errors import KubeIamError, Problem
from kube_iam.kube.endpoint import Access
from kube_iam.kube.follower import Follower
from kube_iam.kube.watch import Object, Pace, Watch
from kube_iam.kube.writer import Writer
from kube_iam.mappings.backend import Observer
from kube_iam.mappings.crd_feedback import PATH, Feedback


class Spec(msgspec.Struct):
    """The spec of an IAMIdentityMapping."""

    arn: str = ""
    username: str = ""
    groups: list[str] | None = None


class IdentityMapping(Object):
    """What is used of an IAMIdentityMapping. Spec and status are judged object by object: a bad one must not hide the others."""

    spec: Any = None
    status: Any = None


class IdentityMappings:
    """Mappings from the objects of one cluster. One `start` per instance."""

    def __init__(
        self, access: Access, observer: Observer, reserved_prefixes: tuple[str, ...] = (), pace: Pace | None = None
    ) -> None:
        self._observer = observer
        self._snapshot = MappingSnapshot(CRD, None, reserved_prefixes)
        self._objects: dict[str, IdentityMapping] = {}
        self._dirty = asyncio.Event()
        watch = Watch(access, PATH, IdentityMapping, self, what="IAMIdentityMappings", pace=pace or Pace())
        writer = Writer(access, lambda error: observer.troubled(CRD, error))
        self._feedback = Feedback(writer)
        self._watching = Follower(watch.run)
        self._rest = [Follower(self._rebuild), Follower(writer.run)]

    @property
    def name(self) -> str:
        """The backend's name in the configuration."""
        return CRD

    @property
    def snapshot(self) -> MappingSnapshot:
        """The last good mappings, with the reserved prefixes; no table until the first load."""
        return self._snapshot

    async def start(self) -> None:
        """Begin to watch; the first list has come, or has failed, when this returns."""
        for follower in self._rest:
            follower.heard()
            await follower.start()
        await self._watching.start()

    async def stop(self) -> None:
        """Stop watching and writing."""
        for follower in (self._watching, *self._rest):
            await follower.stop()

    async def replaced(self, objects: list[IdentityMapping]) -> None:
        """Load what is there now."""
        self._objects = {each.metadata.name: each for each in objects}
        self._feedback.only(self._objects)
        for each in objects:
            self._feedback.saw(each.metadata, each.status)
        self._dirty.set()

    async def changed(self, found: IdentityMapping) -> None:
        """Load the object's new version."""
        before = self._objects.get(found.metadata.name)
        self._objects[found.metadata.name] = found
        self._feedback.saw(found.metadata, found.status)
        # Our own writes of the status come back too.
        if before is None or before.spec != found.spec or before.metadata.uid != found.metadata.uid:
            self._dirty.set()

    async def removed(self, found: IdentityMapping) -> None:
        """Forget the object."""
        self._objects.pop(found.metadata.name, None)
        self._feedback.only(self._objects)
        self._dirty.set()

    def failed(self, error: KubeIamError) -> None:
        """Say that the API server cannot be heard."""
        self._observer.interrupted(self.name, error, kept=self._snapshot.table is not None)
        self._watching.heard()

    async def _rebuild(self) -> None:
        """Build the table anew when something changed: once for all changes that came in meanwhile."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._load()
            except Exception as error:
                # Whatever it was: a task that ends silently would leave mappings in force for ever.
                trouble = KubeIamError(f"the objects cannot be used: {type(error).__name__}")
                self._observer.failed(self.name, trouble, kept=self._snapshot.table is not None)
            self._watching.heard()

    async def _load(self) -> None:
        specs = [_spec(each) for each in self._objects.values()]
        # Off the event loop: ten thousand objects take a while, and sign-ins go on meanwhile.
        read = await asyncio.to_thread(read_identity_mappings, specs)
        self._snapshot = replace(self._snapshot, table=self._feedback.listening(read.table))
        refused = [Problem(name, why.message) for name, why in read.refused.items()]
        self._observer.loaded(self.name, read.entries, [*refused, *read.odd])
        self._feedback.tell(read)


def _spec(found: IdentityMapping) -> MappingSpec:
    name, born = found.metadata.name, found.metadata.creationTimestamp or ""
    try:
        spec = msgspec.convert(found.spec, Spec)
    except msgspec.ValidationError as error:
        arn = found.spec.get("arn") if isinstance(found.spec, dict) else None
        return MappingSpec(name, born, arn if isinstance(arn, str) else "", unusable=f"spec: {error}")
    return MappingSpec(name, born, spec.arn, spec.username, tuple(spec.groups or ()))
