"""The composition root of the server: its parts from its settings, started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime

from kube_iam.authn.decide import Authenticator
from kube_iam.aws.regions import regions_of
from kube_iam.aws.sts import sts_client
from kube_iam.config.server import ServerConfig
from kube_iam.core.sts_hosts import StsHosts
from kube_iam.mappings.chain import Chain
from kube_iam.server.certificate_watch import follow_certificate, warn_of_end
from kube_iam.server.certificates import TlsPair, ensure_pair, load_pair
from kube_iam.server.health import Health
from kube_iam.server.listener import Listener
from kube_iam.server.log import Log
from kube_iam.server.mapping_report import MappingReport
from kube_iam.server.metrics import Metrics
from kube_iam.server.process import stop_signal
from kube_iam.server.verifier import StsVerifier
from kube_iam.server.webhook import Webhook
from kube_iam.server.webhook_kubeconfig import webhook_kubeconfig, write_webhook_kubeconfig

DEFAULT_REGION = "us-east-1"


async def serve(config: ServerConfig, log: Log, environ: Mapping[str, str], region: str = "") -> None:
    """Serve until SIGTERM or SIGINT, then drain. `region` is the server's own AWS region, empty where it is not known.

    Raises KubeIamError when the server cannot start. Mappings that cannot be used do not keep it from starting: it is not ready.
    """
    stopping = stop_signal()
    metrics = Metrics()
    backends = Chain(config, MappingReport(log, metrics), environ)
    pair = prepare_files(config, log)
    metrics.certificate_ends.set(pair.not_after.timestamp())
    sts = sts_client()
    verifier = StsVerifier(sts, sts_hosts(config, log, region), config.cluster_id, metrics)
    authenticator = Authenticator(verifier, backends, scrubbed_accounts=config.scrubbed_accounts)
    webhook = Listener(Webhook(authenticator, metrics, log).handle, config.address, config.port)
    health = Listener(
        Health(lambda: _why_not_ready(backends, stopping)).handle, config.health_address, config.health_port
    )

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(sts.close)
        await health.start()
        stack.push_async_callback(health.stop)
        # Only then the webhook: kube-apiserver tries again when nobody listens, but takes "not loaded yet" for an answer.
        stack.push_async_callback(backends.stop)
        await backends.start()
        await webhook.start(pair)
        renewing = asyncio.create_task(_follow(config, pair, webhook, metrics, log))
        log.info("listening", address=f"{config.address}:{config.port}", clusterid=config.cluster_id)
        await stopping.wait()
        log.info("stopping: no new requests, the ones under way end")
        renewing.cancel()
        if not await webhook.stop():
            log.warning("requests were cut off: they did not end in time")
    log.info("stopped")


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


def _why_not_ready(backends: Chain, stopping: asyncio.Event) -> str:
    if stopping.is_set():
        return "stopping"
    waiting = backends.waiting()
    return f"no mappings yet: {', '.join(waiting)}" if waiting else ""
