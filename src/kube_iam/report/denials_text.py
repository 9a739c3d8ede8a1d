"""Denials as a table, and as data."""

from __future__ import annotations

from collections.abc import Iterable

from kube_iam.denylist.denial import Denial
from kube_iam.report.members_text import table


def denials_table(denials: Iterable[Denial]) -> str:
    """A line per denial."""
    rows = ((each.value, _where(each), each.end, each.actor or "-", each.reason or "-", each.name) for each in denials)
    return table(("DENIED", "WHERE", "UNTIL", "ACTOR", "REASON", "DENIAL"), rows)


def denial_data(denial: Denial) -> dict[str, object]:
    """One denial for programs; one without an end has no `until`."""
    data: dict[str, object] = {"denial": denial.name, "kind": denial.kind, "value": denial.value}
    data |= {"role": denial.role, "iamGroup": denial.iam_group}
    if denial.until != float("inf"):
        data["until"] = denial.end
    return {**data, "actor": denial.actor, "reason": denial.reason}


def _where(denial: Denial) -> str:
    places = (denial.role.rsplit("/", 1)[-1], f"group {denial.iam_group}" if denial.iam_group else "")
    return ", ".join(place for place in places if place) or "everywhere"
