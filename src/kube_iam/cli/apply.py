"""`apply`: make IAM and the cluster what the access file says.

`destroy` carries its plan out with the same functions. Results are kept by change, for people and for programs: done, failed, of
unknown result, not tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import click

from kube_iam.access.apply import apply_plan, find_refusals
from kube_iam.access.changes import Change, Membership, Plan, Verb
from kube_iam.access.levels import ClusterAccess
from kube_iam.access.ports import Ports
from kube_iam.cli.access_output import AGAIN, print_data, remedy_half_way
from kube_iam.cli.changes import changes_made
from kube_iam.cli.progress import Display
from kube_iam.cli.session import AdminSession, Destination, pass_session, require_terminal
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
from kube_iam.cli.terminal import COLOUR_MARKS, note, page
from kube_iam.errors import Guarded, KubeIamError, WouldFail
from kube_iam.report.plan_text import headlines, plan_text

if TYPE_CHECKING:
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
    from kube_iam.cli.saved_plan import current_plan, read_plan, refuse_changed
    from kube_iam.cli.server_status import unchanged, warn_of_server
    from kube_iam.kube.events import Action, AuditRecord

    expected = read_plan(saved, adopt=adopt, force=force) if saved is not None else None
    session.warn_of_regions()
    access, ports = session.access, session.ports
    plan = plan_apply(access, ports, adopt=adopt, now=time.time())
    if saved is not None and expected is not None:
        refuse_changed(saved, expected, current_plan(session, plan))
    ask = None if yes or expected else partial(_is_confirmed, session.destination.of(access.cluster_id))
    # Audit events are written last: the document for programs does not wait for the cluster.
    with session.audit as audit, PlanResults(plan, output, session.destination, dry_run=dry_run) as results:
        if not dry_run and not plan.changes:
            refuse_failing(plan)
        if dry_run or not plan.changes:
            warn_of_server(session, unchanged(access, plan))
            return 0
        if not is_approved(plan, ports, results, force=force, ask=ask):
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
    from kube_iam.kube.events import Action, AuditRecord

    listed = {level.name for level in access.levels if level.members is not None}
    for change in done:
        if isinstance(change.item, Membership) and change.level in listed:
            action = Action.GRANTED if change.verb is Verb.CREATE else Action.REVOKED
            yield AuditRecord(action, change.item.user, change.level)


def _is_confirmed(where: str) -> bool:
    """Return whether the administrator answers yes. `where` names the cluster and the account."""
    return click.confirm(f"Apply these changes to {where}?", err=True)


PAST = {Verb.CREATE: "created", Verb.UPDATE: "updated", Verb.ADOPT: "adopted", Verb.DELETE: "deleted"}


class PlanResults:
    """Results of a plan's changes, which are made in the plan's order.

    As a context it prints the document for programs at its end, also where that is an error or Ctrl-C: nothing else goes to stdout.
    For people it prints the plan at once.
    """

    def __init__(self, plan: Plan, output: str, destination: Destination, *, dry_run: bool = False) -> None:
        """`output` is table, json or yaml."""
        self.output = output
        self.destination = destination
        self._plan = plan
        self._dry_run = dry_run
        self.names = headlines(plan)
        self._done = 0
        self._under_way = False
        self.made = changes_made()
        self._error: KubeIamError | None = None

    def __enter__(self) -> PlanResults:
        if self.output == "table":
            print_plan(self._plan, self.destination)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.output != "table":
            print_data(self.data(), self.output)

    def show_before_question(self) -> None:
        """Print the plan on stderr where stdout is for a program: a person is asked about it."""
        if self.output != "table":
            print_plan(self._plan, self.destination, err=True)

    def expect(self) -> None:
        """Record that all changes will be made from now on."""
        self.made = changes_made()
        self.made.expect(self.names, AGAIN)

    def begin(self, position: int) -> None:
        """Record that the change at this position, from 0, is under way, and those before it are done."""
        self._done, self._under_way = position, True

    def finish(self) -> None:
        """Record that all changes are done."""
        self.made.advance()
        self._done, self._under_way = len(self.names), False

    def fail(self, error: KubeIamError) -> None:
        """Record that the change under way failed, and print on stderr what is done and how to continue."""
        self._error = error
        said = f"{self._done} of {len(self.names)} changes are done; stopped at: {self.names[self._done]}"
        note(said)
        note(f"what is done stays done: {remedy_half_way(error)}")

    def done(self) -> tuple[Change, ...]:
        """Return the changes that are done."""
        return self._plan.changes[: self._done]

    def counts(self) -> str:
        """Return how many changes of the plan are done, by verb: `6 created, 1 deleted`."""
        done = [change.verb for change in self.done()]
        return ", ".join(f"{done.count(verb)} {PAST[verb]}" for verb in Verb if verb in done)

    def data(self) -> dict[str, object]:
        """Return the plan's data with a `result` of each change: created, updated, adopted or deleted, failed (with `error`),
        unknown, notTried, or planned in a dry run. `digest` is the plan's."""
        data = {**self._plan.as_data(), **self.destination.as_data()}
        changes = [
            {**change.as_data(), **self._result(position, change.verb)}
            for position, change in enumerate(self._plan.changes)
        ]
        data["changes"] = changes
        data["leftAlone"] = list(self._plan.left_alone)
        complete = not self._dry_run and not self._plan.failures and self._done == len(changes)
        return {"dryRun": self._dry_run, "complete": complete, **data}

    def _result(self, position: int, verb: Verb) -> dict[str, str]:
        if self._dry_run:
            return {"result": "planned"}
        if position < self._done:
            return {"result": PAST[verb]}
        if position > self._done or not self._under_way:
            return {"result": "notTried"}
        if self._error is None:
            return {"result": "unknown"}
        return {"result": "failed", "error": self._error.message}


