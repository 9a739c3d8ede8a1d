"""Users of one binding, computed from the reads of IAM and the deny list. Pure.

(1) a binding whose annotations are malformed has no user;
(2) before the first read of its group and role, it keeps its users until `grace_until`, except denied ones, and gets none;
(3) each member and each temporary user has to pass the server's check of sessions: age of the reads, trust policy, role, reused names;
(4) users who share one Kubernetes user name are refused, since each would have the other's rights;
(5) denied users are refused;
(6) a user who is not in the binding yet is added only by recent reads, and while the deny list is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from kube_iam.core.member_source import MemberSource
from kube_iam.denylist.denial import Denial, DenialTable
from kube_iam.denylist.denied_subjects import denial_of_user, denied_subjects
from kube_iam.membership.cache import MembershipCache


@dataclass(frozen=True, slots=True)
class Denials:
    """The deny list as it was read last. `table` is None before the first read."""

    table: DenialTable | None = None
    items: tuple[Denial, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """Time of a computation. `clock` is the cache's and never goes back, `wall` is in Unix seconds.

    `add_within` is the age of a read up to which it adds users. Until `grace_until`, by `clock`, users are kept that no read of this
    process has confirmed yet.
    """

    clock: float
    wall: float
    add_within: float
    grace_until: float = 0.0


@dataclass(frozen=True, slots=True)
class WantedSubjects:
    """Users that the binding should have, sorted. `problem` is why it has none, or gets none; `refused` is why IAM users have none."""

    users: tuple[str, ...]
    problem: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)


def wanted_subjects(
    source: MemberSource, present: Collection[str], cache: MembershipCache, denials: Denials, moment: Moment
) -> WantedSubjects:
    """Return the users of a binding with these present users."""
    if problem := source.problem:  # (1)
        return WantedSubjects((), problem)
    requirement = source.requirement
    group, role = cache.snapshots_of(requirement)
    if group is None or role is None:  # (2)
        unread = f"IAM group {source.iam_group} or its role was not read yet"
        if moment.clock >= moment.grace_until:
            return WantedSubjects((), unread)
        denied = denied_subjects(source, present, denials.items, moment.wall)
        return WantedSubjects(tuple(sorted(set(present) - denied.keys())), unread)
    candidates = {**{each.user_name: each.user_id for each in requirement.temporary}, **group.members}
    names = {user: source.user_name(user) for user in candidates}
    shared = Counter(names.values())
    may_add = denials.table is not None and moment.clock - min(group.read_at, role.read_at) <= moment.add_within  # (6)
    found: list[str] = []
    refused: dict[str, str] = {}
    for user, name in names.items():
        check = cache.check_role_session(requirement, source.session(user, role.role_id))  # (3)
        denial = None
        if denials.table is not None:  # (5)
            denial = denial_of_user(denials.table, source, user, candidates[user], role.role_id, moment.wall)
        if check is not None:
            refused[user] = check.message
        elif not name or shared[name] > 1:  # (4)
            refused[user] = f"other members have the user name {name} too" if name else "no user name"
        elif denial is not None:
            refused[user] = f"denied until {denial.end}"
        elif name in present or may_add:
            found.append(name)
        else:
            refused[user] = "the last read of IAM is too old to add users"
    problem = cache.role_problem(requirement.role) if not found else ""
    return WantedSubjects(tuple(sorted(found)), problem, refused)
