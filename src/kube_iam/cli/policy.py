"""`policy`: the IAM policy that the server, the sync, an administrator, an operator or an auditor needs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kube_iam.cli.global_options import GlobalOptions
from kube_iam.cli.shared_options import authenticator_options, file_option, pass_global_options
from kube_iam.cli.terminal import page
from kube_iam.errors import UsageError

JOBS = ("server", "sync", "admin", "operator", "auditor")


@click.command("policy")
@authenticator_options
@file_option
@click.argument("name", metavar="|".join(JOBS), type=click.Choice(JOBS))
@click.option(
    "--temporary",
    is_flag=True,
    help="With operator: allow `grant --for`. This includes iam:PutUserPolicy, which lets its holder write any rights for any user.",
)
@pass_global_options
def command(options: GlobalOptions, name: str, file: str, temporary: bool) -> None:
    """Print an IAM policy, as JSON.

    server: the permissions that the server needs to check memberships: iam:GetGroup and iam:GetRole. For an access file it covers
    levels that are added later: groups by the cluster's IAM path, roles by the prefix of their names. With -c it covers the
    entries that the server's own config.yaml has now. Attach it to the role or user that the server runs as.

    sync: the same for `kube-iam sync`, for the levels with membershipCheck: rbac.

    admin: `plan`, `apply` and `destroy`. It has the power of an administrator of the AWS account: its holder writes policies and
    attaches them. operator: `grant`, `revoke` and `who`, which change members of the levels' groups and nothing else. auditor:
    `who-can`, `explain` and `report`, which change nothing and read the users, groups, roles and policies of the account.

    `kube-iam manifest rbac --for JOB` prints the rights in the cluster for the same jobs.
    """
    if temporary and name != "operator":
        raise UsageError("--temporary goes with operator")
    if name == "sync":
        _print_sync(options, file)
        return
    if name != "server":
        _print_job(options, name, file, temporary=temporary)
        return
    document, needed = _of_config(Path(options.config)) if options.config else _of_access(file)
    page(json.dumps(document, indent=2))
    if not document["Statement"]:
        # IAM takes no policy without a statement.
        click.echo("kube-iam: note: these mappings require no membership: the server needs no permissions", err=True)
    elif not needed:
        click.echo(
            f"kube-iam: note: no level of {file} requires membership now: the server does not need this yet", err=True
        )
    _warn_of_length(document)


def _print_sync(options: GlobalOptions, file: str) -> None:
    """Print the policy of `kube-iam sync`."""
    from kube_iam.access.sync_job import sync_document, synced_levels
    from kube_iam.cli.session import read_access

    if options.config:
        raise UsageError("policy sync is about an access file, and -c names the server's config.yaml", "use -f")
    access = read_access(file)
    document = sync_document(access)
    page(json.dumps(document, indent=2))
    if not synced_levels(access):
        click.echo(f"kube-iam: note: no level of {file} has membershipCheck: rbac: nothing is synced", err=True)
    _warn_of_length(document)


def _print_job(options: GlobalOptions, name: str, file: str, *, temporary: bool) -> None:
    """Print the policy of a job, and on stderr what it does not allow, or what else it allows."""
    from kube_iam.access.admin_policy import admin_document, auditor_document, needs_user_policies, operator_document
    from kube_iam.cli.session import read_access

    if options.config:
        raise UsageError(f"policy {name} is about an access file, and -c names the server's config.yaml", "use -f")
    access = read_access(file)
    if name == "auditor":
        document = auditor_document(access)
    else:
        document = admin_document(access) if name == "admin" else operator_document(access, temporary=temporary)
    page(json.dumps(document, indent=2))
    if name == "admin":
        note = "this policy has the power of an administrator of the AWS account: give it to those alone"
        click.echo(f"kube-iam: note: {note} (docs/rights.md)", err=True)
    elif temporary:
        note = "with iam:PutUserPolicy its holder can write any rights for any user, their own included"
        click.echo(f"kube-iam: warning: {note} (docs/rights.md)", err=True)
    elif name == "operator" and needs_user_policies(access):
        note = "without --temporary it allows neither `grant --for` nor the end of such access before its time"
        click.echo(f"kube-iam: note: {note}", err=True)
    _warn_of_length(document)


def _warn_of_length(document: dict[str, object]) -> None:
    from kube_iam.core.server_policy import LONGEST_MANAGED

    length = len(json.dumps(document, separators=(",", ":")))
    if length > LONGEST_MANAGED:
        click.echo(
            f"kube-iam: note: {length} characters; AWS takes {LONGEST_MANAGED} in a managed policy: give the groups and roles"
            " a path of their own and allow all below it",
            err=True,
        )


def _of_access(file: str) -> tuple[dict[str, object], bool]:
    """Return the policy, and whether any level needs it now."""
    from kube_iam.access.server_policy import server_document
    from kube_iam.cli.session import read_access

    access = read_access(file)
    return server_document(access), any(access.asks_membership(level) for level in access.levels)


def _of_config(path: Path) -> tuple[dict[str, object], bool]:
    from kube_iam.config.mounted import load_mounted_mappings
    from kube_iam.config.server import load_server_config
    from kube_iam.core.server_policy import arn_patterns, server_policy

    config, _ = load_server_config(path, {})
    table = load_mounted_mappings(path)[0].table
    # The server sees one account, its own: that of the roles.
    accounts = {requirement.role.split(":")[4] for requirement in table.requirements}
    account = accounts.pop() if len(accounts) == 1 else ""
    groups = dict.fromkeys(
        [*(requirement.iam_group for requirement in table.requirements), *table.group_mappings.iam_groups]
    )
    document = server_policy(
        [arn for name in groups for arn in arn_patterns("group", name, config.partition, account)],
        [
            arn
            for requirement in table.requirements
            for arn in arn_patterns("role", requirement.role_name, config.partition, requirement.role.split(":")[4])
        ],
        nodes=table.needs_ec2,
        node_role=config.ec2.role_arn,
    )
    return document, bool(document["Statement"])
