"""The bindings that are synced, followed at the Kubernetes API, and the writes of their subjects.

A binding is synced if it has kube-iam's label and the annotations of a source. No other binding is kept in memory or written. A
write changes the subjects alone, and only of the version of the binding that it was computed from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from kube_iam.core.member_source import MemberSource
from kube_iam.core.rbac import USER, binding_text
from kube_iam.errors import KubeIamError
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.labels import LEVEL, MANAGED_BY, OWNER
from kube_iam.kube.member_source import read_source
from kube_iam.kube.watch import Metadata, Object, Watch, WatchTiming
from kube_iam.kube.writer import Write, send

RBAC = "rbac.authorization.k8s.io"
_KINDS = ("clusterrolebindings", "rolebindings")
# Users are removed for cause: at most two seconds after the API server is back, the bindings are read again.
TIMING = WatchTiming(longest_pause=2.0)
Key = tuple[str, str]


class BindingMetadata(Metadata):
    """Metadata with labels and annotations."""

    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class BindingSubject(msgspec.Struct):
    """One subject of a binding."""

    kind: str = ""
    name: str = ""


class BindingObject(Object):
    """A RoleBinding or ClusterRoleBinding, as far as it is used."""

    metadata: BindingMetadata = msgspec.field(default_factory=BindingMetadata)
    subjects: list[BindingSubject] | None = None


@dataclass(frozen=True, slots=True)
class SyncedBinding:
    """A binding and where its users come from. `foreign` says that it has subjects other than users."""

    namespace: str
    name: str
    version: str
    level: str
    source: MemberSource
    users: tuple[str, ...]
    foreign: bool

    @property
    def key(self) -> Key:
        """Return namespace and name."""
        return self.namespace, self.name

    def __str__(self) -> str:
        return binding_text(self.namespace, self.name)


def synced_binding(found: BindingObject) -> SyncedBinding | None:
    """Return the binding, or None if it is not synced."""
    metadata = found.metadata
    labels, source = metadata.labels or {}, read_source(metadata.annotations or {})
    if source is None or labels.get(MANAGED_BY) != OWNER:
        return None
    subjects = found.subjects or []
    users = tuple(each.name for each in subjects if each.kind == USER)
    return SyncedBinding(
        metadata.namespace,
        metadata.name,
        metadata.resourceVersion,
        labels.get(LEVEL, ""),
        source,
        users,
        len(users) != len(subjects),
    )


def with_subjects(binding: SyncedBinding, users: Iterable[str]) -> Write:
    """Return the write that gives the binding these users and no other subject."""
    group = f"/apis/{RBAC}/v1"
    path = f"{group}/namespaces/{binding.namespace}/{_KINDS[1]}" if binding.namespace else f"{group}/{_KINDS[0]}"
    subjects = [{"apiGroup": RBAC, "kind": USER, "name": name} for name in users]
    body: dict[str, Any] = {"metadata": {"resourceVersion": binding.version}, "subjects": subjects}
    return Write("PATCH", f"{path}/{binding.name}", body, f"change the subjects of {binding}")


class Bindings:
    """The synced bindings of a cluster, by namespace and name. For one event loop.

    `changed` is called after each change with the key of the binding, None for all. `failed` is called with each error.
    """

    def __init__(
        self,
        endpoints: EndpointSource,
        changed: Callable[[Key | None], None],
        failed: Callable[[KubeIamError], None],
        timing: WatchTiming = TIMING,
    ) -> None:
        self._endpoints = endpoints
        self.changed = changed
        self._parts = tuple(_Part(self, kind, endpoints, failed, timing) for kind in _KINDS)

    def __iter__(self) -> Iterator[SyncedBinding]:
        for part in self._parts:
            yield from part.found.values()

    @property
    def is_read(self) -> bool:
        """Return whether all bindings were read, and are followed."""
        return all(part.is_read for part in self._parts)

    async def follow(self) -> None:
        """Follow the bindings until cancelled."""
        await asyncio.gather(*(part.watch.run() for part in self._parts))

    async def write(self, binding: SyncedBinding, users: Iterable[str]) -> None:
        """Write the users. Raises KubeIamError, Conflict if the binding was changed since it was read."""
        body = await send(self._endpoints, with_subjects(binding, users))
        written = synced_binding(msgspec.json.decode(body, type=BindingObject))
        part = self._parts[bool(binding.namespace)]
        if written is not None and part.found.get(binding.key) is binding:
            part.found[binding.key] = written


class _Part:
    """The bindings of one kind, as the handler of their watch."""

    def __init__(
        self,
        all_of_them: Bindings,
        kind: str,
        endpoints: EndpointSource,
        failed: Callable[[KubeIamError], None],
        timing: WatchTiming,
    ) -> None:
        self.found: dict[Key, SyncedBinding] = {}
        self.is_read = False
        self._all = all_of_them
        self._failed = failed
        self.watch = Watch(
            endpoints,
            f"/apis/{RBAC}/v1/{kind}",
            BindingObject,
            self,
            what=f"the {kind} with the label {MANAGED_BY}={OWNER}",
            label_selector=f"{MANAGED_BY}={OWNER}",
            timing=timing,
        )

    async def on_list(self, objects: list[BindingObject]) -> None:
        """Replace all bindings."""
        synced = (found for each in objects if (found := synced_binding(each)) is not None)
        self.found = {each.key: each for each in synced}
        self.is_read = True
        self._all.changed(None)

    async def on_change(self, found: BindingObject) -> None:
        """Add or replace a binding, or remove one that is synced no more."""
        key = (found.metadata.namespace, found.metadata.name)
        synced = synced_binding(found)
        if synced is None:
            self.found.pop(key, None)
        else:
            self.found[key] = synced
        self._all.changed(key)

    async def on_delete(self, found: BindingObject) -> None:
        """Remove a binding."""
        key = (found.metadata.namespace, found.metadata.name)
        self.found.pop(key, None)
        self._all.changed(key)

    def on_error(self, error: KubeIamError) -> None:
        """Report that the bindings cannot be followed now."""
        self.is_read = False
        self._failed(error)
