"""Warnings of a plan about sessions that the server will refuse for a time, since they outlive their role or its trust policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kube_iam.access.changes import Change, Kind, Verb
from kube_iam.access.desired import DesiredLevel, DesiredRole
from kube_iam.access.mapping import pathless
from kube_iam.access.observed import Observed
from kube_iam.core.trust_policy import unrestricted_session_name


def suspensions(observed: Observed, desired: Iterable[DesiredLevel], changes: Iterable[Change]) -> Iterator[str]:
    """Yield a warning for each level whose people the server will refuse for a time, for how long, and how to end that.

    Levels whose entries do not ask for membership are not suspended by the server.
    """
    asking = {level.name for level in desired if level.entry.iam_group}
    mapped = {entry.key for entry in observed.entries}
    for change in changes:
        if change.level not in asking or not isinstance(change.item, DesiredRole):
            continue
        if change.verb is Verb.CREATE and pathless(change.item.arn) in mapped:
            yield (
                f"level {change.level}: role {change.name} is created again; the server refuses sessions of the former role until they"
                f" end; a person with one runs `kube-iam logout {change.level}`"
            )
        elif change.kind is Kind.ROLE and change.changes("trust"):
            yield from _repaired(observed, change, change.item)


def _repaired(observed: Observed, change: Change, role: DesiredRole) -> Iterator[str]:
    """Yield the warning where the trust policy may let callers choose their session name now."""
    have = observed.roles.get(role.name.casefold())
    if have is None or not unrestricted_session_name(have.trust, have.arn):
        return
    longest = max(have.max_session_seconds, role.max_session_seconds)
    yield (
        f"level {change.level}: the trust policy of role {change.name} may let callers choose their session name; once it is repaired,"
        f" the server refuses everybody in this level for {longest // 60} minutes, while such a session may be valid;"
        f" {remedy(role.name, change.level)}"
    )


def remedy(role: str, level: str) -> str:
    """Return how to end a suspension at once."""
    return (
        f"to end that at once run `aws iam delete-role --role-name {role}`, then `kube-iam apply`; people who are signed in then run"
        f" `kube-iam logout {level}`"
    )
