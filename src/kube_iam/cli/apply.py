"""`apply`: make IAM and the cluster what the access file says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import (
    adopt_option,
    aws_options,
    cluster_options,
    completing,
    dry_run_option,
    file_option,
    force_option,
    global_options,
    output_option,
    yes_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kube_iam.access.changes import Change
    from kube_iam.access.levels import ClusterAccess
    from kube_iam.kube.events import AuditRecord


@click.command("apply")
@click.argument(
    "saved",
    metavar="[PLAN]",
    required=False,
    type=click.Path(path_type=Path),
    shell_complete=completing("complete_files"),
)
@global_options
@file_option
@yes_option
@dry_run_option
@adopt_option
@force_option
@output_option
@aws_options
@cluster_options
@pass_session
def command(
    session: AdminSession, saved: Path | None, yes: bool, dry_run: bool, adopt: bool, force: bool, output: str
) -> int:
    """Make IAM and the cluster match the access file: show the plan, ask, and carry it out.

    A run that was stopped is finished by the next one.

    With PLAN, a file of `plan --out`, nothing is asked. The plan is computed again, and carried out only if it is the saved one.
    """
    from kube_iam.access.plan import plan_apply
    from kube_iam.cli.plan_results import PlanResults, carry_out, is_approved
    from kube_iam.cli.saved_plan import current_plan, read_plan, refuse_changed
    from kube_iam.cli.server_status import unchanged, warn_of_server
    from kube_iam.kube.events import Action, AuditRecord

    expected = read_plan(saved, adopt=adopt, force=force) if saved is not None else None
    session.warn_of_regions()
    access, ports = session.access, session.ports
    plan = plan_apply(access, ports, adopt=adopt, now=time.time())
    if saved is not None and expected is not None:
        refuse_changed(saved, expected, current_plan(session, plan))
    # Audit events are written last: the document for programs does not wait for the cluster.
    with session.audit as audit, PlanResults(plan, output, dry_run=dry_run) as results:
        if dry_run or not plan.changes:
            warn_of_server(session, unchanged(access, plan))
            return 0
        if not is_approved(plan, ports, results, force=force, ask=None if yes or expected else _is_confirmed):
            return 1
        carry_out(
            plan,
            ports,
            session.display,
            results,
            lambda done: audit.add(
                AuditRecord(Action.APPLIED, access.name, detail=done), *_member_records(access, results.done())
            ),
        )
    warn_of_server(session, access.levels, settle=True)
    return 0


def _member_records(access: ClusterAccess, done: tuple[Change, ...]) -> Iterator[AuditRecord]:
    """Yield a record for each user who joined or left a level whose members the file lists."""
    from kube_iam.access.changes import Membership, Verb
    from kube_iam.kube.events import Action, AuditRecord

    listed = {level.name for level in access.levels if level.members is not None}
    for change in done:
        if isinstance(change.item, Membership) and change.level in listed:
            action = Action.GRANTED if change.verb is Verb.CREATE else Action.REVOKED
            yield AuditRecord(action, change.item.user, change.level)


def _is_confirmed() -> bool:
    """Return whether the administrator answers yes."""
    return click.confirm("Apply these changes?", err=True)
