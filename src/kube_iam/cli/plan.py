"""`plan`: what `apply` would change."""

from __future__ import annotations

import time

import click

from kube_iam.cli import access_session
from kube_iam.cli.access_options import adopt_option, aws_options, cluster_options, file_option, output_option
from kube_iam.cli.access_session import Where
from kube_iam.cli.options import global_options

CHANGES = 2


@click.command("plan")
@global_options
@file_option
@adopt_option
@click.option(
    "--detailed-exitcode", is_flag=True, help="Exit with 2 when there is something to change, with 0 when not."
)
@output_option
@aws_options
@cluster_options
def command(file: str, adopt: bool, detailed_exitcode: bool, output: str, **where: str) -> int:
    """Show what apply would change, in the order it would happen, and change nothing."""
    from kube_iam.access.member_states import other_entries
    from kube_iam.access.plan import plan_apply
    from kube_iam.access.ports import MappingEntry
    from kube_iam.cli.access_output import print_plan
    from kube_iam.cli.access_progress import Display
    from kube_iam.cli.server_status import unchanged, warn_of_server

    access = access_session.open_access(file)
    ports = access_session.open_ports(access, Where(**where), Display().waiting)
    plan = plan_apply(access, ports, adopt=adopt, now=time.time())
    print_plan(plan, output)
    changed = {change.item.key for change in plan.changes if isinstance(change.item, MappingEntry)}
    staying = [entry for entry in other_entries(access, plan.entries) if entry.key not in changed]
    if staying:
        said = f"note: entries in {plan.target} beside these levels, which stay as they are: {len(staying)}"
        click.echo(f"{said}; `kube-iam who --all` lists them", err=True)
    warn_of_server(access, Where(**where), unchanged(access, plan))
    return CHANGES if detailed_exitcode and plan.changes else 0
