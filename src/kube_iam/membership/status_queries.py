"""Answers to status queries: what is known of an entry's IAM group and role, and the outcome of the last reads. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from kube_iam.core.mapping_entries import MembershipRequirement
from kube_iam.core.membership_status import (
    MembershipAnswer,
    MembershipState,
    MembershipStatus,
    read_membership_question,
    requirement_name,
)
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.membership.snapshots import GroupSnapshot, RoleSnapshot


@dataclass(frozen=True, slots=True)
class RequirementView:
    """The state of one requirement at one moment. Times are of the clock of the snapshots.

    `former_until` is until when sessions of a former role may live; `wall` makes Unix seconds of a time.
    """

    group: GroupSnapshot | None
    role: RoleSnapshot | None
    now: float
    max_age: float
    former_until: float
    wall: Callable[[float], float]

    def is_fresh(self, snapshot: GroupSnapshot | RoleSnapshot | None) -> bool:
        """Return whether there is a snapshot and it is not too old."""
        return snapshot is not None and self.now - snapshot.read_at <= self.max_age


class StatusQueries:
    """The requirements that may be asked about, and the last failed reads. `server` is a hexadecimal name for this process."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._asked: dict[str, tuple[str, str]] = {}
        self._failed: dict[tuple[str, str], bool] = {}

    def set_tracked(self, groups: Iterable[str], requirements: Collection[MembershipRequirement]) -> None:
        """Answer about the entries of these groups and requirements, and no others."""
        pairs = [
            *((name, "") for name in groups),
            *((requirement.iam_group, requirement.role) for requirement in requirements),
        ]
        self._asked = {requirement_name(*pair): pair for pair in pairs}
        places = {*(("group", group) for group, _ in pairs), *(("role", role) for _, role in pairs)}
        self._failed = {place: forbidden for place, forbidden in self._failed.items() if place in places}

    def record_read(self, kind: str, name: str) -> None:
        """Record that a group or role was read."""
        self._failed.pop((kind, name), None)

    def record_failure(self, kind: str, name: str, *, forbidden: bool) -> None:
        """Record that the last read of a group or role failed; `forbidden`: IAM denied it."""
        self._failed[kind, name] = forbidden

    def answer(self, token: str, view: Callable[[str, str], RequirementView]) -> Refusal | None:
        """Return the answer to a status query, or None if the token is none. `view` is called with an IAM group and a role."""
        question = read_membership_question(token)
        if question is None:
            return None
        states = {name: self._status(name, view) for name in question.requirements}
        return Refusal(Reason.STATUS_QUERY, MembershipAnswer(question.nonce, self._server, states).text)

    def _status(self, requirement: str, view: Callable[[str, str], RequirementView]) -> MembershipStatus:
        if requirement not in self._asked:
            return MembershipStatus(MembershipState.NOT_MAPPED)
        group, role = self._asked[requirement]
        found = view(group, role)
        parts = [(("group", group), found.group), (("role", role), found.role)][: 2 if role else 1]
        for place, snapshot in parts:
            if self._failed.get(place):
                state = MembershipState.GROUP_FORBIDDEN if place[0] == "group" else MembershipState.ROLE_FORBIDDEN
                admits = all(found.is_fresh(each) for _, each in parts)
                until = found.wall(snapshot.read_at + found.max_age) if snapshot is not None and admits else 0.0
                return MembershipStatus(state, until)
        for place, snapshot in parts:
            if not found.is_fresh(snapshot):
                return MembershipStatus(
                    MembershipState.UNREADABLE if place in self._failed else MembershipState.NOT_READ
                )
        if found.group is not None and not found.group.account:
            return MembershipStatus(MembershipState.GROUP_MISSING)
        return _of_role(found.role, found) if role and found.role else MembershipStatus(MembershipState.ADMITS)


def _of_role(role: RoleSnapshot, view: RequirementView) -> MembershipStatus:
    if not role.exists:
        return MembershipStatus(MembershipState.ROLE_MISSING)
    if role.problem:
        return MembershipStatus(MembershipState.SESSION_NAME_UNRESTRICTED)
    if view.now < role.suspended_until:
        return MembershipStatus(MembershipState.SUSPENDED, view.wall(role.suspended_until))
    if view.now < view.former_until:
        return MembershipStatus(MembershipState.RECREATED, view.wall(view.former_until))
    return MembershipStatus(MembershipState.ADMITS)
