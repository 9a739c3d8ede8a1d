"""Leader election by a Lease: of several processes that share one, at most one is the leader.

https://kubernetes.io/docs/concepts/architecture/leases/#leader-election. Each write names the resourceVersion that it was computed
from, so that of two processes that take a Lease at once one fails. No two clocks are compared, as in client-go: a Lease has ended when
it was seen unchanged for its duration. The leader stops being one before that, counted from the start of its last successful write.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from kube_iam.errors import Conflict, KubeIamError, NotFound
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.writer import Write, send

_API = "coordination.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """Times in seconds. `leads` is how long a leader is one after a write began; it is shorter than `duration`."""

    duration: int = 15
    leads: float = 10.0
    retry: float = 2.0


class LeaseSpec(msgspec.Struct):
    """The used fields of a Lease's spec."""

    holderIdentity: str | None = None  # noqa: N815
    leaseDurationSeconds: int | None = None  # noqa: N815
    renewTime: str | None = None  # noqa: N815
    acquireTime: str | None = None  # noqa: N815
    leaseTransitions: int | None = None  # noqa: N815


class LeaseMetadata(msgspec.Struct):
    """The used fields of a Lease's metadata."""

    resourceVersion: str = ""  # noqa: N815
    annotations: dict[str, str] | None = None


class Lease(msgspec.Struct):
    """A Lease, as far as it is used."""

    metadata: LeaseMetadata
    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)


class LeaderElection:
    """One candidate, named `identity`, for the Lease NAMESPACE/NAME. For one event loop.

    `annotations` are written with each renewal. `on_read` is called with those of the Lease as it was found, at the first read.
    `changed` is called when this process becomes the leader or is one no more, `failed` with each error.
    """

    def __init__(
        self,
        endpoints: EndpointSource,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float],
        *,
        changed: Callable[[bool], None],
        failed: Callable[[KubeIamError], None],
        annotations: Callable[[], dict[str, str]] = dict,
        on_read: Callable[[dict[str, str]], None] = lambda _: None,
        timing: LeaseTiming = LeaseTiming(),
    ) -> None:
        self._endpoints = endpoints
        self._path = f"/apis/{_API}/namespaces/{namespace}/leases"
        self._namespace, self._name, self._identity = namespace, name, identity
        self._clock = clock
        self._changed, self._failed = changed, failed
        self._annotations, self._on_read = annotations, on_read
        self._timing = timing
        self._seen: LeaseSpec | None = None
        self._seen_at = 0.0
        self._leads_until = -math.inf
        self._was_leader = False
        self.is_read = False
        """Whether the Lease was read, or found to be missing."""

    @property
    def is_leader(self) -> bool:
        """Return whether this process may write now."""
        return self._clock() < self._leads_until

    async def run(self) -> None:
        """Take part until cancelled."""
        while True:
            try:
                await self._try()
            except (Conflict, NotFound):
                pass  # another process wrote first
            except KubeIamError as error:
                self._failed(error)
            except Exception as error:  # a bug: the Lease ends, and another process takes it
                self._failed(KubeIamError(f"cannot renew Lease {self._name}: {type(error).__name__}"))
            self._report()
            await asyncio.sleep(self._timing.retry * random.uniform(0.8, 1))  # noqa: S311

    async def release(self) -> None:
        """Give the Lease back, so that another process takes it at once. Raises nothing."""
        if not self.is_leader:
            return
        self._leads_until = -math.inf
        try:
            found = await self._read()
            if found is not None and found.spec.holderIdentity == self._identity:
                await self._write(found, "")
        except KubeIamError as error:
            self._failed(error)
        self._report()

    async def _try(self) -> None:
        """Read the Lease, and write it if it is free or ours."""
        began = self._clock()
        found = await self._read()
        if not self.is_read:
            self._on_read((found.metadata.annotations if found is not None else None) or {})
        self.is_read = True
        if found is None or self._may_take(found.spec):
            began = self._clock()
            await self._write(found, self._identity)
            self._leads_until = began + self._timing.leads

    def _may_take(self, spec: LeaseSpec) -> bool:
        """Return whether the Lease is ours, nobody's, or was seen unchanged for its duration."""
        now = self._clock()
        if spec != self._seen:
            self._seen, self._seen_at = spec, now
        duration = spec.leaseDurationSeconds or self._timing.duration
        return spec.holderIdentity in (None, "", self._identity) or now - self._seen_at > duration

    async def _read(self) -> Lease | None:
        write = Write("GET", f"{self._path}/{self._name}", {}, f"read Lease {self._namespace}/{self._name}")
        try:
            body = await send(self._endpoints, write)
        except NotFound:
            return None
        try:
            return msgspec.json.decode(body, type=Lease)
        except msgspec.MsgspecError as error:
            raise KubeIamError(f"cannot {write.what}: the answer is no Lease") from error

    async def _write(self, found: Lease | None, holder: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = found.spec if found is not None else LeaseSpec()
        is_new = spec.holderIdentity != holder
        metadata: dict[str, object] = {"name": self._name, "namespace": self._namespace}
        metadata["annotations"] = {
            **((found.metadata.annotations if found is not None else None) or {}),
            **self._annotations(),
        }
        if found is not None:
            metadata["resourceVersion"] = found.metadata.resourceVersion
        body = {
            "apiVersion": _API,
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": self._timing.duration,
                "renewTime": now,
                "acquireTime": now if is_new else spec.acquireTime or now,
                "leaseTransitions": (spec.leaseTransitions or 0) + is_new,
            },
        }
        method, path = ("POST", self._path) if found is None else ("PUT", f"{self._path}/{self._name}")
        await send(self._endpoints, Write(method, path, body, f"write Lease {self._namespace}/{self._name}"))

    def _report(self) -> None:
        if self.is_leader is not self._was_leader:
            self._was_leader = self.is_leader
            self._changed(self._was_leader)
