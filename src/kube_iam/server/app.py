"""The whole server: its parts are created from its settings, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from kube_iam.authn.authorize import Authorizer
from kube_iam.authn.decide import Authenticator
from kube_iam.aws.ec2_instances import Ec2Instances
from kube_iam.aws.ec2_names import Ec2NodeNames
from kube_iam.aws.endpoints import endpoint_overrides
from kube_iam.aws.rate_limit import RateLimit
from kube_iam.aws.regions import regions_of
from kube_iam.aws.server_region import doubt_about_server_region, server_region
from kube_iam.aws.sts import sts_client
from kube_iam.config.server import ServerConfig, load_server_config
from kube_iam.core.sts_hosts import StsHosts
from kube_iam.denylist.service import DenyListService
from kube_iam.errors import CredentialsError, UsageError
from kube_iam.mappings.chain import Chain
from kube_iam.mappings.file_watch import look_again
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.iam_reader import IamReader
from kube_iam.membership.refresher import MembershipRefresher
from kube_iam.membership.service import MembershipService
from kube_iam.server.access_reviews import AccessReviews
from kube_iam.server.certificates import TlsPair, ensure_pair, follow_certificate, load_pair, warn_of_end
from kube_iam.server.connection_watch import ConnectionWatch
from kube_iam.server.connections import ConnectionLimits
from kube_iam.server.http import Health, Starting, Webhook
from kube_iam.server.listener import Listener
from kube_iam.server.listening import backlog, descriptor_limit, raise_descriptor_limit
from kube_iam.server.log import Log, Scrubber
from kube_iam.server.metrics import Metrics
from kube_iam.server.observers import (
    ConnectionObserver,
    DenyListObserver,
    Ec2Observer,
    MappingObserver,
    MembershipObserver,
    StsObserver,
    show_ages,
)
from kube_iam.server.ports import Ports
from kube_iam.server.process import reload_signal, stop_signal, uptime
from kube_iam.server.settings_watch import SettingsWatch
from kube_iam.server.sockets import discard_new_connections, take_new_connections
from kube_iam.server.sts_outages import GuardedSts, StsCircuit
from kube_iam.server.verifier import StsVerifier
from kube_iam.server.webhook_kubeconfig import webhook_kubeconfig, write_webhook_kubeconfig

DEFAULT_REGION = "us-east-1"
_WEBHOOK_CONNECTIONS = 1024
_HEALTH_CONNECTIONS = 64
_LINGER_SECONDS, _HANDSHAKE_SECONDS = 1.0, 0.25


async def serve(
    config: ServerConfig, ports: Ports, log: Log, environ: Mapping[str, str], flags: Mapping[str, object]
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. SIGHUP has all files read again. `flags` are those that `config` was read with.

    The steps: (1) listen, and answer 504 about tokens, which kube-apiserver retries for 4.5 s; (2) load mappings, deny list and
    members; (3) decide; (4) drain after the signal.

    Raises KubeIamError when the server cannot start. Mappings that cannot be used do not keep it from starting: it is not ready.
    """
    await _Server(config, ports, log, environ, flags).run()
    log.info("stopped")


