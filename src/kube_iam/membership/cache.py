"""Cache of IAM group members and role trust policies with their age. Decisions read it and never call IAM. Pure.

A snapshot counts for `max_age` seconds. After that its entries admit nobody, since membership is no longer known. Ages are of a clock
that never goes back, so that a jump of the wall clock neither ends nor prolongs them. Temporary grants end at a time of the wall
clock, which for them is never taken to have gone back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from kube_iam.core.identity import Identity
from kube_iam.core.mapping import GroupMappingIndex, MappingMatch, merge
from kube_iam.core.mapping_entries import MembershipRequirement, TemporaryGrant
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.utc import rfc3339
from kube_iam.membership.name_reuse import UserNameReuse
from kube_iam.membership.role_history import RoleHistory
from kube_iam.membership.snapshots import GroupChange, GroupSnapshot, RoleSnapshot
from kube_iam.membership.status_queries import RequirementView, StatusQueries
from kube_iam.membership.tracked_groups import TrackedGroups
from kube_iam.membership.trust_history import TrustPolicyHistory

Clock = Callable[[], float]
Snapshot = GroupSnapshot | RoleSnapshot

_NO_CHANGE = GroupChange((), (), first=False)


class MembershipCache:
    """Snapshots of the tracked groups and roles. For one event loop: look-ups and updates must not overlap."""

    def __init__(self, max_age: float, clock: Clock, wall: Clock, server: str = "0") -> None:
        """`clock` gives seconds that never go back, `wall` Unix seconds; `max_age` is how many seconds a snapshot counts.

        `server` is a hexadecimal name for this process in answers to status queries.
        """
        self._max_age = max_age
        self._clock = clock
        self._wall = wall
        self._started = (clock(), wall())
        self._groups = TrackedGroups()
        self._roles: dict[str, RoleSnapshot | None] = {}
        self._user_names = UserNameReuse()
        self._trust_history = TrustPolicyHistory()
        self._role_history = RoleHistory()
        self._queries = StatusQueries(server)

    # Decisions

    def check_role_session(self, requirement: MembershipRequirement, identity: Identity) -> Refusal | None:
        """Return why this role session is refused, or None if its user is a current member or has a temporary grant."""
        now = self._clock()
        role, group = self._roles.get(requirement.role), self._groups.snapshots.get(requirement.iam_group)
        if role is None or group is None or now - role.read_at > self._max_age or now - group.read_at > self._max_age:
            return Refusal(Reason.MEMBERSHIP_STALE, self._stale_part(requirement))
        if role.problem:
            return Refusal(Reason.SESSION_NAME_UNRESTRICTED if role.exists else Reason.MEMBERSHIP_STALE, role.problem)
        if identity.user_id != role.role_id:
            return self._role_history.refusal(requirement.role, role, identity.user_id, now, self._wall_now(now))
        if now < role.suspended_until:
            return Refusal(Reason.ROLE_SUSPENDED, self._suspension(role, now))
        name = identity.session_name
        if self._user_names.changed_within(name, role.longest, now):
            return Refusal(Reason.NOT_MEMBER, f"{name} is another IAM user than before, whose sessions may still live")
        if group.account != identity.account_id:
            detail = f"IAM group {requirement.iam_group} does not exist in the account of the role"
            return Refusal(Reason.NOT_MEMBER, detail)
        if name in group.members:
            return None
        for grant in requirement.temporary:
            if (
                grant.user_name == name
                and self._wall_now(now) < grant.ends
                and self._is_same_user(grant, role.longest, now)
            ):
                return None
        return Refusal(Reason.NOT_MEMBER, f"{name} is not in {requirement.iam_group}")

    def match_group_mappings(self, index: GroupMappingIndex, identity: Identity) -> MappingMatch | Refusal | None:
        """Return what the groups of an IAM user give who signed with their own keys, or None if they give nothing.

        A stale group gives nothing. Returns the refusal `membership_stale` where nothing is given and a group is stale. But a user of
        another account than all fresh groups gets None, since all groups are of one account.
        """
        if not identity.user_name:
            return None
        now = self._clock()
        found = index.find(
            self._groups.of_user.get(identity.user_id, ()),
            identity.user_id,
            self._wall_now(now),
            is_current=lambda name: self._is_current(name, identity, now),
        )
        if found:
            return merge(found)
        snapshots = self._groups.snapshots
        stale = next((name for name in index.iam_groups if not self._is_recent(snapshots.get(name), now)), "")
        if stale and self._is_other_account(identity, now):
            return None
        return Refusal(Reason.MEMBERSHIP_STALE, f"IAM group {stale}") if stale else None

    def covers_account(self, identity: Identity) -> bool:
        """Return whether the identity is an IAM user of the account of the tracked groups: only such a user can be a member."""
        return bool(identity.user_name) and any(
            snapshot is not None and snapshot.account == identity.account_id
            for snapshot in self._groups.snapshots.values()
        )

    def answer_status_query(self, token: str) -> Refusal | None:
        """Return the answer to a status query (`kube_iam.core.membership_status`), or None if the token is none."""
        return self._queries.answer(token, self._view)

    # Updates

    def set_tracked(self, groups: Collection[str], requirements: Iterable[MembershipRequirement]) -> None:
        """Track these groups, and the groups and roles of these requirements, and no others."""
        requirements = tuple(requirements)
        self._groups.keep(dict.fromkeys([*groups, *(each.iam_group for each in requirements)]))
        self._roles = {each.role: self._roles.get(each.role) for each in requirements}
        self._role_history.keep(self._roles)
        self._queries.set_tracked(groups, requirements)
        now = self._clock()
        grants = (grant for each in requirements for grant in each.temporary)
        self._user_names.set_grants(grants, now, self._wall_now(now))

    def update_group(self, name: str, snapshot: GroupSnapshot) -> GroupChange:
        """Replace the snapshot of a group, if it is still tracked and no read that began later was there before. Return the change."""
        self._queries.record_read("group", name)
        before = self._groups.snapshots.get(name)
        if name not in self._groups.snapshots or _is_older(snapshot, before):
            return _NO_CHANGE
        if before is not None and before.members == snapshot.members:
            self._groups.snapshots[name] = snapshot
            return _NO_CHANGE
        self._user_names.record_members(snapshot.members, self._clock())
        return self._groups.update(name, snapshot)

    def update_role(self, key: str, snapshot: RoleSnapshot) -> bool:
        """Replace the snapshot of a role, if it is still tracked. Return whether its id, problem or suspension changed.

        A read that shows a deleted role again is dropped: the last snapshot counts until it is too old.
        """
        self._queries.record_read("role", key)
        before = self._roles.get(key)
        if key not in self._roles or _is_older(snapshot, before) or self._role_history.is_former(key, snapshot):
            return False
        # Sessions that were begun while MaxSessionDuration was longer live longer.
        longest = max(snapshot.longest, before.longest if before is not None else 0)
        now = self._clock()
        snapshot = replace(snapshot, longest=longest)
        snapshot = replace(snapshot, suspended_until=self._trust_history.record(snapshot, now))
        self._roles[key] = snapshot
        self._role_history.record(key, snapshot, now)
        return before is None or _reported(before) != _reported(snapshot)

    def record_failure(self, kind: str, name: str, *, forbidden: bool) -> None:
        """Record that the last read failed, and whether IAM denied it. Only answers to status queries depend on it."""
        self._queries.record_failure(kind, name, forbidden=forbidden)

    # Reports

    def snapshots_of(self, requirement: MembershipRequirement) -> tuple[GroupSnapshot | None, RoleSnapshot | None]:
        """Return the last snapshots of a requirement's group and role, also those that are too old."""
        return self._groups.snapshots.get(requirement.iam_group), self._roles.get(requirement.role)

    def role_problem(self, key: str) -> str:
        """Return why entries of the role admit nobody, as far as is known; empty where they admit members."""
        role, now = self._roles.get(key), self._clock()
        if role is not None and now < role.suspended_until:
            return f"{Reason.ROLE_SUSPENDED.sentence}: {self._suspension(role, now)}"
        return role.problem if role is not None else ""

    def ages(self) -> Iterator[tuple[str, str, float | None]]:
        """Yield kind (group, role), name or ARN, and age in seconds of each snapshot; None where there is none yet."""
        now = self._clock()
        tracked: tuple[tuple[str, Mapping[str, Snapshot | None]], ...] = (
            ("group", self._groups.snapshots),
            ("role", self._roles),
        )
        for kind, snapshots in tracked:
            for name, snapshot in snapshots.items():
                yield kind, name, None if snapshot is None else now - snapshot.read_at

    def is_fresh(self, kind: str, name: str) -> bool:
        """Return whether there is a snapshot and it is not too old."""
        tracked: Mapping[str, Snapshot | None] = self._groups.snapshots if kind == "group" else self._roles
        return self._is_recent(tracked.get(name), self._clock())

    def stale(self) -> list[str]:
        """Return what was not read yet, or not lately enough: entries with these groups and roles admit nobody."""
        return [f"{kind} {name}" for kind, name, age in self.ages() if age is None or age > self._max_age]

    def _view(self, group: str, role: str) -> RequirementView:
        now = self._clock()
        former_until = self._role_history.former_sessions_until(role, now)
        snapshots = self._groups.snapshots.get(group), self._roles.get(role)
        return RequirementView(
            *snapshots, now, self._max_age, former_until, lambda when: self._wall_now(now) + when - now
        )

    def _suspension(self, role: RoleSnapshot, now: float) -> str:
        """Return until when the role admits nobody, and how to end that."""
        until = rfc3339(self._wall_now(now) + role.suspended_until - now)
        return f"until {until}; to end that at once delete the role and run kube-iam apply"

    def _stale_part(self, requirement: MembershipRequirement) -> str:
        if not self._is_recent(self._groups.snapshots.get(requirement.iam_group), self._clock()):
            return f"IAM group {requirement.iam_group}"
        return "the trust policy of the role"

    def _is_recent(self, snapshot: Snapshot | None, now: float) -> bool:
        return snapshot is not None and now - snapshot.read_at <= self._max_age

    def _is_current(self, name: str, identity: Identity, now: float) -> bool:
        """Return whether the group was read lately enough, and exists in the identity's account."""
        snapshot = self._groups.snapshots.get(name)
        return snapshot is not None and self._is_recent(snapshot, now) and snapshot.account == identity.account_id

    def _is_other_account(self, identity: Identity, now: float) -> bool:
        """Return whether all fresh groups are of another account than the identity, of which there is at least one."""
        snapshots = self._groups.snapshots.values()
        accounts = {each.account for each in snapshots if each is not None and self._is_recent(each, now)}
        accounts.discard("")
        return bool(accounts) and identity.account_id not in accounts

    def _is_same_user(self, grant: TemporaryGrant, longest: int, now: float) -> bool:
        """Return whether the name is still that of the IAM user of the grant, as far as reads show."""
        known = self._user_names.user_id(grant.user_name)
        if known in ("", grant.user_id):
            return True
        # Another user had this name. A current member has it now; else sessions of the former user must have ended.
        return known not in self._groups.of_user and self._user_names.granted_for(grant, now) >= longest

    def _wall_now(self, now: float) -> float:
        clock_at_start, wall_at_start = self._started
        return max(self._wall(), wall_at_start + now - clock_at_start)


def _reported(role: RoleSnapshot) -> tuple[str, str, float]:
    """Return the parts of a role whose changes are reported."""
    return role.role_id, role.problem, role.suspended_until


def _is_older(one: Snapshot, other: Snapshot | None) -> bool:
    """Return whether a read that ended later began earlier: it may have missed what the other saw."""
    return other is not None and one.read_at < other.read_at
