"""`grant`: let users into a level."""

from __future__ import annotations

import click

from kube_iam.cli.access_options import aws_options, cluster_options, dry_run_option, file_option, output_option
from kube_iam.cli.access_session import Where
from kube_iam.cli.options import global_options


@click.command("grant")
@click.argument("users", nargs=-1, required=True, metavar="USER...")
@click.argument("level", metavar="LEVEL")
@global_options
@file_option
@dry_run_option
@output_option
@aws_options
@cluster_options
def command(users: tuple[str, ...], level: str, file: str, dry_run: bool, output: str, **where: str) -> int:
    """Let users into a level. Those who are in it already stay; nothing changes unless all users exist."""
    from kube_iam.cli.membership import change_members

    return change_members(file, users, level, Where(**where), into=True, dry_run=dry_run, output=output)
