"""How the commands about access print: text for people, JSON or YAML for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import click

from kube_iam.access.apply import Applied, apply_plan
from kube_iam.access.changes import Change, Plan, Verb
from kube_iam.access.observed import Ports
from kube_iam.access.preflight import find_refusals
from kube_iam.cli.access_progress import Display
from kube_iam.cli.changes_made import changes_made
from kube_iam.cli.terminal import page, painted
from kube_iam.errors import AccessDenied, Conflict, Guarded, KubeIamError, Throttled, Unreachable, WouldFail
from kube_iam.kube.errors import status_of
from kube_iam.report.data import as_json, as_yaml
from kube_iam.report.plan_text import headline, plan_text

PAST = {Verb.CREATE: "created", Verb.UPDATE: "updated", Verb.ADOPT: "adopted", Verb.DELETE: "deleted"}
AGAIN = "run the same command again: it goes on from here"


def print_data(data: object, output: str) -> None:
    """Print as JSON or YAML."""
    page(as_json(data) if output == "json" else as_yaml(data))


def print_plan(plan: Plan, output: str = "table") -> None:
    """Print the plan: coloured on a terminal, or as data."""
    if output == "table":
        page(plan_text(plan, painted))
    else:
        print_data(plan.as_data(), output)


def refuse_guarded(plan: Plan, *, force: bool) -> None:
    """Raise Guarded when the plan needs --force and has it not."""
    if plan.guards and not force:
        raise Guarded("; ".join(plan.guards), "nothing was changed; if that is what you mean, add --force")


def refuse_failing(plan: Plan) -> None:
    """Raise WouldFail when changes of the plan would be refused. --force does not help: they would fail all the same."""
    if plan.failures:
        raise WouldFail.listing("these changes would fail:", plan.failures, "nothing was changed; put them right first")


def check_again(plan: Plan, ports: Ports) -> None:
    """Raise WouldFail when changes of the plan would be refused by now: a question can stay unanswered for long."""
    refuse_failing(replace(plan, failures=find_refusals(plan.changes, ports).failures))


def carry_out(plan: Plan, ports: Ports, display: Display, done: Callable[[str], None]) -> None:
    """Apply the plan and show its progress. Raises the error of the change that failed, once it has said what is done.

    `done` hears in words what has been done, also where that is not all.
    """
    made = changes_made()
    headlines = [headline(change) for change in plan.changes]
    made.expect(headlines, AGAIN)
    try:
        with display.changes(plan) as progress:

            def show(position: int, change: Change) -> None:
                if position:
                    made.finish(headlines[position - 1])
                made.begin(headlines[position])
                progress(position, change)

            applied = apply_plan(plan, ports, show)
            if applied.error is None and headlines:
                made.finish(headlines[-1])
    except KeyboardInterrupt:
        done(f"stopped half-way: {made.count}")
        raise
    if applied.error is not None:
        if applied.done:
            done(f"{len(applied.done)} of {len(plan.changes)} changes, then an error")
        raise _explained(applied, len(plan.changes))
    counts = ", ".join(f"{plan.count(verb)} {PAST[verb]}" for verb in Verb if plan.count(verb))
    done(counts)
    click.echo(f"Done: {counts}.")


def _explained(applied: Applied, total: int) -> KubeIamError:
    assert applied.error is not None
    assert applied.failed is not None
    click.echo(f"{len(applied.done)} of {total} changes are done; stopped at: {headline(applied.failed)}", err=True)
    click.echo(f"what is done stays done: {remedy_half_way(applied.error)}", err=True)
    return applied.error


def remedy_half_way(error: KubeIamError) -> str:
    """Return what to do after an error half way. A repetition is offered only where it can end otherwise."""
    if isinstance(error, (Unreachable, Throttled, Conflict)):
        return AGAIN
    if isinstance(error, AccessDenied):
        return f"give these AWS credentials that permission, then {AGAIN}"
    if status_of(error) in (401, 403):
        return (
            "these credentials may not go on in the cluster; with a --context that may, the next run goes on from here"
        )
    return "put that right first; the next run goes on from here"
