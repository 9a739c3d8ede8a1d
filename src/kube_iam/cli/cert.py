"""`cert`: the state of the server's certificate, and a new one without failed sign-ins."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kube_iam.cli.global_options import GlobalOptions
from kube_iam.cli.root import CommandGroup
from kube_iam.cli.server_run import overrides
from kube_iam.cli.shared_options import authenticator_options, global_options, pass_global_options
from kube_iam.cli.terminal import page

if TYPE_CHECKING:
    from kube_iam.config.server import ServerConfig


@click.group("cert", cls=CommandGroup, no_args_is_help=True)
@global_options
def command() -> None:
    """Show the certificate of this node's server, or replace it."""


@command.command("status")
@authenticator_options
@pass_global_options
def status_command(options: GlobalOptions) -> None:
    """Print the certificates of the state directory: fingerprint, end, and whether the webhook kubeconfig trusts each."""
    from kube_iam.server.certificate_rotation import status

    config = _config(options)
    lines = [
        f"{each.role}: sha256 {each.fingerprint}, ends {each.not_after:%Y-%m-%d},"
        f" {'trusted' if each.trusted else 'not trusted'} by {config.generate_kubeconfig}\n"
        for each in status(config, datetime.now(UTC))
    ]
    page("".join(lines))


@command.command("rotate")
@authenticator_options
@click.option("--finish", is_flag=True, help="The second step: use the new certificate.")
@pass_global_options
def rotate_command(options: GlobalOptions, finish: bool) -> None:
    """Replace a certificate that `init` or the server made, on this node, in two steps.

    The first makes a new pair and a webhook kubeconfig that trusts the old and the new one. authorizer.yaml and cert.pem beside it,
    the files of the authorizer, are written too. Restart kube-apiserver, which reads these files when it starts. --finish then puts
    the new pair into use, and the server loads it without a restart. kube-apiserver trusts the old certificate until its next start:
    restart it again at once where the old key may have been read.
    """
    from kube_iam.server import certificate_rotation

    config, now = _config(options), datetime.now(UTC)
    if finish:
        certificate_rotation.finish(config, now)
        page(
            f"The new certificate is in {config.state_dir}. The server loads it within seconds.\n"
            f"kube-apiserver trusts the old one until its next start. {config.generate_kubeconfig} does not name it any more.\n"
        )
        return
    certificate_rotation.begin(config, now)
    page(
        f"{config.generate_kubeconfig} trusts the certificate in use and a new one.\n"
        "Restart kube-apiserver on this node, then repeat this command with --finish.\n"
    )


def _config(options: GlobalOptions) -> ServerConfig:
    from kube_iam.config.server import load_server_config

    config, _ = load_server_config(Path(options.config) if options.config else None, overrides(options, {}))
    return config
