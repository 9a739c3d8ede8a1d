"""What a plan may do only with --force: lock out the administrator who runs it, or take away many levels at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kube_iam.access.changes import Change, Kind, Membership, Verb
from kube_iam.access.observed import Observed, pathless
from kube_iam.access.ports import MappingEntry, Subject

_VALUE = r"[^:/\s]+"  # what a template's value can be
_PLACE = re.compile(r"\{\{(?:SessionNameRaw|UserName)\}\}")


def lockout(changes: tuple[Change, ...], observed: Observed) -> Iterator[str]:
    """A sentence for each mapping entry that these calls are signed in with and that would go, or lose a user name or groups."""
    used = {entry.key for entry in observed.entries if signed_in_with(entry, observed)}
    for change in changes:
        if isinstance(change.item, MappingEntry) and change.item.key in used:
            lost = _lost(change, change.item, _members(change.item, changes, observed), observed.subject)
            if lost:
                yield f"you are signed in through {change.name}, and this plan {lost}"
        elif change.kind is Kind.ROLE and change.verb is Verb.DELETE:
            role = observed.roles.get(change.name.casefold())
            gone = any(isinstance(other.item, MappingEntry) and other.item.key in used for other in changes)
            if role and pathless(role.arn) in used and not gone:
                yield f"you are signed in through the role {change.name}, and this plan deletes it"


def signed_in_with(entry: MappingEntry, observed: Observed) -> bool:
    """Whether the administrator is in the cluster, or in AWS, through this entry's role, or in the cluster as a member of its group.

    Where the cluster does not say which principal signed in, a user name that the entry could have made counts as made by it. It
    never says in which IAM group a user is.
    """
    subject = observed.subject
    if not entry.role_arn:
        return subject is not None and ":user/" in (subject.canonical_arn or ":user/") and _could_be(entry, subject)
    if pathless(observed.caller_arn) == entry.key:
        return True
    if subject is None:
        return False
    if subject.canonical_arn:
        return pathless(subject.canonical_arn) == entry.key
    return _could_be(entry, subject)


def too_much(observed: Observed, wanted: frozenset[str]) -> Iterator[str]:
    """A sentence when more than a third of the levels that exist would go."""
    present = observed.registered_levels()
    going = sorted(present - wanted)
    if 3 * len(going) > len(present):
        yield f"{len(going)} of {len(present)} levels would be removed ({', '.join(going)}): more than a third"


def _lost(change: Change, entry: MappingEntry, members: set[str], subject: Subject | None) -> str:
    if change.verb is Verb.DELETE:
        return "removes that mapping"
    if change.verb is Verb.CREATE:
        return ""
    for part in change.fields:
        if part.name == "username":
            return "changes its user name"
        if part.name == "groups" and set(_texts(part.before)) - set(_texts(part.after)):
            return "takes groups from it"
        if part.name == "iamGroup" and entry.iam_group and not _is_one_of(subject, members, entry):
            return f"lets in only members of the IAM group {entry.iam_group}, and you are not known to be one"
    return ""


def _members(entry: MappingEntry, changes: tuple[Change, ...], observed: Observed) -> set[str]:
    """The members of the entry's group, and those who will be by then."""
    coming = (change.item for change in changes if change.verb is Verb.CREATE)
    members = {user.name for user in observed.members.get(entry.iam_group.casefold(), ())}
    return members | {item.user for item in coming if isinstance(item, Membership) and item.group == entry.iam_group}


def _is_one_of(subject: Subject | None, members: set[str], entry: MappingEntry) -> bool:
    """Whether the administrator's user name is one that the entry makes of a member, and of nobody else."""
    literals = _PLACE.split(entry.username)
    return len(literals) > 1 and subject is not None and subject.username in {name.join(literals) for name in members}


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _could_be(entry: MappingEntry, subject: Subject) -> bool:
    literals = re.split(r"\{\{.*?\}\}", entry.username)
    pattern = _VALUE.join(re.escape(literal) for literal in literals)
    return re.fullmatch(pattern, subject.username) is not None and set(entry.groups) <= set(subject.groups)
