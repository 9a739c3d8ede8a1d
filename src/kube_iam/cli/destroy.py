"""`destroy`: delete everything that `apply` made."""

from __future__ import annotations

from functools import partial

import click

from kube_iam.access.changes import Plan
from kube_iam.cli.session import AdminSession, Destination, pass_session
from kube_iam.cli.shared_options import (
    aws_options,
    cluster_options,
    dry_run_option,
    file_option,
    force_option,
    global_options,
    output_option,
    yes_option,
)
from kube_iam.errors import KubeIamError

_GONE = "if the cluster is gone, add --iam-only, which deletes what is in IAM alone"
_NOT_READ = (
    "note: --iam-only leaves bindings, the mapping ({mapping}), and policies of `grant --for`, which end by themselves"
)


@click.command("destroy")
@global_options
@file_option
@yes_option
@dry_run_option
@force_option
@click.option(
    "--iam-only", is_flag=True, help="Delete what is in IAM alone, where the cluster is gone. Its mapping is not read."
)
@output_option
@aws_options
@cluster_options
@pass_session
def command(session: AdminSession, yes: bool, dry_run: bool, force: bool, iam_only: bool, output: str) -> int:
    """Undo everything that apply made, for levels that have left the file too. Nothing else is touched."""
    from kube_iam.access.inventory import check_caller
    from kube_iam.access.plan import plan_destroy
    from kube_iam.cli.apply import PlanResults, carry_out, is_approved
    from kube_iam.cli.changes import AuditLog
    from kube_iam.kube.events import Action, AuditRecord

    access = session.access
    session.warn_of_regions()
    if not iam_only:
        check_caller(access, session.iam)
        _require_cluster(session)
    ports = session.iam_ports if iam_only else session.ports
    plan = plan_destroy(access, ports)
    destination = Destination(account=access.account) if iam_only else session.destination
    if not plan.changes:
        return _report(plan, output, destination, dry_run=dry_run, iam_only=iam_only)
    ask = None if yes else partial(_is_confirmed, access.name, destination.of(access.cluster_id))
    # Audit events are written last: the document for programs does not wait for the cluster.
    with (
        AuditLog(None) if iam_only else session.audit as audit,
        PlanResults(plan, output, destination, dry_run=dry_run) as results,
    ):
        if iam_only:
            click.echo(_NOT_READ.format(mapping=access.mapping.describe()), err=True)
        if dry_run:
            return 0
        if not is_approved(plan, ports, results, force=force, ask=ask):
            return 1
        carry_out(
            plan,
            ports,
            session.display,
            results,
            lambda done: audit.add(AuditRecord(Action.DESTROYED, access.name, detail=done)),
        )
    return 0


def _is_confirmed(name: str, where: str) -> bool:
    """Return whether the administrator types the cluster's name. `where` names the cluster and the account."""
    said = f"Type the cluster's name, {name}, to make these changes to {where}"
    return bool(click.prompt(said, default="", show_default=False, err=True) == name)


def _require_cluster(session: AdminSession) -> None:
    """Raise why the cluster cannot be reached, if the file needs it, with the remedy for a cluster that is gone."""
    try:
        session.require_eks_cluster()
        if session.cluster is not None:
            session.cluster.whoami()
    except KubeIamError as error:
        error.hint = f"{error.hint}; {_GONE}" if error.hint else _GONE
        raise


def _report(plan: Plan, output: str, destination: Destination, *, dry_run: bool, iam_only: bool) -> int:
    """Print that nothing is left, or what was left alone; return the exit code."""
    from kube_iam.cli.access_output import print_data
    from kube_iam.cli.apply import PlanResults

    code = 1 if plan.left_alone else 0
    if output != "table":
        print_data(PlanResults(plan, output, destination, dry_run=dry_run).data(), output)
    elif plan.left_alone:
        click.echo(f"Nothing is left that is marked as {plan.cluster}'s.")
        for found in plan.left_alone:
            click.echo(f"left alone: {found}")
    elif iam_only:
        click.echo(f"Nothing of {plan.cluster} is left in IAM; its bindings and its mapping were not read.")
    else:
        click.echo(f"Nothing of {plan.cluster} is left.")
    return code
