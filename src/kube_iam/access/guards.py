"""What a plan may do only with --force: lock out the administrator who runs it, or take away many levels at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kube_iam.access.changes import Change, Kind, Verb
from kube_iam.access.observed import Observed, pathless
from kube_iam.access.ports import MappingEntry, Subject

_VALUE = r"[^:/\s]+"  # what a template's value can be


def lockout(changes: tuple[Change, ...], observed: Observed) -> Iterator[str]:
    """A sentence for each mapping entry that these calls are signed in with and that would go, or lose a user name or groups."""
    used = {pathless(entry.role_arn): entry for entry in observed.entries if signed_in_with(entry, observed)}
    for change in changes:
        if change.kind is Kind.MAPPING and pathless(change.name) in used:
            lost = _lost(change)
            if lost:
                yield f"you are signed in through {change.name}, and this plan {lost}"
        elif change.kind is Kind.ROLE and change.verb is Verb.DELETE:
            role = observed.roles.get(change.name.casefold())
            entry = used.get(pathless(role.arn)) if role else None
            gone = any(other.kind is Kind.MAPPING and pathless(other.name) in used for other in changes)
            if entry and not gone:
                yield f"you are signed in through the role {change.name}, and this plan deletes it"


def signed_in_with(entry: MappingEntry, observed: Observed) -> bool:
    """Whether the administrator is in the cluster, or in AWS, through this entry's role.

    Where the cluster does not say which principal signed in, a user name that the entry could have made counts as made by it.
    """
    arn = pathless(entry.role_arn)
    if pathless(observed.caller_arn) == arn:
        return True
    subject = observed.subject
    if subject is None:
        return False
    if subject.canonical_arn:
        return pathless(subject.canonical_arn) == arn
    return _could_be(entry, subject)


def too_much(observed: Observed, wanted: frozenset[str]) -> Iterator[str]:
    """A sentence when more than a third of the levels that exist would go."""
    present = observed.registered_levels()
    going = sorted(present - wanted)
    if 3 * len(going) > len(present):
        yield f"{len(going)} of {len(present)} levels would be removed ({', '.join(going)}): more than a third"


def _lost(change: Change) -> str:
    if change.verb is Verb.DELETE:
        return "removes that mapping"
    if change.verb is Verb.CREATE:
        return ""
    for part in change.fields:
        if part.name == "username":
            return "changes its user name"
        if part.name == "groups" and set(_texts(part.before)) - set(_texts(part.after)):
            return "takes groups from it"
    return ""


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _could_be(entry: MappingEntry, subject: Subject) -> bool:
    literals = re.split(r"\{\{.*?\}\}", entry.username)
    pattern = _VALUE.join(re.escape(literal) for literal in literals)
    return re.fullmatch(pattern, subject.username) is not None and set(entry.groups) <= set(subject.groups)
