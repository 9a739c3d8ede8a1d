"""`init`: make the certificate and the webhook kubeconfig, which kube-apiserver needs to start, before the server runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from kube_iam.cli.global_options import GlobalOptions
from kube_iam.cli.server_run import overrides, parse_feature_gates
from kube_iam.cli.shared_options import authenticator_options, pass_global_options
from kube_iam.config.server import load_server_config


@click.command("init")
@authenticator_options
@click.option(
    "--hostname", metavar="NAME", help="The name by which kube-apiserver reaches the server.  [default: localhost]"
)
@click.option("--address", metavar="IP", help="The address on which the server will listen.  [default: 127.0.0.1]")
@pass_global_options
def command(options: GlobalOptions, hostname: str | None, address: str | None) -> None:
    """Make the certificate, its key and the webhook kubeconfig.

    They go into the working directory, as with the reference, to be copied to the control plane. With the feature gate
    ConfiguredInitDirectories they go where the configuration says. An existing pair is kept.
    """
    from kube_iam.server.certificates import CERTIFICATE_FILE, KEY_FILE, ensure_pair, load_pair
    from kube_iam.server.webhook_kubeconfig import webhook_kubeconfig, write_webhook_kubeconfig

    in_place = _in_place(options)
    path = Path(options.config) if options.config else None
    config, _ = load_server_config(path, overrides(options, {"hostname": hostname, "address": address}))
    state_dir = config.state_dir if in_place else Path()
    kubeconfig = config.generate_kubeconfig if in_place else Path("aws-iam-authenticator.kubeconfig")
    now = datetime.now(UTC)
    ensure_pair(state_dir, config.hostname, config.address, now)
    pair = load_pair(state_dir, now)
    write_webhook_kubeconfig(kubeconfig, webhook_kubeconfig(config.hostname, config.port, pair.certificate_pem))
    made = {
        state_dir / CERTIFICATE_FILE: config.state_dir / CERTIFICATE_FILE,
        state_dir / KEY_FILE: config.state_dir / KEY_FILE,
        kubeconfig: config.generate_kubeconfig,
    }
    for source, target in made.items():
        click.echo(f"made {source}" if in_place else f"copy {source} to {target} on the control plane nodes")
    click.echo(f"start kube-apiserver with --authentication-token-webhook-config-file={config.generate_kubeconfig}")


def _in_place(options: GlobalOptions) -> bool:
    feature_gates = parse_feature_gates(options.feature_gates)
    return feature_gates.get("ConfiguredInitDirectories", feature_gates.get("AllAlpha", False))
