"""`grant`: add users to a level."""

from __future__ import annotations

import click

from kube_iam.cli.revocation import deny_list_option
from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import (
    aws_options,
    cluster_options,
    dry_run_option,
    file_option,
    global_options,
    member_arguments,
    output_option,
    require_words,
    yes_option,
)
from kube_iam.errors import UsageError


@click.command("grant")
@member_arguments
@global_options
@file_option
@click.option("--for", "duration", metavar="TIME", help="Grant it for a time, such as 2h or 90m; it ends by itself.")
@click.option(
    "--reason", metavar="TEXT", default="", help="The reason, which `who` and the mapping show. Goes with --for."
)
@deny_list_option
@yes_option
@dry_run_option
@output_option
@aws_options
@cluster_options
@pass_session
def command(
    session: AdminSession, users: tuple[str, ...], level: str | None, duration: str | None, reason: str, deny_list: str,
    yes: bool, dry_run: bool, output: str,
) -> int:  # fmt: skip
    """Grant users an access level. Members stay members. Nothing changes unless all users exist.

    Denials that `revoke --now` added for these users in this level are removed. For an existing IAM group, which is not kube-iam's,
    what else it gives is shown, and asked about.
    """
    from kube_iam.cli.membership import MemberOptions, change_members
    from kube_iam.cli.temporary import grant_for, parse_grant_duration

    level = require_words("grant", session, users, level)
    if duration is not None:
        time = parse_grant_duration(duration, reason)
        return grant_for(session, users, level, time, deny_list=deny_list, dry_run=dry_run, output=output)
    if reason:
        raise UsageError("--reason goes with --for", "access without an end keeps no reason")
    options = MemberOptions(into=True, dry_run=dry_run, output=output, yes=yes, deny_list=deny_list)
    return change_members(session, users, level, options)
