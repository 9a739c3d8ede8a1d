"""`who`: the members of the levels, and what keeps them from signing in."""

from __future__ import annotations

import time
from shlex import quote
from typing import TYPE_CHECKING

import click

from kube_iam.cli.revocation import deny_list_option
from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import (
    aws_options,
    cluster_options,
    completing,
    file_option,
    global_options,
    output_option,
)
from kube_iam.cli.terminal import page
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from kube_iam.access.levels import ClusterAccess
    from kube_iam.access.mapping import MappingEntry
    from kube_iam.access.members import LevelMembers


@click.command("who")
@click.argument("level", required=False, metavar="[LEVEL]", shell_complete=completing("complete_levels"))
@global_options
@file_option
@click.option("--by-user", is_flag=True, help="A line per user, with the levels that they are in.")
@click.option("--all", "everything", is_flag=True, help="List the other entries of the mapping too.")
@deny_list_option
@output_option
@aws_options
@cluster_options
@pass_session
def command(
    session: AdminSession, level: str | None, by_user: bool, everything: bool, deny_list: str, output: str
) -> int:
    """List the members of all levels, or of one, and temporary access with the time that is left.

    Prints until when members are denied. Warns of levels that the running server cannot read in IAM, and of suspended levels.
    Counts other entries of the mapping; --all lists them, with those of mapUsers and mapAccounts.

    Denials of access keys and of roles' unique ids are matched where the caller has iam:GetAccessKeyLastUsed and iam:GetRole.
    """
    from kube_iam.access import members
    from kube_iam.access.desired import other_entries
    from kube_iam.access.inventory import Inventory, check_caller
    from kube_iam.access.level_reader import LevelReader
    from kube_iam.access.temporary import temporary_in_force
    from kube_iam.cli.access_output import print_data
    from kube_iam.cli.denied import read_denied
    from kube_iam.cli.server_status import warn_of_server
    from kube_iam.config.suggestions import suggestion
    from kube_iam.report.members_data import entries_data, levels_data, users_data
    from kube_iam.report.members_text import entries_table, levels_table, users_table
    from kube_iam.report.membership_text import states_data

    access = session.access
    session.warn_of_regions()
    levels = (members.find_level(access, level, suggestion),) if level else access.levels
    check_caller(access, session.iam)
    now = time.time()
    entries, beside = _entries(session)
    reader = LevelReader(access, session.iam, Inventory(entries=entries))
    found = members.who(reader, levels, temporary_in_force(access, levels, entries or (), now), entries)
    denied = read_denied(session, lambda: found, deny_list, now)
    others = (*other_entries(access, entries or ()), *beside)
    asked = [level for level, each in zip(levels, found, strict=True) if each.users is not None]
    if output == "table":
        page(users_table(found, now, denied) if by_user else levels_table(found, now, denied))
        if everything and others:
            page("\n" + entries_table(others))
    else:
        states = states_data(levels, warn_of_server(session, asked) or {})
        data = users_data(found, now, denied, states) if by_user else levels_data(found, now, denied, states)
        print_data({"members": data, "otherEntries": entries_data(others)} if everything else data, output)
    _print_void(found)
    _print_listed(access, found)
    if others and not everything:
        said = f"note: entries in {access.mapping.describe()} beside these levels: {len(others)}"
        click.echo(f"{said}; `kube-iam who --all` lists them", err=True)
    if output == "table":
        warn_of_server(session, asked)
    return 0


def _print_listed(access: ClusterAccess, found: tuple[LevelMembers, ...]) -> None:
    """Print which levels have their members in the file, and that an apply removes the differences."""
    for each in found:
        if each.listed is not None:
            drift = (
                "; what differs in IAM is changed by the next `kube-iam apply`" if each.unlisted or each.absent else ""
            )
            click.echo(
                f"note: {access.place_of(each.listed)}, lists the members of level {each.level}{drift}", err=True
            )


def _print_void(found: tuple[LevelMembers, ...]) -> None:
    for each in found:
        for who, why in each.void:
            said = f"note: the temporary access of {who.user_name} to {each.level} admits nobody: {why}"
            click.echo(f"{said}; `kube-iam revoke {quote(who.user_name)} {each.level}` removes it", err=True)


def _entries(session: AdminSession) -> tuple[tuple[MappingEntry, ...] | None, tuple[MappingEntry, ...]]:
    """Return the entries of the mapping, and all else that it admits; None and nothing, with a warning, where it cannot be read."""
    try:
        store = session.mapping_store
        return store.entries(), store.others()
    except KubeIamError as error:
        click.echo(f"warning: temporary access is not known: {error}", err=True)
        return None, ()
