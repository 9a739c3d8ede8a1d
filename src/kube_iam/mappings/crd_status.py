"""Writes of the backend CRD: the status of each object, and an Event about an object that is not used."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Container
from typing import Any

import msgspec

from kube_iam.config.identity_mapping import IdentityMappings, Refused
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingMatch, MappingTable
from kube_iam.kube.events import event
from kube_iam.kube.watch import Metadata
from kube_iam.kube.writer import Write, Writer

API_VERSION = "iamauthenticator.k8s.aws/v1alpha1"
KIND = "IAMIdentityMapping"
PATH = f"/apis/{API_VERSION}/iamidentitymappings"
# Events about objects without a namespace are in the namespace `default`.
EVENTS = "/api/v1/namespaces/default/events"


class Status(msgspec.Struct):
    """The status of an IAMIdentityMapping."""

    canonicalARN: str = ""  # noqa: N815
    userID: str = ""  # noqa: N815


class StatusWriter:
    """Compares the statuses of the objects with those that they should have, and passes differences to the writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._metadata: dict[str, Metadata] = {}
        self._statuses: dict[str, Status] = {}
        self._events: dict[str, str] = {}

    def on_status(self, metadata: Metadata, status: object) -> None:
        """Record the present status of an object."""
        self._metadata[metadata.name] = metadata
        try:
            self._statuses[metadata.name] = msgspec.convert(status or {}, Status)
        except msgspec.ValidationError:
            self._statuses[metadata.name] = Status()

    def retain(self, names: Container[str]) -> None:
        """Remove the state of all other objects."""
        known: tuple[dict[str, Any], ...] = (self._metadata, self._statuses, self._events)
        for table in known:
            for name in [name for name in table if name not in names]:
                del table[name]

    def write(self, read: IdentityMappings) -> None:
        """Write the canonical ARN of each object, empty for an invalid one, and Events about objects that are not used."""
        for name, status in self._statuses.items():
            canonical = read.canonical.get(name, "")
            if canonical != status.canonicalARN:
                # The unique id belonged to another ARN.
                self._put(f"arn {name}", name, {"canonicalARN": canonical, "userID": None})
                self._statuses[name] = Status(canonical)
            refused = read.refused.get(name)
            if refused is None:
                self._events.pop(name, None)
            else:
                self._warn(name, refused)

    def observed(self, table: MappingTable) -> MappingTable:
        """Return a table that reports the unique id of each principal that signs in."""
        return _ObservedTable(table, self._signs_in)

    def _signs_in(self, name: str, user_id: str) -> None:
        status = self._statuses.get(name)
        if status is not None and status.userID != user_id:
            status.userID = user_id
            self._put(f"id {name}", name, {"userID": user_id})

    def _put(self, key: str, name: str, status: dict[str, str | None]) -> None:
        what = f"write the status of {KIND} {name}"
        self._writer.put(key, Write("PATCH", f"{PATH}/{name}/status", {"status": status}, what))

    def _warn(self, name: str, refused: Refused) -> None:
        metadata = self._metadata[name]
        # The name depends on the cause, so that the servers of a cluster write one Event together.
        cause = hashlib.sha256(f"{metadata.uid} {refused.message}".encode()).hexdigest()[:16]
        if self._events.get(name) == cause:
            return
        self._events[name] = cause
        called = {"name": f"{name[:200].rstrip('.-')}.{cause}", "namespace": "default"}
        about = {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": metadata.uid}
        written = event(called, about, refused.reason, refused.message, time.time(), warning=True)
        self._writer.put(f"event {name}", Write("POST", EVENTS, written, f"write an event about {KIND} {name}"))


class _ObservedTable(MappingTable):
    """A table that reports the entry by which an identity was found."""

    __slots__ = ("_inner", "_observe")

    def __init__(self, inner: MappingTable, observe: Callable[[str, str], None]) -> None:
        super().__init__()
        self.requirements = inner.requirements
        self._inner = inner
        self._observe = observe

    def find(self, identity: Identity) -> MappingMatch | None:
        mapped = self._inner.find(identity)
        if mapped is not None and mapped.username.usable:
            self._observe(mapped.source, identity.user_id)
        return mapped
