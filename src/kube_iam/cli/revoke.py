"""`revoke`: remove users from a level."""

from __future__ import annotations

import click

from kube_iam.cli.revocation import RevocationOptions, deny_list_option, revocation_options
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


@click.command("revoke")
@member_arguments
@global_options
@file_option
@click.option(
    "--now",
    is_flag=True,
    help="Deny them the level at once too, whatever session they hold, and print when they are out.",
)
@click.option("--force", is_flag=True, help="Revoke your own access too.")
@revocation_options
@deny_list_option
@yes_option
@dry_run_option
@output_option
@aws_options
@cluster_options
@pass_session
def command(
    session: AdminSession, users: tuple[str, ...], level: str | None, now: bool, force: bool, reason: str, cache_ttl: int,
    no_wait: bool, deny_list: str, yes: bool, dry_run: bool, output: str,
) -> int:  # fmt: skip
    """Revoke an access level from users, temporary access too. With --now their sessions are refused at once.

    For an existing IAM group, which is not kube-iam's, what else it gives is shown, and asked about.

    Where kube-apiserver asks the server before each request (`manifest authorizer`), this waits until it refuses the users.

    --now needs server.denyList in the servers' config.yaml. --cache-ttl goes with it.
    """
    from kube_iam.cli.membership import MemberOptions, change_members

    level = require_words("revoke", session, users, level)
    revocation = RevocationOptions(deny_list, reason, cache_ttl, not no_wait) if now else None
    options = MemberOptions(
        into=False,
        dry_run=dry_run,
        output=output,
        yes=yes,
        reason=reason,
        force=force,
        wait=not no_wait,
        deny_list=deny_list,
    )
    return change_members(session, users, level, options, revocation)