def print_plan(plan: Plan, destination: Destination, *, err: bool = False) -> None:
    """Print the plan as text, coloured on a terminal. With `err` it goes to stderr."""
    page(plan_text(plan, COLOUR_MARKS, place=destination.place), err=err)


def refuse_guarded(plan: Plan, *, force: bool) -> None:
    """Raise Guarded if the plan needs --force and does not have it."""
    if plan.guards and not force:
        raise Guarded("; ".join(plan.guards), "nothing was changed; if that is what you mean, add --force")


def refuse_failing(plan: Plan) -> None:
    """Raise WouldFail if something of the file cannot be carried out, with --force neither, even if there are no changes beside it."""
    if plan.failures:
        raise WouldFail.listing("these changes would fail:", plan.failures, "nothing was changed; put them right first")


def check_again(plan: Plan, ports: Ports) -> None:
    """Raise WouldFail if the API server would refuse changes by now: a question can stay unanswered for long."""
    refuse_failing(replace(plan, failures=find_refusals(plan.changes, ports).failures))


def carry_out(plan: Plan, ports: Ports, display: Display, results: PlanResults, done: Callable[[str], None]) -> None:
    """Apply the plan and show its progress on stderr. Raises the error of the change that failed.

    `done` is called once with what has been done in words, also where that is not all.
    """
    results.expect()
    try:
        with display.changes(results.names, results.made) as show:

            def progress(position: int) -> None:
                results.begin(position)
                show(position)

            applied = apply_plan(plan, ports, progress)
    except KeyboardInterrupt:
        done(f"stopped half-way: {changes_made().count}")
        raise
    if applied.error is not None:
        results.fail(applied.error)
        if applied.done:
            done(f"{len(applied.done)} of {len(plan.changes)} changes, then an error")
        raise applied.error
    results.finish()
    done(results.counts())
    if results.output == "table":
        click.echo(f"Done: {results.counts()}.")


def is_approved(plan: Plan, ports: Ports, results: PlanResults, *, force: bool, ask: Callable[[], bool] | None) -> bool:
    """Return whether the plan may be carried out. `ask` puts the question; without it nothing is asked.

    Raises KubeIamError for a plan that would fail or that a guard refuses, where there is no terminal to ask on, and where the plan
    changed while the question was open.
    """
    refuse_failing(plan)
    refuse_guarded(plan, force=force)
    if ask is None:
        return True
    require_terminal()
    results.show_before_question()
    if not ask():
        click.echo("Nothing was changed.", err=True)
        return False
    check_again(plan, ports)
    return True
