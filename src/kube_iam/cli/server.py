"""`server`: run the authenticator webhook, or check its configuration."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from kube_iam.cli.shared_options import VERBOSITIES, GlobalOptions, authenticator_options, pass_global_options
from kube_iam.config.backends import BACKENDS, MOUNTED_FILE
from kube_iam.config.server import ServerConfig, check_server_config, load_server_config
from kube_iam.config.suggestions import suggestion
from kube_iam.core.partitions import PARTITIONS
from kube_iam.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from kube_iam.server.log import Batched, Log

_FEATURE_GATES = ("ConfiguredInitDirectories", "IAMIdentityMappingCRD", "SSORoleMatch", "AllAlpha", "AllBeta")
_DEFAULT = ServerConfig(cluster_id="")
_STATE, _KUBECONFIG = _DEFAULT.state_dir, _DEFAULT.generate_kubeconfig


@click.command("server")
@authenticator_options
@click.option("--partition", metavar="NAME", help=f"The AWS partition: {', '.join(PARTITIONS)}.  [default: aws]")
@click.option(
    "--generate-kubeconfig",
    metavar="PATH",
    help=f"The path of the webhook kubeconfig for kube-apiserver.  [default: {_KUBECONFIG}]",
)
@click.option(
    "--kubeconfig-pregenerated",
    type=click.BOOL,
    is_flag=False,
    flag_value="true",
    default=None,
    help="Do not write the webhook kubeconfig: `init` made it.",
)
@click.option("--state-dir", metavar="DIRECTORY", help=f"The directory of cert.pem and key.pem.  [default: {_STATE}]")
@click.option(
    "--kubeconfig", metavar="PATH", help="The kubeconfig for the backends EKSConfigMap and CRD.  [default: the pod's]"
)
@click.option("--master", metavar="URL", help="The API server, instead of the kubeconfig's.")
@click.option("--address", metavar="IP", help="The address to listen on.  [default: 127.0.0.1]")
@click.option("--port", metavar="PORT", help="The port to listen on.  [default: 21362]")
@click.option(
    "--backend-mode",
    metavar="NAME,…",
    multiple=True,
    help=f"In order: {', '.join(BACKENDS)}.  [default: {MOUNTED_FILE}]",
)
@click.option(
    "--ec2-describeInstances-qps", "ec2_qps", metavar="N", help="EC2 calls a second for node names.  [default: 15]"
)
@click.option("--ec2-describeInstances-burst", "ec2_burst", metavar="N", help="EC2 calls at once.  [default: 5]")
@click.option("--check-config", is_flag=True, help="Report every problem of the configuration, and start nothing.")
@pass_global_options
def command(options: GlobalOptions, backend_mode: tuple[str, ...], check_config: bool, **flags: object) -> int:
    """Answer kube-apiserver's token reviews.

    Checks each token, calls STS for its identity, and maps that to a Kubernetes user by the configuration file of -c.
    """
    parse_feature_gates(options.feature_gates)
    path = Path(options.config) if options.config else None
    given = overrides(options, flags, backend_mode)
    return _check(path, given) if check_config else _run(options, path, given)


def overrides(
    options: GlobalOptions, flags: Mapping[str, object], backend_mode: tuple[str, ...] = ()
) -> dict[str, object]:
    """Return the values of the flags by the configuration keys that they override."""
    names = {
        "partition": "server.partition",
        "generate_kubeconfig": "server.generateKubeconfig",
        "kubeconfig_pregenerated": "server.kubeconfigPregenerated",
        "state_dir": "server.stateDir",
        "address": "server.address",
        "hostname": "server.hostname",
        "port": "server.port",
        "kubeconfig": "server.kubeconfig",
        "master": "server.master",
        "ec2_qps": "server.ec2DescribeInstancesQps",
        "ec2_burst": "server.ec2DescribeInstancesBurst",
    }
    given = {names[flag]: value for flag, value in flags.items() if flag in names}
    if options.cluster_id or options.cluster_id_given:
        given["clusterID"] = options.cluster_id
    if backend_mode:
        given["server.backendMode"] = ",".join(backend_mode)
    return given


def parse_feature_gates(text: str) -> dict[str, bool]:
    """Return the reference's feature gates by name. Raises UsageError for one that does not exist."""
    feature_gates = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = pair.partition("=")
        if name not in _FEATURE_GATES:
            raise UsageError(
                f"there is no feature gate {name!r}",
                suggestion(name, _FEATURE_GATES) or f"known are {', '.join(_FEATURE_GATES)}",
            )
        if value.lower() not in ("true", "false"):
            raise UsageError(f"the feature gate {name} must be true or false")
        feature_gates[name] = value.lower() == "true"
    return feature_gates


