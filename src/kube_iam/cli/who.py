"""`who`: the members of the levels."""

from __future__ import annotations

import time
from collections.abc import Mapping
from shlex import quote
from typing import TYPE_CHECKING

import click

from kube_iam.cli import access_session
from kube_iam.cli.access_options import aws_options, cluster_options, file_option, output_option
from kube_iam.cli.access_session import Where
from kube_iam.cli.completions import complete_levels
from kube_iam.cli.options import global_options
from kube_iam.cli.terminal import page
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from kube_iam.access.levels import ClusterAccess, Level
    from kube_iam.access.ports import Temporary


@click.command("who")
@click.argument("level", required=False, metavar="[LEVEL]", shell_complete=complete_levels)
@global_options
@file_option
@click.option("--by-user", is_flag=True, help="A line per user, with the levels that they are in.")
@output_option
@aws_options
@cluster_options
def command(level: str | None, file: str, by_user: bool, output: str, **where: str) -> int:
    """List who is in all levels, or in one: the members, and who is let in for a time, with what is left of it.

    Warns of levels that the running server cannot read in IAM, or that are suspended.
    """
    from kube_iam.access import members
    from kube_iam.access.plan import check_caller
    from kube_iam.cli.access_output import print_data
    from kube_iam.cli.access_progress import Display
    from kube_iam.cli.server_status import warn_of_server
    from kube_iam.config.near import near
    from kube_iam.report.members_data import levels_data, users_data
    from kube_iam.report.members_text import levels_table, users_table

    access = access_session.open_access(file)
    levels = (members.find_level(access, level, near),) if level else access.levels
    directory = access_session.open_directory(access, Where(**where), Display().waiting)
    check_caller(access, directory)
    now = time.time()
    found = members.who(access, directory, levels, _let_in(access, levels, Where(**where), now))
    if output == "table":
        page(users_table(found, now) if by_user else levels_table(found, now))
    else:
        print_data(users_data(found, now) if by_user else levels_data(found, now), output)
    for each in found:
        for who, why in each.void:
            remedy = f"`kube-iam revoke {quote(who.user_name)} {each.level}` removes it"
            click.echo(
                f"note: the temporary access of {who.user_name} to {each.level} admits nobody: {why}; {remedy}",
                err=True,
            )
    warn_of_server(
        access, Where(**where), [level for level, each in zip(levels, found, strict=True) if each.users is not None]
    )
    return 0


def _let_in(
    access: ClusterAccess, levels: tuple[Level, ...], where: Where, now: float
) -> Mapping[str, tuple[Temporary, ...]]:
    """Whom the levels let in for a time. Without a way into the cluster that is not known, which is said."""
    from kube_iam.access.temporary import has_temporary, let_in_now

    if not any(has_temporary(access, level) for level in levels):
        return {}
    try:
        return let_in_now(access, levels, access_session.open_store(access, where).entries(), now)
    except KubeIamError as error:
        click.echo(f"warning: who is let in for a time is not known: {error}", err=True)
        return {}
