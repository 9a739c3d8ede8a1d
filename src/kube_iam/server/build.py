"""The composition root of the server: its parts from its settings, started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

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
from kube_iam.denylist.service import Denying
from kube_iam.errors import CredentialsError, UsageError
from kube_iam.mappings.chain import Chain
from kube_iam.mappings.file_watch import look_again
from kube_iam.membership.cache import MembershipCache
from kube_iam.server.certificate_watch import follow_certificate, warn_of_end
from kube_iam.server.certificates import TlsPair, ensure_pair, load_pair
from kube_iam.server.clock import uptime
from kube_iam.server.connection_report import ConnectionReport
from kube_iam.server.connection_watch import ConnectionWatch
from kube_iam.server.connections import ConnectionLimits
from kube_iam.server.deny_report import DenyReport
from kube_iam.server.descriptors import descriptor_limit, raise_descriptor_limit
from kube_iam.server.ec2_report import Ec2Report
from kube_iam.server.guarded_sts import GuardedSts
from kube_iam.server.health import Health
from kube_iam.server.listener import Listener
from kube_iam.server.listening import backlog
from kube_iam.server.log import Log
from kube_iam.server.mapping_report import MappingReport
from kube_iam.server.memberships import membership_service
from kube_iam.server.metrics import Metrics
from kube_iam.server.ports import Ports
from kube_iam.server.process import reload_signal, stop_signal
from kube_iam.server.scrubbing import Scrubber
from kube_iam.server.settings_watch import SettingsWatch
from kube_iam.server.sockets import discard_new_connections, take_new_connections
from kube_iam.server.starting import Starting
from kube_iam.server.sts_circuit import StsCircuit
from kube_iam.server.verifier import StsVerifier
from kube_iam.server.webhook import Webhook
from kube_iam.server.webhook_kubeconfig import webhook_kubeconfig, write_webhook_kubeconfig

DEFAULT_REGION = "us-east-1"
_WEBHOOK_CONNECTIONS = 1024
_HEALTH_CONNECTIONS = 64
_LINGER_SECONDS, _HANDSHAKE_SECONDS = 1.0, 0.25


async def serve(
    config: ServerConfig, ports: Ports, log: Log, environ: Mapping[str, str], flags: Mapping[str, object]
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `flags` are those that `config` was read with. SIGHUP looks at all files again.

    Answers 504 on the webhook's port as soon as the certificate is known, until all is loaded: kube-apiserver retries that for 4.5 s.

    Raises KubeIamError when the server cannot start. Mappings that cannot be used do not keep it from starting: it is not ready.
    """
    stopping, reloading = stop_signal(), reload_signal()
    warn_of_endpoints(environ, log)
    raise_descriptor_limit()
    metrics = Metrics()
    connections = ConnectionWatch(ConnectionReport(log, metrics).looked)
    mapping_report = MappingReport(log, metrics)
    backends = Chain(config, mapping_report, environ, flags=flags)
    cache = MembershipCache(config.membership.max_age, uptime, time.time, secrets.token_hex(6))
    pair = prepare_files(config, log)
    metrics.certificate_ends.set(pair.not_after.timestamp())
    client = sts_client()
    sts = GuardedSts(client, _report_sts(log), StsCircuit())
    denials = Denying(config, DenyReport(log, metrics), environ)
    finding_region = asyncio.create_task(_own_region(environ, log))
    readiness = Health(lambda: _why_not_ready(backends, cache, denials, stopping), Scrubber(config.scrubbed_accounts))
    health = Listener(
        connections.limited("health", readiness.handle, config.health_port, ConnectionLimits(_HEALTH_CONNECTIONS)),
        config.health_address,
        config.health_port,
        ports.health,
    )
    front = Webhook(Starting(), metrics, log)
    limits = ConnectionLimits(min(_WEBHOOK_CONNECTIONS, descriptor_limit() // 2))
    webhook = Listener(
        connections.limited("webhook", front.handle, config.port, limits), config.address, config.port, ports.webhook
    )

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        stack.push_async_callback(sts.close)
        await connections.start()
        stack.push_async_callback(connections.stop)
        await webhook.start(pair)
        stack.push_async_callback(webhook.stop)
        await health.start()
        stack.push_async_callback(health.stop)
        stack.push_async_callback(backends.stop)
        stack.push_async_callback(denials.stop)
        await asyncio.gather(backends.start(), denials.start())
        region = await finding_region
        nodes = node_names(config, region, Ec2Report(log, metrics))
        stack.push_async_callback(nodes.close)
        membership = membership_service(config, region, cache, backends, mapping_report, log, metrics)
        stack.push_async_callback(membership.stop)
        await membership.start()
        verifier = StsVerifier(sts, sts_hosts(config, log, region), config.cluster_id, metrics)
        front.authenticator = Authenticator(
            verifier,
            backends,
            scrubbed_accounts=config.scrubbed_accounts,
            node_names=nodes,
            memberships=membership,
            deny_list=denials.list,
        )
        settings = SettingsWatch(config, lambda: load_server_config(config.source, flags)[0], log)
        stack.push_async_callback(settings.stop)
        await settings.start()
        tasks = (
            asyncio.create_task(_follow(config, pair, webhook, metrics, log)),
            asyncio.create_task(_reload(reloading, log)),
        )
        log.info("listening", address=f"{config.address}:{config.port}", clusterid=config.cluster_id)
        await stopping.wait()
        log.info("stopping: requests under way end")
        for task in tasks:
            task.cancel()
        if not await _drained(webhook, ports):
            log.warning("requests were cut off: they did not end in time")
    log.info("stopped")


def _report_sts(log: Log) -> Callable[[str, bool], None]:
    def report(host: str, answers: bool) -> None:
        if answers:
            log.info("STS answers again", stsendpoint=host)
        else:
            log.error(
                "STS does not answer: new tokens are refused at once until it does; check the network, DNS and HTTPS_PROXY",
                stsendpoint=host,
            )

    return report


def sts_hosts(config: ServerConfig, log: Log | None, region: str) -> StsHosts:
    """The hosts that this server asks about signatures. An endpoint beyond AWS's own is never taken silently."""
    extra = {}
    if config.sts_endpoint:
        extra = {config.sts_endpoint: region or DEFAULT_REGION}
        if log is not None:
            log.warning(
                "server.stsEndpoint is set: whoever controls that host decides who signs in. Never set it in production",
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


def node_names(config: ServerConfig, region: str, report: Ec2Report) -> Ec2NodeNames:
    """Who is asked for {{EC2PrivateDNSName}}: EC2 of the server's own region, loaded when the first mapping needs it."""
    instances = Ec2Instances(region, config.ec2.role_arn, config.ec2.source_arn)
    # Names end by a clock that goes on during a suspend: a resumed server must not take yesterday's names for fresh ones.
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
    """The certificate, made where there is none, and the webhook kubeconfig. Raises ConfigError."""
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
    # kube-apiserver does not retry a refused connection: a successor that starts only now has this time to listen.
    if ports.webhook not in ports.inherited:
        await asyncio.sleep(_LINGER_SECONDS)
    # Nor does it retry a connection that ends in the handshake: those that are open get to their request. Later ones are not
    # established until this process ends; their clients try again after a second, and reach the successor.
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


def _why_not_ready(backends: Chain, cache: MembershipCache, denials: Denying, stopping: asyncio.Event) -> str:
    if stopping.is_set():
        return "stopping"
    if denials.waiting:
        return f"no deny list yet: {denials.waiting}"
    waiting = backends.waiting()
    if waiting:
        return f"no mappings yet: {', '.join(waiting)}"
    stale = cache.stale()
    # Their entries admit nobody; all others serve.
    return f"IAM could not be read, or not for too long: {', '.join(stale)}" if stale else ""
