"""`plan`: what `apply` would change."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kube_iam.cli.revocation import deny_list_option
from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import (
    adopt_option,
    aws_options,
    cluster_options,
    completing,
    file_option,
    global_options,
    output_option,
)
from kube_iam.cli.terminal import painted

if TYPE_CHECKING:
    from kube_iam.denylist.denied_members import Denied

CHANGES = 2


@click.command("plan")
@global_options
@file_option
@adopt_option
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit with 2 when there is something to change, with 0 when not. With nothing but what would fail, exit with 1.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=None,
    shell_complete=completing("complete_files"),
    help="Save the plan, for `apply FILE`. Only you may read the file.",
)
@click.option("--force", is_flag=True, help="Record in --out that `apply FILE` takes --force.")
@deny_list_option
@output_option
@aws_options
@cluster_options
@pass_session
def command(
    session: AdminSession,
    adopt: bool,
    detailed_exitcode: bool,
    out: Path | None,
    force: bool,
    deny_list: str,
    output: str,
) -> int:
    """Show what apply would change, in the order it would happen, and change nothing.

    Says which members of the levels are denied until when, as `who` does. A plan saved with --out is carried out by `apply FILE`,
    as long as nothing has changed.
    """
    from kube_iam.access.changes import Kind, Verb
    from kube_iam.access.desired import other_entries
    from kube_iam.access.level_reader import LevelReader
    from kube_iam.access.mapping import MappingEntry
    from kube_iam.access.members import who
    from kube_iam.access.plan import plan_apply
    from kube_iam.access.temporary import temporary_in_force
    from kube_iam.cli.access_output import print_data
    from kube_iam.cli.apply import print_plan, refuse_failing
    from kube_iam.cli.denied import read_denied
    from kube_iam.cli.saved_plan import save_plan
    from kube_iam.cli.server_status import unchanged, warn_of_server
    from kube_iam.report.members_data import denied_data, entries_data
    from kube_iam.report.membership_text import states_data

    access, now = session.access, time.time()
    session.warn_of_regions()
    ports = session.ports
    plan = plan_apply(access, ports, adopt=adopt, now=now)
    if output == "table":
        print_plan(plan, session.destination)
    if out is not None:
        save_plan(session, out, plan, adopt=adopt, force=force)
    changed = {change.item.key for change in plan.changes if isinstance(change.item, MappingEntry)}
    staying = [entry for entry in other_entries(access, plan.entries) if entry.key not in changed]
    if staying:
        said = f"note: entries in {plan.target} beside these levels, which stay as they are: {len(staying)}"
        click.echo(f"{said}; `kube-iam who --all` lists them", err=True)
    made = {change.level for change in plan.changes if change.kind is Kind.GROUP and change.verb is Verb.CREATE}
    levels = [level for level in access.levels if level.name not in made]
    temporary = temporary_in_force(access, levels, plan.entries, now)
    reader = LevelReader(access, session.iam, plan.inventory)
    denied = read_denied(session, lambda: who(reader, levels, temporary), deny_list, now) if levels else {}
    _warn_of(denied)
    states = warn_of_server(session, unchanged(access, plan)) or {}
    if output != "table":
        facts = {
            "otherEntries": entries_data(staying),
            "denied": denied_data(denied),
            "server": [{"level": name, **state} for name, state in states_data(access.levels, states).items()],
        }
        print_data({**plan.as_data(), **session.destination.as_data(), **facts}, output)
    if detailed_exitcode and not plan.changes:
        refuse_failing(plan)
    return CHANGES if detailed_exitcode and plan.changes else 0


def _warn_of(denied: Denied) -> None:
    from kube_iam.report.members_text import denied_text

    for (level, user), denial in denied.items():
        said = f"warning: {user} in level {level} is {denied_text(denial)}"
        click.echo(painted(f"{said}; `kube-iam undeny {denial.name}` removes that denial", "yellow"), err=True)
