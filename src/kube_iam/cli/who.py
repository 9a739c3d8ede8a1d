"""`who`: the members of the levels."""

from __future__ import annotations

import click

from kube_iam.cli import access_session
from kube_iam.cli.access_options import aws_options, file_option, output_option
from kube_iam.cli.access_session import Where
from kube_iam.cli.options import global_options


@click.command("who")
@click.argument("level", required=False, metavar="[LEVEL]")
@global_options
@file_option
@click.option("--by-user", is_flag=True, help="A line per user, with the levels that they are in.")
@output_option
@aws_options
def command(level: str | None, file: str, by_user: bool, output: str, **where: str) -> int:
    """List the members of all levels, or of one."""
    from kube_iam.access import members
    from kube_iam.access.plan import check_caller
    from kube_iam.cli.access_output import print_data
    from kube_iam.cli.access_progress import Display
    from kube_iam.config.near import near
    from kube_iam.report.members_text import levels_table, users_table

    access = access_session.open_access(file)
    levels = (members.find_level(access, level, near),) if level else access.levels
    directory = access_session.open_directory(access, Where(**where), Display().waiting)
    check_caller(access, directory)
    found = members.who(directory, levels)
    if by_user:
        users = members.by_user(found)
        if output == "table":
            click.echo(users_table(users), nl=False)
        else:
            print_data([{"user": user, "levels": names} for user, names in users.items()], output)
    elif output == "table":
        click.echo(levels_table(found), nl=False)
    else:
        print_data(
            [
                {
                    "level": each.level,
                    "group": each.group,
                    "applied": each.users is not None,
                    "users": list(each.users or ()),
                }
                for each in found
            ],
            output,
        )
    return 0
