"""The observer of the sync: its log, its metrics and its Kubernetes Events."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from kube_iam.core.rbac import binding_text
from kube_iam.errors import KubeIamError
from kube_iam.kube.events import API_VERSION, NAMESPACE, event
from kube_iam.kube.labels import LEVEL, MANAGED_BY, OWNER
from kube_iam.kube.writer import Write, Writer
from kube_iam.server.log import Log
from kube_iam.server.metrics import Counter, Gauge, MembershipMetrics
from kube_iam.sync.bindings import Key, SyncedBinding
from kube_iam.sync.subjects import WantedSubjects

_NAMED = 20


class SyncMetrics(MembershipMetrics):
    """All metrics of `kube-iam sync`."""

    def __init__(self) -> None:
        super().__init__()
        self.leader = Gauge("kube_iam_sync_leader", "1 while this process holds the Lease and writes bindings")
        self.bindings = Gauge("kube_iam_sync_bindings", "Bindings that are synced")
        self.subjects = Gauge("kube_iam_sync_subjects", "Users that a binding should have", ("binding", "level"))
        self.refused = Gauge(
            "kube_iam_sync_refused_users",
            "Members and temporary users who get no access: denied, reused or shared names, an unusable role, old reads",
            ("binding", "level"),
        )
        self.written = Counter("kube_iam_sync_writes_total", "Changes of bindings that were written")
        self.failed = Counter("kube_iam_sync_write_failures_total", "Changes of bindings that could not be written")
        self.watch_failures = Counter(
            "kube_iam_sync_watch_failures_total", "Times that the bindings could not be followed"
        )
        self.lease_failures = Counter(
            "kube_iam_sync_lease_failures_total", "Times that the Lease could not be read or written"
        )


class SyncObserver:
    """The `reconciler.Observer`, and the observer of the watch and of the leader election."""

    def __init__(self, log: Log, metrics: SyncMetrics, events: Writer, clock: Callable[[], float] = time.time) -> None:
        self._log, self._metrics, self._events, self._clock = log, metrics, events, clock
        self._refused: dict[Key, dict[str, str]] = {}
        self._problems: dict[Key, str] = {}
        self._errors: dict[str, str] = {}
        metrics.leader.set(0)

    def computed(self, binding: SyncedBinding, wanted: WantedSubjects) -> None:
        """Set the gauges. Log users that are refused from now on, and why a level has no users."""
        self._metrics.subjects.set(len(wanted.users), str(binding), binding.level)
        self._metrics.refused.set(len(wanted.refused), str(binding), binding.level)
        before = self._refused.get(binding.key, {})
        if wanted.problem != self._problems.get(binding.key, ""):
            self._problems[binding.key] = wanted.problem
            if wanted.problem:
                self._log.error(
                    "a level gets no users", binding=str(binding), level=binding.level, problem=wanted.problem
                )
            else:
                self._log.info("the level gets users again", binding=str(binding), level=binding.level)
        if not wanted.problem:
            for user, why in list(wanted.refused.items())[:_NAMED]:
                if before.get(user) != why:
                    self._log.warning("no access", user=user, level=binding.level, why=why)
        self._refused[binding.key] = dict(wanted.refused)

    def written(self, binding: SyncedBinding, added: tuple[str, ...], removed: tuple[str, ...], reason: str) -> None:
        """Count and log the change, and write an Event about the level."""
        self._errors.pop(str(binding), None)
        self._metrics.written.add()
        fields = {"binding": str(binding), "level": binding.level, **({"problem": reason} if reason else {})}
        self._log.info("subjects changed", added=added[:_NAMED], removed=removed[:_NAMED], **fields)
        parts = (("added", added), ("removed", removed))
        changes = "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names) or "removed other subjects"
        message = f"{binding}: {changes}" + (f": {reason}" if reason else "")
        cause = hashlib.sha256(f"{binding} {binding.version}".encode()).hexdigest()[:16]
        called = {
            "name": f"{OWNER}-sync.{cause}",
            "namespace": NAMESPACE,
            "labels": {MANAGED_BY: OWNER, LEVEL: binding.level},
        }
        about = {"apiVersion": API_VERSION, "kind": "Level", "namespace": NAMESPACE, "name": binding.level}
        written = event(called, about, "SubjectsChanged", message, self._clock(), warning=bool(reason))
        path = f"/api/v1/namespaces/{NAMESPACE}/events"
        self._events.put(cause, Write("POST", path, written, "write an event"))

    def write_failed(self, binding: SyncedBinding, error: KubeIamError) -> None:
        """Count the failure. Log the first of a series."""
        self._metrics.failed.add()
        self._log_once(str(binding), "a binding cannot be written", error)

    def forget(self, keys: set[Key]) -> None:
        """Remove the state of all bindings but these."""
        self._metrics.bindings.set(len(keys))
        for table in (self._refused, self._problems):
            for key in [key for key in table if key not in keys]:
                del table[key]
        names = {binding_text(*key) for key in keys}
        for gauge in (self._metrics.subjects, self._metrics.refused):
            gauge.only(names)

    def watch_failed(self, error: KubeIamError) -> None:
        """Count the failure. Log the first of a series."""
        self._metrics.watch_failures.add()
        self._log_once("watch", "the bindings cannot be followed", error)

    def lease_failed(self, error: KubeIamError) -> None:
        """Count the failure. Log the first of a series."""
        self._metrics.lease_failures.add()
        self._log_once("lease", "the Lease cannot be renewed", error)

    def leads(self, is_leader: bool) -> None:
        """Log that this process writes from now on, or no more."""
        self._metrics.leader.set(int(is_leader))
        self._errors.pop("lease", None)
        self._log.info("this process is the leader" if is_leader else "this process is no leader any more")

    def event_failed(self, error: KubeIamError) -> None:
        """Log that an Event cannot be written."""
        self._log_once("event", "events cannot be written", error)

    def _log_once(self, what: str, message: str, error: KubeIamError) -> None:
        if self._errors.get(what) != str(error):
            self._errors[what] = str(error)
            self._log.error(message, problem=str(error))
