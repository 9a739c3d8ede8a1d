"""What the backend CRD writes back, where it is not there yet: every object's status, and an Event about one that does not serve."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Container
from typing import Any

import msgspec

from kube_iam.config.identity_mapping import IdentityMappings, Refused
from kube_iam.core.event import event
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingMatch, MappingTable
from kube_iam.kube.watch import Metadata
from kube_iam.kube.writer import Write, Writer

API_VERSION = "iamauthenticator.k8s.aws/v1alpha1"
KIND = "IAMIdentityMapping"
PATH = f"/apis/{API_VERSION}/iamidentitymappings"
# Events about things without a namespace live here.
EVENTS = "/api/v1/namespaces/default/events"


class Status(msgspec.Struct):
    """The status of an IAMIdentityMapping."""

    canonicalARN: str = ""  # noqa: N815
    userID: str = ""  # noqa: N815


class StatusWriter:
    """Knows what the objects say of themselves already, and hands the rest to the writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._metadata: dict[str, Metadata] = {}
        self._statuses: dict[str, Status] = {}
        self._events: dict[str, str] = {}

    def on_status(self, metadata: Metadata, status: object) -> None:
        """Return the object has this status now."""
        self._metadata[metadata.name] = metadata
        try:
            self._statuses[metadata.name] = msgspec.convert(status or {}, Status)
        except msgspec.ValidationError:
            self._statuses[metadata.name] = Status()

    def retain(self, names: Container[str]) -> None:
        """Forget all other objects."""
        known: tuple[dict[str, Any], ...] = (self._metadata, self._statuses, self._events)
        for table in known:
            for name in [name for name in table if name not in names]:
                del table[name]

    def write(self, read: IdentityMappings) -> None:
        """Write what the objects became: the canonical ARN, empty for one without, and why one does not serve."""
        for name, status in self._statuses.items():
            canonical = read.canonical.get(name, "")
            if canonical != status.canonicalARN:
                # The unique id was that of another ARN.
                self._put(f"arn {name}", name, {"canonicalARN": canonical, "userID": None})
                self._statuses[name] = Status(canonical)
            refused = read.refused.get(name)
            if refused is None:
                self._events.pop(name, None)
            else:
                self._warn(name, refused)

    def observed(self, table: MappingTable) -> MappingTable:
        """Return the table, made to tell us who signs in."""
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
        # One event for one cause, whichever server of the cluster comes first.
        cause = hashlib.sha256(f"{metadata.uid} {refused.message}".encode()).hexdigest()[:16]
        if self._events.get(name) == cause:
            return
        self._events[name] = cause
        called = {"name": f"{name[:200].rstrip('.-')}.{cause}", "namespace": "default"}
        about = {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": metadata.uid}
        written = event(called, about, refused.reason, refused.message, time.time(), warning=True)
        self._writer.put(f"event {name}", Write("POST", EVENTS, written, f"write an event about {KIND} {name}"))


class _ObservedTable(MappingTable):
    """A table that tells which entry an identity was found by."""

    __slots__ = ("_inner", "_observe")

    def __init__(self, inner: MappingTable, observe: Callable[[str, str], None]) -> None:
        super().__init__()
        self._inner = inner
        self._observe = observe

    def find(self, identity: Identity) -> MappingMatch | None:
        mapped = self._inner.find(identity)
        if mapped is not None and mapped.username.usable:
            self._observe(mapped.source, identity.user_id)
        return mapped
