"""Resources that are not known to be this cluster's and that a level needs: they prevent the plan, and `grant`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kube_iam.access.changes import Field, Kind
from kube_iam.access.desired import CLUSTER_TAG
from kube_iam.access.levels import Owner, Standing
from kube_iam.access.mapping import MappingEntry, given
from kube_iam.errors import NotOwned

ADOPT = "take it over with --adopt"
_USE = "leave it as it is, and use it, with existing: true beside iam.{kind} of level {level}"


@dataclass(frozen=True, slots=True)
class UnmanagedResource:
    """A resource that is not ours at the name of a level's.

    `adoptable`: `--adopt` would take it over.
    """

    kind: Kind
    name: str
    why: str
    remedy: str
    adoptable: bool = True

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name} {self.why}"


def unmanaged_resource(
    kind: Kind, name: str, owner: Owner, level: str, why: str = "exists and is not kube-iam's"
) -> UnmanagedResource:
    """Return what prevents a level, with a remedy. Resources of another cluster are never adopted.

    `why` is the reason for resources whose owner is not known.
    """
    if owner.is_existing:
        why = f"was used as an existing {kind.value} of level {owner.level}, and is not kube-iam's"
        remedy = f"{_USE.format(kind=kind.value, level=level)}, or choose another iam.{kind.value}"
        return UnmanagedResource(kind, name, why, remedy, adoptable=False)
    if owner.is_other:
        return UnmanagedResource(
            kind, name, f"belongs to cluster {owner.cluster}", _other_name(kind, level), adoptable=False
        )
    if owner.standing is Standing.UNMARKED:
        lost = (
            "its role is not marked as this cluster's" if kind is Kind.MAPPING else f"its tag {CLUSTER_TAG} is missing"
        )
        why = f"is level {owner.level}'s, and {lost}"
    can_stay = owner.standing is Standing.UNKNOWN and kind in (Kind.ROLE, Kind.GROUP)
    remedy = f"{ADOPT}, or {_USE.format(kind=kind.value, level=level)}" if can_stay else ADOPT
    return UnmanagedResource(kind, name, why, remedy)


def _other_name(kind: Kind, level: str) -> str:
    if kind is Kind.ROLE:
        return f"choose another iam.role for level {level}"
    if kind is Kind.MAPPING:
        return f"choose another iam.role or iam.group for level {level}"
    # Policies are looked for under this cluster's path only, so that the other cluster has the same path.
    return f"correct cluster.id, or choose another cluster.name or another iam.{kind.value} for level {level}"


def unmanaged_binding(name: str, fields: tuple[Field, ...], cluster: str = "") -> UnmanagedResource:
    """Return the binding that prevents a level. A binding of others is adopted only if it says the same.

    A roleRef cannot change, and subjects are theirs. `cluster` is the cluster that our labels name, if another.
    """
    if cluster:
        remedy = "restore cluster.name if it was changed, or give the level another name"
        return UnmanagedResource(
            Kind.BINDING, name, f"belongs to cluster {cluster} by its labels", remedy, adoptable=False
        )
    same = {part.name for part in fields} <= {"level"}
    remedy = ADOPT if same else "delete it by hand, or give the level another name"
    return UnmanagedResource(Kind.BINDING, name, "exists and is not this cluster's", remedy, adoptable=same)


def unmanaged_entry(
    have: MappingEntry, want: MappingEntry, fields: tuple[Field, ...], owner: Owner, level: str
) -> UnmanagedResource:
    """Return the mapping entry that prevents a level. An object of others is adopted only if it gives the same.

    `fields` are its differences from `want`. Others may write their object again, and then ours would change with it. An access entry
    of EKS is adopted and changed in place: there is one for each role.
    """
    why = "is mapped already, by hand or by another tool"
    found = unmanaged_resource(Kind.MAPPING, want.name, owner, level, why)
    added = {"level", "roleArn", *(() if have.iam_group else ("iamGroup",))}
    alike = have.created is not None or {part.name for part in fields} <= added
    if have.cluster is None or owner.is_other or alike:
        return found
    why = f"is mapped already by {have.where}, in another way: {given(have)}"
    remedy = f"delete that object, or choose another iam.role for level {level}"
    return UnmanagedResource(Kind.MAPPING, want.name, why, remedy, adoptable=False)


def not_owned(
    unmanaged: Iterable[UnmanagedResource], head: str = "the levels cannot have these names in IAM and the cluster:"
) -> NotOwned:
    """Return the error for resources that prevent what the caller wants, each with its remedy."""
    items = (f"{found}: {found.remedy}" for found in unmanaged)
    return NotOwned.listing(head, items, "nothing was changed")
