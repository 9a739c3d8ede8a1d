"""Things that a level needs and that are not this cluster's: they stop the plan unless they are adopted."""

from __future__ import annotations

from dataclasses import dataclass

from kube_iam.access.changes import Field, Kind
from kube_iam.access.desired import CLUSTER_TAG
from kube_iam.access.owner import Owner, Standing

ADOPT = "take it over with --adopt"


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something that is not ours where a level needs to be, and the remedy. `adoptable`: `--adopt` would take it over."""

    kind: Kind
    name: str
    why: str
    remedy: str
    adoptable: bool = True

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name} {self.why}"


def taken(kind: Kind, name: str, owner: Owner, level: str, why: str = "exists and is not kube-iam's") -> Foreign:
    """Return what stands in the way of a level, with a remedy. What belongs to another cluster is never adopted.

    `why` is said of what is not known to be anybody's.
    """
    if owner.is_other:
        return Foreign(kind, name, f"belongs to cluster {owner.cluster}", _other_name(kind, level), adoptable=False)
    if owner.standing is Standing.UNMARKED:
        lost = (
            "its role is not marked as this cluster's" if kind is Kind.MAPPING else f"its tag {CLUSTER_TAG} is missing"
        )
        why = f"is level {owner.level}'s, and {lost}"
    return Foreign(kind, name, why, ADOPT)


def _other_name(kind: Kind, level: str) -> str:
    if kind is Kind.ROLE:
        return f"choose another iam.role for level {level}"
    if kind is Kind.MAPPING:
        return f"choose another iam.role or iam.group for level {level}"
    # Policies are looked for under this cluster's path only, so that the other cluster has the same path.
    return f"correct cluster.id, or choose another cluster.name or another iam.{kind.value} for level {level}"


def foreign_binding(name: str, fields: tuple[Field, ...], cluster: str = "") -> Foreign:
    """Return what stands in the way of a binding. One that others wrote is adopted only where it says the same.

    A roleRef cannot change, and subjects are theirs. `cluster` is the name of the cluster that our labels say, if another.
    """
    if cluster:
        remedy = "restore cluster.name if it was changed, or give the level another name"
        return Foreign(Kind.BINDING, name, f"belongs to cluster {cluster} by its labels", remedy, adoptable=False)
    same = {part.name for part in fields} <= {"level"}
    remedy = ADOPT if same else "delete it by hand, or give the level another name"
    return Foreign(Kind.BINDING, name, "exists and is not this cluster's", remedy, adoptable=same)