def _check(path: Path | None, given: Mapping[str, object]) -> int:
    source = str(path or "flags")
    found = check_server_config(path, given)
    for problem in found.errors:
        click.echo(f"{source}: error: {problem}")
    for problem in found.warnings:
        click.echo(f"{source}: warning: {problem}")
    if doubt := _doubt_about_region():
        click.echo(f"environment: warning: {doubt}")
    if found.errors:
        return 1
    click.echo(f"{source}: usable")
    return 0


def _doubt_about_region() -> str:
    """Return a warning about the region of the environment or profile that --check-config runs with; empty for a known region."""
    from kube_iam.aws.server_region import doubt_about_server_region

    try:
        return doubt_about_server_region(os.environ)
    except UsageError as error:
        return str(error)


def _run(options: GlobalOptions, path: Path | None, given: Mapping[str, object]) -> NoReturn:
    import gc

    # The STS client's allocator (mimalloc, which reads this when it is loaded) would take huge pages: 7 MiB that nobody uses.
    os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
    from kube_iam.cli import main
    from kube_iam.cli.terminal import unguarded
    from kube_iam.server.log import Batched, Scrubber, log_unexpected
    from kube_iam.server.ports import open_ports
    from kube_iam.server.process import ignore_signals

    ignore_signals()

    # Mappings are many small objects that live long and have no cycles: the default would walk over all of them again and again
    # while they are read, a third of the time of a start.
    gc.set_threshold(50_000, 20, 100)
    lines = Batched(unguarded(sys.stderr))
    log = open_log(options, lines)
    try:
        config, warnings = load_server_config(path, given)
    except ConfigError as error:
        for problem in error.problems:
            log.error("configuration", file=error.path, problem=str(problem))
        raise
    log.scrub = Scrubber(config.scrubbed_accounts)
    for warning in warnings:
        log.warning("configuration", file=str(path), problem=str(warning))
    # Clients may connect from here on at the latest, and wait. What follows takes longer to load.
    ports = open_ports(config, os.environ, main.early_port)
    if ports.taken_over:
        log.warning("another server of this state directory listens on the port: both answer until that one is stopped")
    from kube_iam.server.app import serve

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.get_loop().set_exception_handler(log_unexpected(log))
        runner.run(serve(config, ports, log, os.environ, given))
        lines.flush()
        # Threads of the HTTP server may hold requests that were cut off; ending the interpreter under them can crash.
        os._exit(0)


def open_log(options: GlobalOptions, lines: Batched) -> Log:
    """Return the log with the level and the format of the options. Raises UsageError for an unknown level."""
    from kube_iam.server.log import Log

    level, style = options.log_verbosity.lower(), options.log_format.lower()
    if level not in VERBOSITIES:
        raise UsageError(
            f"there is no log level {level!r}", suggestion(level, VERBOSITIES) or f"known are {', '.join(VERBOSITIES)}"
        )
    log = Log(lines, level, style)
    if style not in ("text", "json"):
        # As the reference does: an unknown format must not keep the server from starting.
        log.warning(f"unknown log format {style!r}; lines are written as text")
    return log


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