class _Server:
    """The parts of one server. They start in order and stop in reverse."""

    def __init__(
        self, config: ServerConfig, ports: Ports, log: Log, environ: Mapping[str, str], flags: Mapping[str, object]
    ) -> None:
        self._config, self._ports, self._log = config, ports, log
        self._environ, self._flags = environ, flags
        self._stopping, self._reloading = stop_signal(), reload_signal()
        self._metrics = Metrics()
        self._reviews = AccessReviews(self._metrics, log)
        self._front = Webhook(Starting(), self._metrics, log, self._reviews.handle)
        self._connections = ConnectionWatch(ConnectionObserver(log, self._metrics).looked)
        self._mapping_observer = MappingObserver(log, self._metrics)
        self._backends = Chain(config, self._mapping_observer, environ, flags=flags)
        self._cache = MembershipCache(config.membership.max_age, uptime, time.time, os.urandom(6).hex())
        self._deny_list = DenyListService(config, DenyListObserver(log, self._metrics), environ)

    async def run(self) -> None:
        """Serve. Raises KubeIamError when the server cannot start."""
        config, log = self._config, self._log
        warn_of_endpoints(self._environ, log)
        raise_descriptor_limit()
        pair = prepare_files(config, log)
        self._metrics.certificate_ends.set(pair.not_after.timestamp())
        region = asyncio.create_task(_own_region(self._environ, log))
        async with contextlib.AsyncExitStack() as parts:
            sts = self._sts(parts)
            webhook = await self._listen(parts, pair)  # (1)
            await self._load(parts)  # (2)
            authenticator = await self._authenticator(parts, sts, await region)
            self._front.authenticator = authenticator  # (3)
            self._reviews.authorizer = Authorizer(authenticator.stages, uptime)
            settings = SettingsWatch(config, lambda: load_server_config(config.source, self._flags)[0], log)
            parts.push_async_callback(settings.stop)
            await settings.start()
            tasks = (
                asyncio.create_task(_follow(config, pair, webhook, self._metrics, log)),
                asyncio.create_task(_reload(self._reloading, log)),
            )
            log.info("listening", address=f"{config.address}:{config.port}", clusterid=config.cluster_id)
            await self._stopping.wait()
            log.info("stopping: requests under way end")
            for task in tasks:
                task.cancel()
            if not await _drained(webhook, self._ports):  # (4)
                log.warning("requests were cut off: they did not end in time")

    def _sts(self, parts: contextlib.AsyncExitStack) -> GuardedSts:
        client = sts_client()
        parts.push_async_callback(client.close)
        sts = GuardedSts(client, StsObserver(self._log).changed, StsCircuit())
        parts.push_async_callback(sts.close)
        return sts

    async def _listen(self, parts: contextlib.AsyncExitStack, pair: TlsPair) -> Listener:
        """Start both listeners. Return that of the webhook."""
        config, limited = self._config, self._connections.limited
        readiness = Health(self._why_not_ready, Scrubber(config.scrubbed_accounts))
        limits = ConnectionLimits(min(_WEBHOOK_CONNECTIONS, descriptor_limit() // 2))
        answer = limited("webhook", self._front.handle, config.port, limits)
        answer_health = limited("health", readiness.handle, config.health_port, ConnectionLimits(_HEALTH_CONNECTIONS))
        webhook = Listener(answer, config.address, config.port, self._ports.webhook)
        health = Listener(answer_health, config.health_address, config.health_port, self._ports.health)
        await self._connections.start()
        parts.push_async_callback(self._connections.stop)
        await webhook.start(pair)
        parts.push_async_callback(webhook.stop)
        await health.start()
        parts.push_async_callback(health.stop)
        return webhook

    async def _load(self, parts: contextlib.AsyncExitStack) -> None:
        """Follow the mappings and the deny list. Return once each was read, or cannot be."""
        parts.push_async_callback(self._backends.stop)
        parts.push_async_callback(self._deny_list.stop)
        await asyncio.gather(self._backends.start(), self._deny_list.start())

    async def _authenticator(self, parts: contextlib.AsyncExitStack, sts: GuardedSts, region: str) -> Authenticator:
        config = self._config
        nodes = node_names(config, region, Ec2Observer(self._log, self._metrics))
        parts.push_async_callback(nodes.close)
        membership = self._membership(region)
        parts.push_async_callback(membership.stop)
        await membership.start()
        return Authenticator(
            StsVerifier(sts, sts_hosts(config, self._log, region), config.cluster_id, self._metrics),
            self._backends,
            scrubbed_accounts=config.scrubbed_accounts,
            node_names=nodes,
            memberships=membership,
            deny_list=self._deny_list.list,
        )

    def _membership(self, region: str) -> MembershipService:
        """Return the service that tracks the groups and roles of the mappings in force. It does not read before its `start`."""
        scrubbed = self._config.scrubbed_accounts
        observer = MembershipObserver(self._log, self._metrics, scrubbed)
        show_ages(self._cache, self._metrics, Scrubber(scrubbed))
        refresher = MembershipRefresher(
            IamReader(region), self._cache, observer, self._config.membership.refresh, uptime
        )

        def track() -> None:
            tables = [snapshot.table for snapshot in self._backends.snapshots() if snapshot.table is not None]
            groups = [name for table in tables for name in table.group_mappings.iam_groups]
            requirements = [requirement for table in tables for requirement in table.requirements]
            refresher.set_tracked(groups, requirements)
            group_names = {*groups, *(each.iam_group for each in requirements)}
            observer.set_tracked(group_names, {each.role for each in requirements})

        track()
        self._mapping_observer.changed = track
        return MembershipService(self._cache, refresher)

    def _why_not_ready(self) -> str:
        """Return why the server cannot decide about all tokens, or an empty string."""
        if self._stopping.is_set():
            return "stopping"
        if self._deny_list.not_loaded:
            return f"no deny list yet: {self._deny_list.not_loaded}"
        waiting = self._backends.waiting()
        if waiting:
            return f"no mappings yet: {', '.join(waiting)}"
        if self._front.is_starting:
            return "starting"
        stale = self._cache.stale()
        # Their entries admit nobody; all others serve.
        return f"IAM could not be read, or not for too long: {', '.join(stale)}" if stale else ""


def sts_hosts(config: ServerConfig, log: Log | None, region: str) -> StsHosts:
    """Return the STS hosts that this server accepts in tokens. An endpoint other than AWS's own is logged as a warning."""
    extra = {}
    if config.sts_endpoint:
        extra = {config.sts_endpoint: region or DEFAULT_REGION}
        if log is not None:
            log.warning(
                "server.stsEndpoint is set: the owner of that host decides who signs in. Never set it in production",
                stsendpoint=config.sts_endpoint,
            )
    return StsHosts(config.partition, regions_of(config.partition), region, extra)


def warn_of_endpoints(environ: Mapping[str, str], log: Log) -> None:
    """Log each setting that names an endpoint other than AWS's own. Raises UsageError for http beyond this machine."""
    try:
        overrides = endpoint_overrides(environ)
    except CredentialsError as error:
        # botocore fails by the same settings, so it asks no endpoint. Tokens are verified without botocore.
        log.error("the server's AWS settings cannot be read", problem=str(error))
        return
    for override in overrides:
        log.warning(
            f"{override.source} is set: the owner of that host decides what this server takes for AWS's answers"
            f" ({', '.join(override.services)}), and so who signs in. In production it may only name a host of AWS, such as a"
            " VPC endpoint",
            endpoint=override.url,
        )


def node_names(config: ServerConfig, region: str, report: Ec2Observer) -> Ec2NodeNames:
    """Return the source of names for {{EC2PrivateDNSName}}: EC2 of the server's region, loaded when a mapping first needs it."""
    instances = Ec2Instances(region, config.ec2.role_arn, config.ec2.source_arn)
    # The clock goes on during a suspend: a resumed server must not use yesterday's names.
    return Ec2NodeNames(instances, report, RateLimit(config.ec2.qps, config.ec2.burst), clock=uptime)


async def _own_region(environ: Mapping[str, str], log: Log) -> str:
    try:
        region = await asyncio.to_thread(server_region, environ)
        doubt = await asyncio.to_thread(doubt_about_server_region, environ)
    except UsageError as error:
        log.warning("the server's own AWS region cannot be used", error=str(error))
        return ""
    log.info("the server's own AWS region", region=region or "unknown")
    if doubt:
        log.warning("the server's own AWS region may not exist", problem=doubt)
    return region


def prepare_files(config: ServerConfig, log: Log) -> TlsPair:
    """Return the certificate, created where there is none. Write the webhook kubeconfig unless it is pregenerated.

    Raises ConfigError when a file cannot be used or written.
    """
    now = datetime.now(UTC)
    if ensure_pair(config.state_dir, config.hostname, config.address, now):
        log.info("made a certificate and its key", directory=str(config.state_dir))
    pair = load_pair(config.state_dir, now)
    warn_of_end(pair, now, log)
    if not config.kubeconfig_pregenerated:
        text = webhook_kubeconfig(config.hostname, config.port, pair.certificate_pem)
        write_webhook_kubeconfig(config.generate_kubeconfig, text)
        log.info(
            "wrote the webhook kubeconfig; start kube-apiserver with"
            f" --authentication-token-webhook-config-file={config.generate_kubeconfig}"
        )
    return pair


async def _follow(config: ServerConfig, pair: TlsPair, webhook: Listener, metrics: Metrics, log: Log) -> None:
    async def renew(renewed: TlsPair) -> None:
        await webhook.renew(renewed)
        metrics.certificate_ends.set(renewed.not_after.timestamp())

    await follow_certificate(config.state_dir, pair, renew, log)


async def _drained(webhook: Listener, ports: Ports) -> bool:
    """Stop the webhook so that a successor fails no sign-in; return whether all requests ended in time."""
    # kube-apiserver does not retry a refused connection. In this time a successor that starts now begins to listen.
    if ports.webhook not in ports.inherited:
        await asyncio.sleep(_LINGER_SECONDS)
    # It does not retry a connection that ends in the handshake either. Open connections have time for their request. New ones are
    # not established until this process ends: their clients try again after a second, and reach the successor.
    discard_new_connections()
    await asyncio.sleep(_HANDSHAKE_SECONDS)
    ended = await webhook.stop()
    for kept in ports.inherited:
        take_new_connections(kept, backlog())
    return ended


async def _reload(reloading: asyncio.Event, log: Log) -> None:
    while True:
        await reloading.wait()
        reloading.clear()
        log.info("SIGHUP: the files that this server follows are read again")
        await look_again()
