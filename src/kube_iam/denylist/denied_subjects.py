"""Users of RBAC bindings that a denial refuses, for levels whose bindings name their members. Pure.

A binding names a person and not a session. So a denial of one session, of all sessions of the level's role or of the IAM user's unique
id refuses the person in the level. A denial of an access key cannot be applied, since neither IAM's groups nor bindings show keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kube_iam.core.member_source import MemberSource
from kube_iam.denylist.denial import Denial, DenialTable


def denial_of_user(
    table: DenialTable, source: MemberSource, user: str, user_id: str, role_id: str, now: float
) -> Denial | None:
    """Return the denial that refuses the IAM user in the level at `now` (Unix seconds), or None. Unknown ids are empty."""
    groups = (source.iam_group,)
    in_role = table.find(source.session(user, role_id), now, groups)
    if in_role is not None:
        return in_role
    # The unique id of a user, which no session of a role shows.
    return table.find(source.iam_user(user, user_id), now, groups) if user_id else None


def denied_users(
    source: MemberSource, users: Mapping[str, str], denials: Iterable[Denial], now: float
) -> frozenset[str]:
    """Return which of the IAM users, given with their unique ids, are denied at `now` (Unix seconds)."""
    table = DenialTable(denials)
    return frozenset(user for user, own in users.items() if denial_of_user(table, source, user, own, "", now))


def has_subjects(denial: Denial) -> bool:
    """Return whether `denied_subjects` finds the users of the denial: bindings show neither access keys nor unique ids."""
    return denial.kind not in ("accessKeyId", "userId")


def denied_subjects(
    source: MemberSource, subjects: Iterable[str], denials: Sequence[Denial], now: float
) -> dict[str, Denial]:
    """Return the Kubernetes users of a binding that are denied at `now` (Unix seconds), with their denials."""
    table = DenialTable(denials)
    names = [denial.value.rpartition("/")[2].rpartition(":")[2] for denial in denials]
    found: dict[str, Denial] = {}
    for subject in subjects:
        users = source.iam_users(subject, names)
        hits = (denial_of_user(table, source, user, "", "", now) for user in users)
        denial = next((hit for hit in hits if hit is not None), None)
        if denial is not None:
            found[subject] = denial
    return found
