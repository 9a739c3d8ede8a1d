"""How the commands about access print: text for people, JSON or YAML for programs."""

from __future__ import annotations

from dataclasses import replace

from kube_iam.access.apply import find_refusals
from kube_iam.access.changes import Plan
from kube_iam.access.ports import Ports
from kube_iam.cli.terminal import page, painted
from kube_iam.errors import AccessDenied, Conflict, Guarded, KubeIamError, Throttled, Unreachable, WouldFail
from kube_iam.kube.errors import status_of
from kube_iam.report.data import as_json, as_yaml
from kube_iam.report.plan_text import plan_text

AGAIN = "run the same command again: it goes on from here"


def print_data(data: object, output: str) -> None:
    """Print as JSON or YAML."""
    page(as_json(data) if output == "json" else as_yaml(data))


def print_plan(plan: Plan, output: str = "table", *, err: bool = False) -> None:
    """Print the plan: coloured on a terminal, or as data. With `err` text goes to stderr."""
    if output == "table":
        page(plan_text(plan, painted), err=err)
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
