"""Warnings of `plan`, `apply` and `who` about the running server: levels that it cannot read in IAM, and suspended levels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kube_iam.access.changes import Kind
from kube_iam.access.levels import TargetKind
from kube_iam.cli.terminal import painted
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from kube_iam.access.changes import Plan
    from kube_iam.access.levels import ClusterAccess, Level
    from kube_iam.cli.session import AdminSession
    from kube_iam.core.membership_status import MembershipStatus
    from kube_iam.kube.webhook_faults import Review

SETTLE_SECONDS = 10.0
"""Seconds that `apply` waits for the server to load the changes. A ConfigMap that kubelet mounts may take a minute more."""


def warn_of_server(
    session: AdminSession, levels: Iterable[Level], *, settle: bool = False
) -> dict[str, MembershipStatus]:
    """Print on stderr the status of these levels in one running server, or why it is unknown. Raises nothing.

    Returns the states by level name, without the levels that the answer leaves out.

    With `settle` it waits until the server has read the levels, for `SETTLE_SECONDS` at most.
    """
    from kube_iam.report.membership_text import membership_warning

    asking = [level for level in levels if session.access.asks_membership(level)]
    if not asking:
        return {}
    states: dict[str, MembershipStatus] = {}
    why = "its answer does not say so"
    try:
        states = _ask(session, asking, settle=settle)
    except KubeIamError as error:
        why = error.message
    for level in asking:
        warning = membership_warning(level, states[level.name]) if level.name in states else ""
        if warning:
            click.echo(painted(f"warning: {warning}", "yellow"), err=True)
    unknown = ", ".join(level.name for level in asking if level.name not in states)
    if unknown:
        click.echo(f"note: whether the server can read IAM for {unknown} is not known: {why}", err=True)
    return states


def unchanged(access: ClusterAccess, plan: Plan) -> list[Level]:
    """Return the levels whose mapping the plan does not change. The server cannot know the others yet."""
    changed = {change.level for change in plan.changes if change.kind is Kind.MAPPING}
    return [level for level in access.levels if level.name not in changed]


def _ask(session: AdminSession, levels: Collection[Level], *, settle: bool) -> dict[str, MembershipStatus]:
    """Return the states by level name. Raises KubeIamError."""
    from kube_iam.access.desired import desired_entry
    from kube_iam.core.membership_status import MembershipState, requirement_name
    from kube_iam.kube.membership_query import ask_memberships

    entries = {level.name: desired_entry(session.access, level) for level in levels}
    names = {
        name: requirement_name(entry.iam_group, entry.key if entry.role_arn else "") for name, entry in entries.items()
    }
    pending = (MembershipState.NOT_MAPPED, MembershipState.NOT_READ)
    clock = session.clock
    end = clock.now() + (SETTLE_SECONDS if settle else 0)
    review = _way(session)
    while True:
        found = ask_memberships(review, tuple(names.values())).states
        if clock.now() >= end or not any(status.state in pending for status in found.values()):
            return {level: found[name] for level, name in names.items() if name in found}
        clock.sleep(0.5)


def _way(session: AdminSession) -> Callable[[str], Review]:
    """Return the function that queries the server: directly where its config.yaml is on this machine, else by kube-apiserver."""
    from kube_iam.denylist.prober import Prober
    from kube_iam.kube.membership_query import local_review

    mapping = session.access.mapping
    if mapping.kind is TargetKind.FILE:
        return local_review(Path(mapping.path))
    return Prober(session.checked_kube).review
