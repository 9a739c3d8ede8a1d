"""The whole sync: its parts are created from its settings, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field

from kube_iam.aws.server_region import server_region
from kube_iam.config.membership_settings import MembershipSettings
from kube_iam.core.utc import parse_rfc3339, rfc3339
from kube_iam.denylist.denial import Denial, DenialTable
from kube_iam.denylist.watcher import DenyList
from kube_iam.errors import Problem, UsageError
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.lease import LeaderElection, LeaseTiming
from kube_iam.kube.writer import Writer
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.iam_reader import IamReader
from kube_iam.membership.refresher import MembershipRefresher
from kube_iam.membership.snapshots import GroupChange
from kube_iam.server.log import Log
from kube_iam.server.observers import DenyListObserver, MembershipObserver, show_ages
from kube_iam.server.process import stop_signal, uptime
from kube_iam.sync.bindings import Bindings, Key
from kube_iam.sync.health import HealthPort
from kube_iam.sync.observer import SyncMetrics, SyncObserver
from kube_iam.sync.reconciler import Reconciler
from kube_iam.sync.subjects import Denials

LEASE = "kube-iam-sync"
READ_AT = "kube-iam.dev/read-at"
"""Annotation of the Lease: since when every group and role was read at least once. A successor knows by it how old its users are."""
_SYNC_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """Settings of one sync. `namespace` is that of the Lease, `deny_list` NAMESPACE/NAME, `address` and `port` those of /readyz."""

    kubeconfig: str = ""
    master: str = ""
    namespace: str = "kube-system"
    deny_list: str = "kube-system/kube-iam-denied"
    address: str = "127.0.0.1"
    port: int = 21364
    membership: MembershipSettings = field(default_factory=MembershipSettings)
    lease: LeaseTiming = field(default_factory=LeaseTiming)


async def sync(settings: SyncSettings, log: Log, environ: Mapping[str, str]) -> None:
    """Keep the bindings until SIGTERM or SIGINT, then give the Lease back. Raises KubeIamError where the port cannot be used."""
    region = await asyncio.to_thread(_region, environ, log)
    await _Sync(settings, region, log, environ).run()
    log.info("stopped")


class _Sync:
    """The parts of one sync."""

    def __init__(self, settings: SyncSettings, region: str, log: Log, environ: Mapping[str, str]) -> None:
        self._settings, self._log = settings, log
        self._stopping = stop_signal()
        self._metrics = SyncMetrics()
        endpoints = EndpointSource(settings.kubeconfig, settings.master, environ)
        self._events = Writer(endpoints, lambda error: self._observer.event_failed(error))
        self._observer = SyncObserver(log, self._metrics, self._events)
        self._cache = MembershipCache(settings.membership.max_age, uptime, time.time, secrets.token_hex(6))
        show_ages(self._cache, self._metrics, str)
        self._reads = _MembershipObserver(log, self._metrics)
        self._refresher = MembershipRefresher(
            IamReader(region), self._cache, self._reads, settings.membership.refresh, uptime
        )
        self._bindings = Bindings(endpoints, self._on_binding, self._observer.watch_failed)
        self._election = LeaderElection(
            endpoints,
            settings.namespace,
            LEASE,
            f"{socket.gethostname()}_{secrets.token_hex(4)}",
            uptime,
            changed=self._leads,
            failed=self._observer.lease_failed,
            annotations=self._read_at,
            on_read=self._on_lease,
            timing=settings.lease,
        )
        self._reconciler = Reconciler(
            self._bindings,
            self._cache,
            self._refresher,
            lambda: self._election.is_leader,
            self._observer,
            add_within=2.0 * settings.membership.refresh,
            clock=uptime,
            wall=time.time,
        )
        self._reads.changed = self._reconciler.wake
        denied = _DenyListObserver(log, self._metrics, self._reconciler)
        self._deny_list = DenyList(endpoints, denied, secrets.token_hex(6), *settings.deny_list.split("/"))

    async def run(self) -> None:
        """Run until a signal. Bindings are read first, then IAM, and nothing is written before."""
        port = HealthPort(self._settings.address, self._settings.port, self._why_not_ready, self._metrics)
        await port.start()
        async with contextlib.AsyncExitStack() as parts:
            parts.push_async_callback(port.stop)
            parts.push_async_callback(self._refresher.stop)
            followers = (self._bindings.follow, self._deny_list.follow, self._election.run, self._events.run)
            tasks = [asyncio.create_task(_forever(each, self._log)) for each in followers]
            parts.push_async_callback(_end, tasks)
            await _wait_for(lambda: self._bindings.is_read and self._deny_list.ready and self._election.is_read)
            await self._refresher.start()
            tasks.append(asyncio.create_task(_forever(self._reconciler.run, self._log)))
            self._log.info("syncing", address=f"{self._settings.address}:{self._settings.port}")
            await self._stopping.wait()
            self._log.info("stopping")
            tasks[2].cancel()
            await self._election.release()

    def _leads(self, is_leader: bool) -> None:
        self._observer.leads(is_leader)
        self._reconciler.wake()

    def _on_binding(self, key: Key | None) -> None:
        self._reconciler.on_binding(key)
        sources = [each.source for each in self._bindings if not each.source.problem]
        roles = {source.requirement.role for source in sources}
        self._reads.set_tracked({source.iam_group for source in sources}, roles)

    def _read_at(self) -> dict[str, str]:
        """Return the annotation with the time of the oldest read that counts, none while a group or role is unread."""
        ages = [age for _, _, age in self._cache.ages()]
        fresh = [age for age in ages if age is not None and age <= self._settings.membership.max_age]
        return {READ_AT: rfc3339(time.time() - max(fresh))} if fresh and None not in ages else {}

    def _on_lease(self, annotations: dict[str, str]) -> None:
        """Keep users that an earlier process confirmed for as long as its reads count."""
        read_at, max_age = parse_rfc3339(annotations.get(READ_AT, "")), self._settings.membership.max_age
        left = read_at + max_age - time.time() if read_at is not None else 0.0
        self._reconciler.grace_until = uptime() + min(max(left, 0.0), max_age)

    def _why_not_ready(self) -> str:
        if self._stopping.is_set():
            return "stopping"
        if not self._bindings.is_read:
            return "the bindings could not be read"
        if not self._deny_list.ready:
            return f"no deny list yet: {self._settings.deny_list}"
        stale = self._cache.stale()
        return f"IAM could not be read, or not for too long: {', '.join(stale)}" if stale else ""


class _MembershipObserver(MembershipObserver):
    """Reports each read to the reconciler too."""

    changed: Callable[[], None] = staticmethod(lambda: None)

    def group_read(self, name: str, found: object, change: GroupChange) -> None:
        """Log the read, and compare."""
        super().group_read(name, found, change)  # type: ignore[arg-type]
        self.changed()

    def role_read(self, role: str, problem: str, *, changed: bool) -> None:
        """Log the read, and compare."""
        super().role_read(role, problem, changed=changed)
        self.changed()


class _DenyListObserver(DenyListObserver):
    """Passes the denials in force to the reconciler."""

    def __init__(self, log: Log, metrics: SyncMetrics, reconciler: Reconciler) -> None:
        super().__init__(log, metrics)
        self._reconciler = reconciler

    def on_denials(self, denials: list[Denial], problems: list[Problem]) -> None:
        """Log the denials, and compare."""
        super().on_denials(denials, problems)
        self._reconciler.denials = Denials(DenialTable(denials), tuple(denials))
        self._reconciler.wake()


async def _forever(part: Callable[[], Coroutine[None, None, None]], log: Log) -> None:
    """Run a part until cancelled. One that fails by a bug is begun again."""
    while True:
        try:
            await part()
        except Exception as problem:
            log.error("unexpected", part=part.__qualname__, problem=type(problem).__name__)
        await asyncio.sleep(1)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _wait_for(condition: Callable[[], bool]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SYNC_SECONDS):
            while not condition():
                await asyncio.sleep(0.02)


def _region(environ: Mapping[str, str], log: Log) -> str:
    try:
        return server_region(environ)
    except UsageError as error:
        log.warning("the sync's own AWS region cannot be used", error=str(error))
        return ""
