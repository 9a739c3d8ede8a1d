"""Who is a member now: the last that was read of IAM, how old it is, and what follows for a decision. Pure; a decision is look-ups.

What was read counts for a while (`max_age`) and then for nothing: who cannot be known to be a member stays outside. Ages are taken
from a clock that nobody sets, so that a jump of the wall clock neither ends nor prolongs them. Somebody may be let in for a time
though no member; that end is a moment of the wall clock, which is never taken to have gone back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from kube_iam.authn.membership_status import Seen, StatusQueries
from kube_iam.authn.namesakes import Namesakes
from kube_iam.authn.opened import Opened
from kube_iam.authn.role_history import RoleHistory
from kube_iam.authn.snapshots import GroupSnapshot, RoleSnapshot
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import GroupMappingIndex, MappingMatch, merge
from kube_iam.core.mapping_entries import MembershipRequirement, TemporaryGrant
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.utc import rfc3339

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Change:
    """Who came into a group and who left, by name; `first` where nothing was known of it before."""

    joined: tuple[str, ...]
    left: tuple[str, ...]
    first: bool


class Door:
    """For one event loop: what is asked and what is told must not overlap."""

    def __init__(self, max_age: float, clock: Clock, wall: Clock, server: str = "0") -> None:
        """`clock` gives seconds that only ever grow, `wall` Unix seconds; `max_age` is how many seconds a snapshot counts.

        `server` is a hexadecimal name for this process in answers to status queries.
        """
        self._queries = StatusQueries(server)
        self._max_age = max_age
        self._clock = clock
        self._wall = wall
        self._started = (clock(), wall())
        self._groups: dict[str, GroupSnapshot | None] = {}
        self._roles: dict[str, RoleSnapshot | None] = {}
        self._groups_of: dict[str, tuple[str, ...]] = {}
        self._namesakes = Namesakes()
        self._opened = Opened()
        self._role_history = RoleHistory()

    def admits(self, requirement: MembershipRequirement, identity: Identity) -> Refusal | None:
        """Why a session of the requirement's role stays outside; None lets it in."""
        now = self._clock()
        role, group = self._roles.get(requirement.role), self._groups.get(requirement.iam_group)
        if role is None or group is None or now - role.read_at > self._max_age or now - group.read_at > self._max_age:
            return Refusal(Reason.MEMBERSHIP_UNKNOWN, self._not_known(requirement))
        if role.problem:
            return Refusal(Reason.TRUST_OPEN if role.exists else Reason.MEMBERSHIP_UNKNOWN, role.problem)
        if identity.user_id != role.role_id:
            return self._role_history.refusal(requirement.role, role, identity.user_id, now, self._wall_now(now))
        if now < role.suspended_until:
            return Refusal(Reason.ROLE_SUSPENDED, self._suspension(role, now))
        name = identity.session_name
        if self._namesakes.changed_within(name, role.longest, now):
            return Refusal(Reason.NOT_MEMBER, f"{name} is another IAM user than before, whose sessions may still live")
        if group.account != identity.account_id:
            return Refusal(
                Reason.NOT_MEMBER, f"IAM group {requirement.iam_group} does not exist in the account of the role"
            )
        if name in group.members:
            return None
        for item in requirement.temporary:
            if item.user_name == name and self._wall_now(now) < item.until and self._pinned(item, role.longest, now):
                return None
        return Refusal(Reason.NOT_MEMBER, f"{name} is not in {requirement.iam_group}")

    def entries(self, groups: GroupMappingIndex, identity: Identity) -> MappingMatch | Refusal | None:
        """What the entries of whole groups give an IAM user who signed with their own keys; None gives nothing.

        A group that is not known now gives nothing. Where nothing is given and some group is not known, that is a refusal, unless
        those that are known are of another account: all are of one.
        """
        if not identity.user_name:
            return None
        now = self._clock()
        found = groups.find(
            self._groups_of.get(identity.user_id, ()),
            identity.user_id,
            self._wall_now(now),
            is_current=lambda name: self._is_current(name, identity, now),
        )
        if found:
            return merge(found)
        unknown = next((name for name in groups.iam_groups if not self._fresh(self._groups.get(name), now)), "")
        if unknown and self._elsewhere(identity, now):
            return None
        return Refusal(Reason.MEMBERSHIP_UNKNOWN, f"IAM group {unknown}") if unknown else None

    def knows_account(self, identity: Identity) -> bool:
        """Whether an IAM user signed whom the followed groups could hold: one of their account."""
        return bool(identity.user_name) and any(
            snapshot is not None and snapshot.account == identity.account_id for snapshot in self._groups.values()
        )

    def follow(self, groups: Collection[str], requirements: Iterable[MembershipRequirement]) -> None:
        """These groups, and those and the roles of these requirements, are asked about from now on, and no others."""
        requirements = tuple(requirements)
        wanted = dict.fromkeys([*groups, *(requirement.iam_group for requirement in requirements)])
        for name in [name for name in self._groups if name not in wanted]:
            self._index(name, self._groups.pop(name), None)
        self._groups = {name: self._groups.get(name) for name in wanted}
        self._roles = {requirement.role: self._roles.get(requirement.role) for requirement in requirements}
        self._role_history.keep(self._roles)
        self._queries.follow(groups, requirements)
        now = self._clock()
        self._namesakes.named(
            (item for requirement in requirements for item in requirement.temporary), now, self._wall_now(now)
        )

    def group_read(self, name: str, snapshot: GroupSnapshot) -> Change:
        """Take a whole group over, where it is still followed."""
        self._queries.read("group", name)
        before = self._groups.get(name)
        if name not in self._groups or _older(snapshot, before):
            return Change((), (), first=False)
        self._groups[name] = snapshot
        if before is not None and before.members == snapshot.members:
            return Change((), (), first=False)
        self._namesakes.seen(snapshot.members, self._clock())
        return self._index(name, before, snapshot)

    def role_read(self, key: str, snapshot: RoleSnapshot) -> bool:
        """Take a role over, where it is still followed; whether it is another than before, or has another problem.

        A read that shows a deleted role again is dropped: the last read counts until it is too old.
        """
        self._queries.read("role", key)
        before = self._roles.get(key)
        if key not in self._roles or _older(snapshot, before) or self._role_history.is_former(key, snapshot):
            return False
        # A session that was begun when they could last longer lasts longer.
        longest = max(snapshot.longest, before.longest if before is not None else 0)
        now = self._clock()
        snapshot = replace(snapshot, longest=longest)
        snapshot = replace(snapshot, suspended_until=self._opened.seen(snapshot, now))
        self._roles[key] = snapshot
        self._role_history.read(key, snapshot, now)
        return before is None or _state(before) != _state(snapshot)

    def read_failed(self, kind: str, name: str, *, forbidden: bool) -> None:
        """Remember that the last read failed, and whether IAM denied it: for status queries alone."""
        self._queries.failed(kind, name, forbidden=forbidden)

    def answer(self, token: str) -> Refusal | None:
        """Return the answer to a status query (`kube_iam.core.membership_status`); None where the token is none."""
        return self._queries.answer(token, self._seen)

    def _seen(self, group: str, role: str) -> Seen:
        now = self._clock()
        former_until = self._role_history.former_sessions_until(role, now)
        snapshots = self._groups.get(group), self._roles.get(role)
        return Seen(*snapshots, now, self._max_age, former_until, lambda when: self._wall_now(now) + when - now)

    def problem(self, key: str) -> str:
        """Why a role lets nobody in, as far as is known; empty where it lets in."""
        role, now = self._roles.get(key), self._clock()
        if role is not None and now < role.suspended_until:
            return f"{Reason.ROLE_SUSPENDED.sentence}: {self._suspension(role, now)}"
        return role.problem if role is not None else ""

    def ages(self) -> Iterator[tuple[str, str, float | None]]:
        """Kind (group, role), name or ARN, and how many seconds ago it was read, of all that is followed; None: never."""
        now = self._clock()
        for kind, known in (("group", self._groups), ("role", self._roles)):
            for name, snapshot in known.items():
                yield kind, name, None if snapshot is None else now - snapshot.read_at

    def counts(self, kind: str, name: str) -> bool:
        """Whether what was read of it last is not too old."""
        known: Mapping[str, GroupSnapshot | RoleSnapshot | None] = self._groups if kind == "group" else self._roles
        return self._fresh(known.get(name), self._clock())

    def waiting(self) -> list[str]:
        """What lets nobody in now since it has not been read, or not for too long."""
        return [f"{kind} {name}" for kind, name, age in self.ages() if age is None or age > self._max_age]

    def _suspension(self, role: RoleSnapshot, now: float) -> str:
        """Return until when the role admits nobody, and how to end that."""
        until = rfc3339(self._wall_now(now) + role.suspended_until - now)
        return f"until {until}; to end that at once delete the role and run kube-iam apply"

    def _not_known(self, requirement: MembershipRequirement) -> str:
        now = self._clock()
        if not self._fresh(self._groups.get(requirement.iam_group), now):
            return f"IAM group {requirement.iam_group}"
        return "the trust policy of the role"

    def _fresh(self, snapshot: GroupSnapshot | RoleSnapshot | None, now: float) -> bool:
        return snapshot is not None and now - snapshot.read_at <= self._max_age

    def _is_current(self, name: str, identity: Identity, now: float) -> bool:
        """Whether the group was read lately enough, and exists in the identity's account."""
        snapshot = self._groups.get(name)
        return snapshot is not None and self._fresh(snapshot, now) and snapshot.account == identity.account_id

    def _elsewhere(self, identity: Identity, now: float) -> bool:
        """Whether the identity is known to be of another account than all groups: a user of it can be in none."""
        accounts = {each.account for each in self._groups.values() if each is not None and self._fresh(each, now)}
        accounts.discard("")
        return bool(accounts) and identity.account_id not in accounts

    def _pinned(self, item: TemporaryGrant, longest: int, now: float) -> bool:
        """Whether the name is still that of the IAM user who was meant, as far as can be seen."""
        known = self._namesakes.user_id(item.user_name)
        if known in ("", item.user_id):
            return True
        # Once somebody else had this name. A current member has it now; else the old one's sessions have to have ended.
        return known not in self._groups_of and self._namesakes.named_for(item, now) >= longest

    def _wall_now(self, now: float) -> float:
        began, wall = self._started
        return max(self._wall(), wall + now - began)

    def _index(self, group: str, before: GroupSnapshot | None, after: GroupSnapshot | None) -> Change:
        """Keep the way from a unique id to its groups in step with the group's members."""
        old = dict(before.members) if before is not None else {}
        new = dict(after.members) if after is not None else {}
        for user_id in set(old.values()) - set(new.values()):
            rest = tuple(name for name in self._groups_of.get(user_id, ()) if name != group)
            if rest:
                self._groups_of[user_id] = rest
            else:
                self._groups_of.pop(user_id, None)
        for user_id in set(new.values()) - set(old.values()):
            self._groups_of[user_id] = (*self._groups_of.get(user_id, ()), group)
        joined = sorted(name for name, user_id in new.items() if old.get(name) != user_id)
        left = sorted(name for name, user_id in old.items() if new.get(name) != user_id)
        return Change(tuple(joined), tuple(left), first=before is None)


def _state(role: RoleSnapshot) -> tuple[str, str, float]:
    """Return the parts of what is known of a role whose changes are reported."""
    return role.role_id, role.problem, role.suspended_until


def _older(one: GroupSnapshot | RoleSnapshot, other: GroupSnapshot | RoleSnapshot | None) -> bool:
    """Whether a read that ended later began earlier: it may have missed what the other saw."""
    return other is not None and one.read_at < other.read_at
