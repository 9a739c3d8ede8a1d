"""`validate`: check an access file without asking AWS or the cluster anything."""

from __future__ import annotations

import click

from kube_iam.cli import access_session
from kube_iam.cli.access_options import file_option
from kube_iam.cli.options import global_options


@click.command("validate")
@global_options
@file_option
def command(file: str) -> int:
    """Check an access file, and report all its problems at once."""
    from kube_iam.access.plan import cautions

    access = access_session.open_access(file)
    for caution in cautions(access):
        click.echo(f"warning: {caution}", err=True)
    levels = ", ".join(level.name for level in access.levels)
    click.echo(f"{access.source} is valid: cluster {access.cluster_id}, levels {levels}")
    return 0
