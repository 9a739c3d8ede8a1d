"""Results of `apply` and `destroy` by change, for people and for programs: done, failed, of unknown result, not tried."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import click

from kube_iam.access.apply import apply_plan
from kube_iam.access.changes import Change, Plan, Verb
from kube_iam.access.ports import Ports
from kube_iam.cli.access_output import AGAIN, print_data, print_plan, remedy_half_way
from kube_iam.cli.access_progress import Display
from kube_iam.cli.changes_made import changes_made
from kube_iam.errors import KubeIamError
from kube_iam.report.plan_text import headline

PAST = {Verb.CREATE: "created", Verb.UPDATE: "updated", Verb.ADOPT: "adopted", Verb.DELETE: "deleted"}


class PlanResults:
    """Results of a plan's changes, which are made in the plan's order.

    As a context it prints the document for programs at its end, also where that is an error or Ctrl-C: nothing else goes to stdout.
    For people it prints the plan at once.
    """

    def __init__(self, plan: Plan, output: str, *, dry_run: bool = False) -> None:
        """`output` is table, json or yaml."""
        self.output = output
        self._plan = plan
        self._dry_run = dry_run
        self._names = [headline(change) for change in plan.changes]
        self._done = 0
        self._under_way = False
        self._error: KubeIamError | None = None

    def __enter__(self) -> PlanResults:
        if self.output == "table":
            print_plan(self._plan)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.output != "table":
            print_data(self.data(), self.output)

    def show_before_question(self) -> None:
        """Print the plan on stderr where stdout is for a program: a person is asked about it."""
        if self.output != "table":
            print_plan(self._plan, err=True)

    def expect(self) -> None:
        """State that all changes will be made from now on."""
        changes_made().expect(self._names, AGAIN)

    def begin(self, position: int) -> None:
        """State that the change at this position, from 0, is under way, and those before it are done."""
        if self._under_way:
            self.finish()
        assert position == self._done
        self._under_way = True
        changes_made().begin(self._names[position])

    def finish(self) -> None:
        """State that the change under way is done."""
        changes_made().finish(self._names[self._done])
        self._under_way = False
        self._done += 1

    def fail(self, error: KubeIamError) -> None:
        """State that the change under way failed, and say on stderr how far it came and how to go on."""
        self._error = error
        said = f"{self._done} of {len(self._names)} changes are done; stopped at: {self._names[self._done]}"
        click.echo(said, err=True)
        click.echo(f"what is done stays done: {remedy_half_way(error)}", err=True)

    def counts(self) -> str:
        """Return how many changes of the plan are done, by verb: `6 created, 1 deleted`."""
        done = [change.verb for change in self._plan.changes[: self._done]]
        return ", ".join(f"{done.count(verb)} {PAST[verb]}" for verb in Verb if verb in done)

    def data(self) -> dict[str, object]:
        """Return the plan's data with a `result` of each change: created, updated, adopted or deleted, failed (with `error`),
        unknown, notTried, or planned in a dry run. `digest` is the plan's."""
        data = self._plan.as_data()
        changes = [
            {**change.as_data(), **self._result(position, change.verb)}
            for position, change in enumerate(self._plan.changes)
        ]
        data["changes"] = changes
        data["leftAlone"] = list(self._plan.left_alone)
        return {"dryRun": self._dry_run, "complete": not self._dry_run and self._done == len(changes), **data}

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


def carry_out(plan: Plan, ports: Ports, display: Display, results: PlanResults, done: Callable[[str], None]) -> None:
    """Apply the plan and show its progress on stderr. Raises the error of the change that failed.

    `done` is called once with what has been done in words, also where that is not all.
    """
    results.expect()
    try:
        with display.changes(plan) as progress:

            def show(position: int, change: Change) -> None:
                results.begin(position)
                progress(position, change)

            applied = apply_plan(plan, ports, show)
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
