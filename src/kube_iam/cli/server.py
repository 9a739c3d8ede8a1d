"""`server`: run the authenticator webhook, or check its configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from kube_iam.cli import main
from kube_iam.cli.global_options import GlobalOptions
from kube_iam.cli.server_run import ServerFlags, overrides, parse_feature_gates, run
from kube_iam.cli.shared_options import authenticator_options, pass_global_options
from kube_iam.cli.terminal import unguarded
from kube_iam.config.backends import BACKENDS, MOUNTED_FILE
from kube_iam.config.server import ServerConfig, check_server_config
from kube_iam.core.partitions import PARTITIONS
from kube_iam.errors import UsageError

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
    if not check_config:
        run(ServerFlags(options, flags, backend_mode), unguarded(sys.stderr), main.early_port)
    parse_feature_gates(options.feature_gates)
    return _check(Path(options.config) if options.config else None, overrides(options, flags, backend_mode))


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
