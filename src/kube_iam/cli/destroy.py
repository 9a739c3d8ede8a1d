"""`destroy`: take away everything that `apply` made."""

from __future__ import annotations

import click

from kube_iam.access.changes import Plan
from kube_iam.cli import access_session
from kube_iam.cli.access_options import (
    aws_options,
    cluster_options,
    dry_run_option,
    file_option,
    force_option,
    yes_option,
)
from kube_iam.cli.access_session import Where
from kube_iam.cli.options import global_options


@click.command("destroy")
@global_options
@file_option
@yes_option
@dry_run_option
@force_option
@aws_options
@cluster_options
def command(file: str, yes: bool, dry_run: bool, force: bool, **where: str) -> int:
    """Undo everything that apply made, for levels that have left the file too. Nothing else is touched."""
    from kube_iam.access.plan import plan_destroy
    from kube_iam.access.trail import Deed, Record
    from kube_iam.cli.access_output import carry_out, check_again, print_plan, refuse_failing, refuse_guarded
    from kube_iam.cli.access_progress import Display
    from kube_iam.cli.trail import trail_of

    access = access_session.open_access(file)
    display = Display()
    ports = access_session.open_ports(access, Where(**where), display.waiting)
    plan = plan_destroy(access, ports)
    if not plan.changes:
        return _report(plan)
    print_plan(plan)
    if dry_run:
        return 0
    refuse_failing(plan)
    refuse_guarded(plan, force=force)
    if not yes:
        access_session.require_terminal()
        if (
            click.prompt(f"Type the cluster's name, {access.name}, to go on", default="", show_default=False, err=True)
            != access.name
        ):
            click.echo("Nothing was changed.", err=True)
            return 1
        check_again(plan, ports)
    with trail_of(access, Where(**where)) as trail:
        carry_out(plan, ports, display, lambda done: trail.add(Record(Deed.DESTROYED, access.name, detail=done)))
    return 0


def _report(plan: Plan) -> int:
    """Say that nothing is left, or what was left alone; return the exit code."""
    if not plan.left_alone:
        click.echo(f"Nothing of {plan.cluster} is left.")
        return 0
    click.echo(f"Nothing is left that is marked as {plan.cluster}'s.")
    for found in plan.left_alone:
        click.echo(f"left alone: {found}")
    return 1
