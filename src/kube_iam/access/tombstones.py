"""Access entries of EKS whose principal is not the level's role any more.

EKS keeps the unique id of the role with an access entry and does not show it. Sessions of a role that was deleted and made again under
the same ARN are refused with 401, and nothing of the entry says so. The times of creation do: the role is newer than its entry.
https://docs.aws.amazon.com/eks/latest/APIReference/API_AccessEntry.html (principalArn)
"""

from __future__ import annotations

from collections.abc import Iterator

from kube_iam.access.changes import Change, Field, Kind, Verb
from kube_iam.access.mapping import MappingEntry, role_key
from kube_iam.access.observed import Observed
from kube_iam.access.unmanaged import UnmanagedResource
from kube_iam.core.utc import rfc3339

PRINCIPAL = "principal"


def unusable_principal(have: MappingEntry, want: MappingEntry, observed: Observed, creates_role: bool) -> Field | None:
    """Return how the principal of an access entry differs from the level's role, None where the entry admits sessions of the role.

    `creates_role`: the plan creates the role, so that the entry is of an earlier one.
    """
    assert have.created is not None
    if have.role_arn != want.role_arn:
        return Field(PRINCIPAL, have.role_arn, want.role_arn)
    before = f"a former role (entry of {rfc3339(have.created)})"
    if creates_role:
        return Field(PRINCIPAL, before, "the role that is created")
    role = observed.roles.get(role_key(want.role_arn))
    if role is not None and role.arn == want.role_arn and role.created > have.created:
        return Field(PRINCIPAL, before, f"the role of {rfc3339(role.created)}")
    return None


def stale_entry(have: MappingEntry, want: MappingEntry, eks_name: str) -> UnmanagedResource:
    """Return an access entry of others for a role of that name at another path, which no role can have any more."""
    delete = f"aws eks delete-access-entry --cluster-name {eks_name} --principal-arn {have.role_arn}"
    why = f"is mapped already, by hand or by another tool, for a role of that name at another path: {have.role_arn}"
    return UnmanagedResource(Kind.MAPPING, want.name, why, f"delete that entry ({delete})", adoptable=False)


def explained_recreations(changes: tuple[Change, ...]) -> Iterator[str]:
    """Yield a warning for each access entry that is deleted and created, with the reason."""
    for change in changes:
        found = next((part for part in change.fields if part.name == PRINCIPAL), None)
        if found is not None and change.verb is Verb.DELETE:
            yield (
                f"level {change.level}: the access entry {change.name} is deleted and created again, since its principal cannot"
                f" change: EKS keeps the unique id of the role, and this entry is for {found.before}"
            )
