"""What is in the way of a level and is not ours: it stops the plan unless it may be, and is, adopted."""

from __future__ import annotations

from dataclasses import dataclass

from kube_iam.access.changes import Field, Kind
from kube_iam.access.desired import CLUSTER_TAG
from kube_iam.access.ports import PolicyState, RoleState


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


def foreign_binding(name: str, fields: tuple[Field, ...]) -> Foreign:
    """What others wrote is taken over only where it says the same: a roleRef cannot change, and subjects are theirs."""
    same = {part.name for part in fields} <= {"level"}
    remedy = "take it over with --adopt" if same else "delete it by hand, or give the level another name"
    return Foreign(Kind.BINDING, name, "exists and is not this cluster's", remedy, adoptable=same)


def whose(state: PolicyState | RoleState) -> str:
    """Why a policy or role is not ours: its tags name another cluster, or none."""
    other = state.tags.get(CLUSTER_TAG)
    return f"belongs to cluster {other}" if other else "exists and is not kube-iam's"
