"""Resources that are not known to be this cluster's: those that prevent a plan, and those that `destroy` leaves.

IAM shows letter case and does not tell names apart by it: "names are not distinguished by case". So nothing can be created in
another spelling while a name exists, and the role ARN, which every session and policy repeats, keeps its spelling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kube_iam.access.changes import Field, Kind, binding_name, given, is_removable
from kube_iam.access.desired import CLUSTER_TAG, DesiredLevel, level_in_name
from kube_iam.access.mapping import MappingEntry, role_key
from kube_iam.access.observed import Observed
from kube_iam.access.ownership import Owner, Standing


def other_spellings(observed: Observed, desired: tuple[DesiredLevel, ...]) -> Iterator[UnmanagedResource]:
    """Yield names of levels that exist in another spelling, with the remedy: write that spelling into the file."""
    present = {Kind.POLICY: {policy.name.casefold(): policy.name for policy in observed.policies}}
    present[Kind.POLICY] |= {policy.name.casefold(): policy.name for policy in observed.elsewhere.values()}
    present[Kind.ROLE] = {key: role.name for key, role in observed.roles.items()}
    present[Kind.GROUP] = {key: group.name for key, group in observed.groups.items()}
    for level in desired:
        names = {Kind.POLICY: level.policy.name, Kind.GROUP: level.group.name}
        if level.role is not None:
            names[Kind.ROLE] = level.role.name
        for kind, name in names.items():
            spelled = present[kind].get(name.casefold(), name)
            if spelled != name:
                why = f"differs from {name} in letter case only, and IAM does not tell the two apart"
                remedy = f"set iam.{kind.value} of level {level.name} to {spelled}"
                yield UnmanagedResource(kind, spelled, why, remedy, adoptable=False)


def left_alone(observed: Observed) -> Iterator[str]:
    """Yield a sentence for each resource through which somebody could sign in, or that would admit somebody again.

    That is each policy and group under the cluster's path, each binding with the name of one of the levels', and each mapping
    entry for a role or group that the file or a policy under the path names. Resources of this cluster are not among them: they
    are deleted.
    """
    owners = observed.owners
    for policy in observed.policies:
        if not owners.policy(policy.arn).is_ours:
            yield f"policy {policy.name} at {policy.path} {_whose(owners.policy(policy.arn))}"
    for group in observed.groups.values():
        if group.path == observed.path and not owners.group(group.name).is_ours:
            yield f"group {group.name} at {group.path} {_whose(owners.group(group.name))}"
    for entry in observed.entries:
        owner = owners.entry(entry.key)
        if not owner.is_ours and owners.is_related(entry):
            yield f"mapping {entry.name} ({given(entry)}) {_whose(owner)}"
    for binding in observed.bindings.values():
        if not observed.owns_binding(binding) and level_in_name(binding.name):
            groups = ", ".join(binding.groups) or "nobody"
            whose = f"belongs to cluster {binding.cluster}" if binding.cluster else "is not marked as this cluster's"
            yield f"binding {binding_name(binding)} ({binding.role_kind} {binding.role_name} for {groups}) {whose}"
    for key, rivals in observed.rivals.items():
        removed = owners.role(role_key(key)).is_ours or owners.entry(key).is_ours
        for rival in rivals:
            if not (removed and is_removable(rival)):
                yield f"mapping {rival.name} at {rival.where} ({given(rival)}) means the role {key}"


def _whose(owner: Owner) -> str:
    return f"belongs to cluster {owner.cluster}" if owner.is_other else "is not marked as this cluster's"


ADOPT = "take it over with --adopt"


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
    if owner.is_other:
        return UnmanagedResource(
            kind, name, f"belongs to cluster {owner.cluster}", _other_name(kind, level), adoptable=False
        )
    if owner.standing is Standing.UNMARKED:
        lost = (
            "its role is not marked as this cluster's" if kind is Kind.MAPPING else f"its tag {CLUSTER_TAG} is missing"
        )
        why = f"is level {owner.level}'s, and {lost}"
    return UnmanagedResource(kind, name, why, ADOPT)


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

    `fields` are its differences from `want`. Others may write their object again, and then ours would change with it.
    """
    why = "is mapped already, by hand or by another tool"
    found = unmanaged_resource(Kind.MAPPING, want.name, owner, level, why)
    added = {"level", *(() if have.iam_group else ("iamGroup",))}
    if have.cluster is None or owner.is_other or {part.name for part in fields} <= added:
        return found
    why = f"is mapped already by {have.where}, in another way: {given(have)}"
    remedy = f"delete that object, or choose another iam.role for level {level}"
    return UnmanagedResource(Kind.MAPPING, want.name, why, remedy, adoptable=False)
