"""`verify`: check one token as the server does, STS included, and print its identity."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import click

from kube_iam.aws.regions import doubt_about
from kube_iam.cli.global_options import GlobalOptions
from kube_iam.cli.server_run import overrides, parse_feature_gates
from kube_iam.cli.shared_options import authenticator_options, pass_global_options
from kube_iam.cli.terminal import page
from kube_iam.config.server import ServerConfig, load_server_config
from kube_iam.core.identity import Identity
from kube_iam.core.partitions import PARTITIONS, source_of_region
from kube_iam.core.reasons import Refusal
from kube_iam.errors import KubeIamError, UsageError


@click.command("verify")
@authenticator_options
@click.option(
    "-t", "--token", metavar="TOKEN", help="The token; - reads it from standard input, out of the process list."
)
@click.option("-o", "--output", type=click.Choice(["json"]), help="The format.  [default: text]")
@click.option("--partition", metavar="NAME", help=f"The AWS partition: {', '.join(PARTITIONS)}.  [default: aws]")
@click.option("--sts-endpoint", metavar="HOST:PORT", hidden=True, help="An STS beyond AWS's own, for the sandbox.")
@pass_global_options
def command(
    options: GlobalOptions, token: str | None, output: str | None, partition: str | None, sts_endpoint: str | None
) -> None:
    """Verify a token, for debugging: run the server's checks, call STS, and print its identity, or the reason of its refusal."""
    parse_feature_gates(options.feature_gates)
    if not token:
        raise UsageError("no token", "give it with -t TOKEN, or with -t - on standard input")
    text = sys.stdin.read().strip() if token == "-" else token  # noqa: S105
    path = Path(options.config) if options.config else None
    flags = {**overrides(options, {"partition": partition}), "server.stsEndpoint": sts_endpoint}
    config, _ = load_server_config(path, flags)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    if region and (doubt := doubt_about(region, source_of_region("", os.environ))):
        click.echo(f"warning: {doubt}", err=True)
    verdict = asyncio.run(_verify(config, text, region))
    if isinstance(verdict, Refusal):
        raise KubeIamError(f"the token is refused ({verdict.reason.value}): {verdict.message}")
    say = page if output else click.echo
    say(_shown(verdict, output))


async def _verify(config: ServerConfig, token: str, region: str) -> Identity | Refusal:
    from kube_iam.aws.sts import sts_client
    from kube_iam.server.app import sts_hosts
    from kube_iam.server.metrics import Metrics
    from kube_iam.server.verifier import StsVerifier

    sts = sts_client()
    try:
        hosts = sts_hosts(config, None, region)
        return await StsVerifier(sts, hosts, config.cluster_id, Metrics()).verify(token)
    finally:
        await sts.close()


def _shown(identity: Identity, output: str | None) -> str:
    fields = {
        "ARN": identity.arn,
        "CanonicalARN": identity.canonical_arn,
        "AccountID": identity.account_id,
        "UserID": identity.user_id,
        "SessionName": identity.session_name,
        "AccessKeyID": identity.access_key_id,
        "STSEndpoint": identity.sts_host,
    }
    if output == "json":
        return json.dumps(fields, indent=4)
    # As Go prints a pointer to the reference's struct.
    return "&{" + " ".join(f"{name}:{value}" for name, value in fields.items()) + "}"
