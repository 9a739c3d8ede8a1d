"""Decisions of the membership cache, by the snapshots and their age."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identities import iam_user, role_session
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingMatch, MappingTable
from kube_iam.core.mapping_entries import GroupMapping, MembershipRequirement, TemporaryGrant
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.templates import GROUP_VARIABLES, parse_template
from kube_iam.core.utc import rfc3339
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.snapshots import GroupChange, GroupSnapshot, RoleSnapshot

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"
ALICE, BOB, OTHER = "AIDAALICEALICE", "AIDABOBBOBBOB", "AIDAOTHEROTHER"
REQUIREMENT = MembershipRequirement("admins", ROLE, "admin")
HOUR = 3600.0


@dataclass
class Clocks:
    uptime: float = 1000.0
    wall: float = 1_800_000_000.0

    def advance(self, seconds: float) -> None:
        self.uptime += seconds
        self.wall += seconds


class Membership:
    """A cache with one requirement, and what it is told."""

    def __init__(self, *temporary: TemporaryGrant, max_age: float = 300.0) -> None:
        self.clocks = Clocks()
        self.requirement = MembershipRequirement("admins", ROLE, "admin", temporary)
        self.cache = MembershipCache(max_age, lambda: self.clocks.uptime, lambda: self.clocks.wall)
        self.cache.set_tracked((), [self.requirement])

    def read(self, **members: str) -> GroupChange:
        """Group and role are read whole, just now."""
        self.role()
        return self.group("admins", **members)

    def group(self, group: str, **members: str) -> GroupChange:
        return self.cache.update_group(group, GroupSnapshot(self.clocks.uptime, ACCOUNT, members))

    def role(self, problem: str = "", role_id: str = "AROAADMIN", longest: int = 3600) -> bool:
        return self.cache.update_role(ROLE, RoleSnapshot(self.clocks.uptime, role_id, longest, problem))

    def refused(self, name: str = "alice", account: str = ACCOUNT) -> Reason | None:
        refusal = self.cache.check_role_session(self.requirement, session(name, account))
        return refusal.reason if refusal is not None else None

    def is_admitted(self, name: str = "alice") -> bool:
        return self.refused(name) is None


def membership(*temporary: TemporaryGrant, max_age: float = 300.0) -> Membership:
    return Membership(*temporary, max_age=max_age)


def session(name: str, account: str = ACCOUNT, role_id: str = "AROAADMIN") -> Identity:
    return role_session(name, "admin", account=account, user_id=role_id)


def user(name: str, user_id: str, account: str = ACCOUNT) -> Identity:
    return iam_user(name, path="/staff/", account=account, user_id=user_id)


def test_members_are_admitted_by_their_exact_name_only() -> None:
    known = membership()
    known.read(alice=ALICE)
    assert known.is_admitted("alice")
    assert [known.refused(name) for name in ("bob", "Alice", "alice ", "")] == [Reason.NOT_MEMBER] * 4


def test_nobody_is_admitted_before_group_and_role_were_read() -> None:
    known = membership()
    assert known.refused() is Reason.MEMBERSHIP_STALE
    known.group("admins", alice=ALICE)
    assert known.refused() is Reason.MEMBERSHIP_STALE
    assert known.cache.stale() == [f"role {ROLE}"]
    known.role()
    assert known.is_admitted()
    assert known.cache.stale() == []


def test_nobody_is_admitted_after_a_snapshot_is_too_old() -> None:
    known = membership(max_age=300)
    known.read(alice=ALICE)
    known.clocks.advance(300)
    assert known.is_admitted()
    known.clocks.advance(1)
    assert known.refused() is Reason.MEMBERSHIP_STALE
    assert known.cache.stale() == ["group admins", f"role {ROLE}"]
    known.group("admins", alice=ALICE)
    assert known.refused() is Reason.MEMBERSHIP_STALE  # the trust policy is too old still
    known.role()
    assert known.is_admitted()


@pytest.mark.parametrize("jump", [-1e9, -3600.0, 3600.0, 1e9])
def test_jumps_of_the_wall_clock_neither_end_nor_prolong_what_was_read(jump: float) -> None:
    known = membership(max_age=300)
    known.read(alice=ALICE)
    known.clocks.wall += jump
    assert known.is_admitted()
    known.clocks.uptime += 301
    assert known.refused() is Reason.MEMBERSHIP_STALE


def test_trust_policy_that_leaves_names_open_refuses_members() -> None:
    known = membership()
    known.read(alice=ALICE)
    assert known.role(problem="statement number 2 …")
    refusal = known.cache.check_role_session(known.requirement, session("alice"))
    assert refusal == Refusal(Reason.SESSION_NAME_UNRESTRICTED, "statement number 2 …")


def test_repaired_trust_policy_refuses_while_sessions_from_before_may_be_valid() -> None:
    known = membership()
    known.role(problem="statement number 2 …")  # the first that was read of it
    known.group("admins", alice=ALICE)
    known.clocks.advance(60)
    assert known.role()
    refusal = known.cache.check_role_session(known.requirement, session("alice"))
    assert refusal is not None
    assert refusal.reason is Reason.ROLE_SUSPENDED
    assert refusal.detail == "until 2027-01-15T09:01:00Z; to end that at once delete the role and run kube-iam apply"
    assert known.cache.role_problem(ROLE) == refusal.message
    known.clocks.advance(HOUR - 1)
    known.group("admins", alice=ALICE)
    assert not known.role()
    assert known.refused() is Reason.ROLE_SUSPENDED
    known.clocks.advance(1)
    assert known.role()
    assert known.is_admitted()
    assert known.cache.role_problem(ROLE) == ""


def test_role_is_suspended_for_the_longest_session_duration_seen() -> None:
    known = membership()
    known.role(problem="open", longest=12 * 3600)
    known.role()
    known.clocks.advance(12 * HOUR - 1)
    known.read(alice=ALICE)
    assert known.refused() is Reason.ROLE_SUSPENDED
    known.clocks.advance(1)
    known.read(alice=ALICE)
    assert known.is_admitted()


def test_what_was_allowed_just_before_it_was_seen_open_counts_too() -> None:
    known = membership()
    known.role(longest=12 * 3600)
    known.role(problem="open")
    known.role()
    known.clocks.advance(12 * HOUR - 1)
    known.read(alice=ALICE)
    assert known.refused() is Reason.ROLE_SUSPENDED


def test_role_created_again_after_it_was_open_admits_at_once() -> None:
    known = membership()
    known.read(alice=ALICE)
    known.role(problem="open")
    known.role()
    known.role(role_id="AROAANEW")
    assert known.cache.check_role_session(known.requirement, session("alice", role_id="AROAANEW")) is None
    assert known.refused() is Reason.SESSION_PREDATES_ROLE


def test_that_it_was_open_is_known_also_after_an_absence() -> None:
    known = membership()
    known.read(alice=ALICE)
    known.role(problem="open")
    known.cache.update_role(ROLE, RoleSnapshot(known.clocks.uptime, problem="another account's", exists=False))
    known.cache.set_tracked((), [])
    known.cache.set_tracked((), [known.requirement])
    known.read(alice=ALICE)
    assert known.refused() is Reason.ROLE_SUSPENDED


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5000), st.sampled_from([3600, 7200])), min_size=1, max_size=12))
def test_nobody_is_admitted_while_a_session_of_an_open_time_may_live(reads: list[tuple[bool, int, int]]) -> None:
    """Whether a read finds the role open, how much time passes after it, and how long sessions may be then."""
    known = membership(max_age=1e9)
    ends, was_open, longest_before = 0.0, False, 0
    for is_open, seconds, longest in reads:
        known.role(problem="open" if is_open else "", longest=longest)
        known.group("admins", alice=ALICE)
        if is_open or was_open:  # a session may have been begun at any moment up to this one
            ends = max(ends, known.clocks.uptime + max(longest, longest_before))
        if is_open or known.clocks.uptime < ends:
            assert known.refused() is (Reason.SESSION_NAME_UNRESTRICTED if is_open else Reason.ROLE_SUSPENDED)
        was_open, longest_before = is_open, longest
        known.clocks.advance(seconds)


def role_refusal(known: Membership, role_id: str) -> Refusal | None:
    return known.cache.check_role_session(known.requirement, session("alice", role_id=role_id))


def created_again(known: Membership, seconds_ago: float = 0.0) -> bool:
    """Load a role whose CreateDate says that it was created again so many seconds ago."""
    snapshot = RoleSnapshot(known.clocks.uptime, "AROAANEW", 3600, created=known.clocks.wall - seconds_ago)
    return known.cache.update_role(ROLE, snapshot)


def test_session_of_a_role_created_again_waits_for_the_next_read() -> None:
    known = membership()
    known.read(alice=ALICE)
    assert role_refusal(known, "AROAANEW") == Refusal(Reason.ROLE_RECREATED)
    known.clocks.advance(1)
    assert created_again(known)
    assert role_refusal(known, "AROAANEW") is None


def test_session_older_than_the_role_is_told_so_with_the_remedy() -> None:
    known = membership()
    known.read(alice=ALICE)
    assert created_again(known)
    refusal = role_refusal(known, "AROAADMIN")
    assert refusal == Refusal(Reason.SESSION_PREDATES_ROLE, "the role was created at 2027-01-15T08:00:00Z")
    assert "kube-iam logout LEVEL" in refusal.message


def test_session_older_than_the_role_is_told_so_by_a_server_that_started_later() -> None:
    known = membership()
    known.group("admins", alice=ALICE)
    created_again(known, seconds_ago=60)
    assert role_refusal(known, "AROAADMIN") == Refusal(Reason.ROLE_RECREATED)  # not read since this session was seen
    known.clocks.advance(1)
    created_again(known, seconds_ago=61)
    refusal = role_refusal(known, "AROAADMIN")
    assert refusal is not None
    assert refusal.reason is Reason.SESSION_PREDATES_ROLE
    assert role_refusal(known, "AROAANEW") is None


def test_session_is_not_called_old_where_no_older_one_can_be_alive() -> None:
    known = membership()
    known.group("admins", alice=ALICE)
    created_again(known, seconds_ago=12 * HOUR)
    role_refusal(known, "AROALATER")
    known.clocks.advance(1)
    created_again(known, seconds_ago=12 * HOUR + 1)  # IAM still shows the role that was deleted
    assert role_refusal(known, "AROALATER") == Refusal(Reason.ROLE_RECREATED)


def test_role_that_was_absent_in_between_was_created_again() -> None:
    known = membership()
    known.read(alice=ALICE)
    known.cache.update_role(ROLE, RoleSnapshot(known.clocks.uptime, problem="IAM knows no such role", exists=False))
    created_again(known)
    refusal = role_refusal(known, "AROAADMIN")
    assert refusal is not None
    assert refusal.reason is Reason.SESSION_PREDATES_ROLE


@pytest.mark.parametrize("absent_before", [False, True])
def test_stale_read_of_a_deleted_role_changes_nothing(absent_before: bool) -> None:
    """IAM is eventually consistent: a read may show the role that was deleted, after another one showed the new role."""
    known = membership()
    known.group("admins", alice=ALICE)
    former = RoleSnapshot(known.clocks.uptime, "AROAADMIN", created=known.clocks.wall - 2 * HOUR)
    known.cache.update_role(ROLE, former)
    known.clocks.advance(1)
    created_again(known)
    known.clocks.advance(1)
    if absent_before:
        known.cache.update_role(ROLE, RoleSnapshot(known.clocks.uptime, problem="IAM knows no such role", exists=False))
    assert not known.cache.update_role(ROLE, replace(former, read_at=known.clocks.uptime))
    assert role_refusal(known, "AROAADMIN") is not None
    if not absent_before:
        assert role_refusal(known, "AROAANEW") is None
    known.clocks.advance(1)
    created_again(known, seconds_ago=2)
    assert role_refusal(known, "AROAANEW") is None


def test_role_that_iam_shows_as_the_deleted_one_for_too_long_admits_nobody() -> None:
    known = membership()
    former = RoleSnapshot(known.clocks.uptime, "AROAADMIN", created=known.clocks.wall - 2 * HOUR)
    created_again(known)
    known.clocks.advance(301)
    known.group("admins", alice=ALICE)
    known.cache.update_role(ROLE, replace(former, read_at=known.clocks.uptime))
    assert {role_refusal(known, each).reason for each in ("AROAADMIN", "AROAANEW")} == {Reason.MEMBERSHIP_STALE}  # type: ignore[union-attr]


def test_suspension_by_a_repaired_trust_policy_ends_at_the_time_that_it_names() -> None:
    known = membership(max_age=2 * HOUR)
    known.read(alice=ALICE)
    known.role(problem="open")
    known.role()
    known.clocks.advance(HOUR - 1)
    assert known.refused() is Reason.ROLE_SUSPENDED
    known.clocks.advance(1)
    assert known.is_admitted()  # without another read of IAM
    assert known.cache.role_problem(ROLE) == ""


def test_missing_role_admits_nobody() -> None:
    known = membership()
    known.read(alice=ALICE)
    known.cache.update_role(ROLE, RoleSnapshot(known.clocks.uptime, problem="IAM knows no such role", exists=False))
    assert known.refused() is Reason.MEMBERSHIP_STALE


def test_deleted_group_admits_nobody_and_a_new_one_its_members() -> None:
    known = membership()
    known.read(alice=ALICE, bob=BOB)
    change = known.cache.update_group("admins", GroupSnapshot(known.clocks.uptime))
    assert change == GroupChange((), ("alice", "bob"), first=False)
    assert known.refused() is Reason.NOT_MEMBER
    known.read(bob=BOB)
    assert (known.is_admitted("alice"), known.is_admitted("bob")) == (False, True)


def test_group_of_another_account_admits_nobody() -> None:
    known = membership()
    known.role()
    known.cache.update_group("admins", GroupSnapshot(known.clocks.uptime, "999900001111", {"alice": ALICE}))
    assert known.refused() is Reason.NOT_MEMBER


def test_new_user_of_a_reused_name_is_refused_until_sessions_of_the_former_expire() -> None:
    known = membership()
    known.read(alice=ALICE)
    assert known.read(alice=OTHER) == GroupChange(("alice",), ("alice",), first=False)
    assert known.refused() is Reason.NOT_MEMBER
    known.clocks.advance(HOUR - 1)
    known.read(alice=OTHER)
    assert known.refused() is Reason.NOT_MEMBER
    known.clocks.advance(1)
    assert known.is_admitted()


def test_reused_user_name_is_known_after_an_absence_and_in_another_group() -> None:
    known = membership()
    known.cache.set_tracked(("viewers",), [known.requirement])
    known.group("viewers", alice=ALICE)
    known.group("viewers")
    known.clocks.advance(30 * 24 * HOUR)
    known.read(alice=OTHER)
    assert known.refused() is Reason.NOT_MEMBER
    known.clocks.advance(HOUR)
    known.read(alice=OTHER)
    assert known.is_admitted()


def test_user_who_left_and_joined_again_is_admitted_at_once() -> None:
    known = membership()
    known.read(alice=ALICE)
    known.read()
    known.read(alice=ALICE)
    assert known.is_admitted()


def test_sessions_begun_when_they_could_last_longer_are_waited_for() -> None:
    known = membership()
    known.role(longest=12 * 3600)
    known.read(alice=ALICE)
    known.role(longest=3600)
    known.group("admins", alice=OTHER)
    for _ in range(11):
        known.clocks.advance(HOUR)
        known.read(alice=OTHER)
        assert known.refused() is Reason.NOT_MEMBER
    known.clocks.advance(HOUR)
    known.read(alice=OTHER)
    assert known.is_admitted()


def until(clocks: Clocks, seconds: float, user_id: str = BOB) -> TemporaryGrant:
    return TemporaryGrant("bob", user_id, rfc3339(clocks.wall + seconds))


def test_temporary_grant_admits_until_its_end() -> None:
    known = membership(until(Clocks(), 600))
    known.read(alice=ALICE)
    assert known.is_admitted("bob")
    known.clocks.advance(599)
    known.read(alice=ALICE)
    assert known.is_admitted("bob")
    known.clocks.advance(1)
    assert known.refused("bob") is Reason.NOT_MEMBER
    assert known.is_admitted("alice")


def test_a_clock_set_back_brings_nobody_back_in() -> None:
    known = membership(until(Clocks(), 60))
    known.clocks.advance(61)
    known.read()
    assert not known.is_admitted("bob")
    known.clocks.wall -= 10 * HOUR
    assert not known.is_admitted("bob")


def test_a_clock_set_right_again_gives_back_what_it_took() -> None:
    known = membership(until(Clocks(), 60))
    known.read()
    known.clocks.wall += 10 * HOUR
    assert not known.is_admitted("bob")
    known.clocks.wall -= 10 * HOUR
    assert known.is_admitted("bob")


@given(
    st.lists(
        st.tuples(st.floats(0, 400), st.floats(-1e6, 1e6), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_however_the_wall_clock_jumps(steps: list[tuple[float, float, bool]]) -> None:
    """Time that passes, a jump, and whether IAM is read then."""
    known = membership(until(Clocks(), 600), max_age=300)
    began = read_at = known.clocks.uptime
    known.read(alice=ALICE)
    for seconds, jump, read in steps:
        known.clocks.advance(seconds)
        known.clocks.wall += jump
        now = known.clocks.uptime
        if read:
            known.read(alice=ALICE)
            read_at = now
        assert known.is_admitted("alice") is (now - read_at <= 300)
        assert not known.is_admitted("carol")
        if now - began >= 600:
            assert not known.is_admitted("bob")


def test_temporary_grant_requires_a_restricted_session_name() -> None:
    known = membership(until(Clocks(), 600))
    assert known.refused("bob") is Reason.MEMBERSHIP_STALE
    known.read()
    known.role(problem="open")
    assert known.refused("bob") is Reason.SESSION_NAME_UNRESTRICTED


def test_temporary_grant_is_for_the_unique_id_where_it_is_known() -> None:
    known = membership(until(Clocks(), 7200, user_id=OTHER))
    known.cache.set_tracked(("viewers",), [known.requirement])
    known.read()
    assert known.is_admitted("bob")  # never seen: the entry's word is all there is
    known.group("viewers", bob=BOB)
    assert known.refused("bob") is Reason.NOT_MEMBER  # the name is another's
    known.group("viewers")
    assert known.refused("bob") is Reason.NOT_MEMBER  # whose sessions may still live
    known.clocks.advance(HOUR)
    known.read()
    assert known.is_admitted("bob")


def test_reused_name_of_a_user_known_from_a_temporary_grant_is_refused() -> None:
    known = membership(until(Clocks(), 600))
    known.read(bob=OTHER)
    assert known.refused("bob") is Reason.NOT_MEMBER  # the one before may have a session still
    known.clocks.advance(HOUR)
    known.read(bob=OTHER)
    assert known.is_admitted("bob")


def test_earlier_of_two_grants_to_one_name_is_of_the_former_user() -> None:
    known = membership(until(Clocks(), 600, user_id=OTHER), until(Clocks(), -60))
    known.read()
    assert known.refused("bob") is Reason.NOT_MEMBER


def test_temporary_grant_older_than_any_session_does_not_block_a_reused_name() -> None:
    known = membership(until(Clocks(), -12 * HOUR))
    known.read(bob=OTHER)
    assert known.is_admitted("bob")


def test_what_is_no_longer_followed_is_forgotten_and_not_taken_over() -> None:
    known = membership()
    known.read(alice=ALICE)
    known.cache.set_tracked((), [])
    assert known.read(alice=ALICE) == GroupChange((), (), first=False)
    assert list(known.cache.ages()) == []
    known.cache.set_tracked((), [known.requirement])
    assert known.refused() is Reason.MEMBERSHIP_STALE


def test_a_read_that_began_earlier_and_ends_later_changes_nothing() -> None:
    known = membership()
    began = known.clocks.uptime
    known.clocks.advance(5)
    known.read()
    assert known.cache.update_group("admins", GroupSnapshot(began, ACCOUNT, {"alice": ALICE})) == GroupChange(
        (), (), first=False
    )
    assert known.refused() is Reason.NOT_MEMBER
    known.read(alice=ALICE)
    known.role(problem="statement number 1 of the trust policy is open")
    assert not known.cache.update_role(ROLE, RoleSnapshot(began, "AROAADMIN"))
    assert known.refused() is Reason.SESSION_NAME_UNRESTRICTED


def test_ages_are_those_of_the_last_whole_read() -> None:
    known = membership()
    known.read(alice=ALICE)
    known.clocks.advance(7)
    known.role()
    assert list(known.cache.ages()) == [("group", "admins", 7.0), ("role", ROLE, 0.0)]


# mapGroups


def of_group(name: str, *temporary: TemporaryGrant, groups: tuple[str, ...] = ()) -> GroupMapping:
    templates = tuple(parse_template(each, GROUP_VARIABLES) for each in (name, *groups))
    username = parse_template(f"{name}:{{{{UserName}}}}", GROUP_VARIABLES)
    return GroupMapping(name, username, templates, f"level-{name}", temporary, f"mapGroups[{name}]")


class Groups(Membership):
    def __init__(self, *entries: GroupMapping) -> None:
        super().__init__()
        self.table = MappingTable.build((), (), (), entries)[0]
        self.cache.set_tracked(self.table.group_mappings.iam_groups, ())

    def given(self, who: Identity) -> MappingMatch | Refusal | None:
        return self.cache.match_group_mappings(self.table.group_mappings, who)


def shown(mapped: MappingMatch | Refusal | None) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    assert isinstance(mapped, MappingMatch)
    return mapped.username.text, tuple(group.text for group in mapped.groups), mapped.levels


def test_a_user_gets_the_groups_of_every_entry_and_the_name_of_the_first() -> None:
    site = Groups(of_group("dev", groups=("common",)), of_group("ops"), of_group("qa", groups=("common",)))
    for name in ("qa", "dev"):
        site.group(name, alice=ALICE)
    site.group("ops")
    assert shown(site.given(user("alice", ALICE))) == (
        "dev:{{UserName}}",
        ("dev", "common", "qa"),
        ("level-dev", "level-qa"),
    )


def test_membership_of_a_whole_group_goes_by_unique_id() -> None:
    site = Groups(of_group("dev"))
    site.group("dev", alice=ALICE)
    assert site.given(user("alice", OTHER)) is None
    assert shown(site.given(user("renamed", ALICE)))[1] == ("dev",)
    assert site.given(user("alice", ALICE, account="999900001111")) is None
    assert site.given(session("alice", role_id=ALICE)) is None


def test_a_group_that_is_not_known_adds_nothing_and_takes_nothing_away() -> None:
    site = Groups(of_group("dev"), of_group("ops"))
    assert site.given(user("alice", ALICE)) == Refusal(Reason.MEMBERSHIP_STALE, "IAM group dev")
    site.group("ops", alice=ALICE)
    assert shown(site.given(user("alice", ALICE)))[1] == ("ops",)
    assert site.given(user("bob", BOB)) == Refusal(Reason.MEMBERSHIP_STALE, "IAM group dev")
    assert site.given(session("alice")) is None  # no IAM user could ever be in it
    site.group("dev")
    assert site.given(user("bob", BOB)) is None
    site.clocks.advance(301)
    assert site.given(user("alice", ALICE)) == Refusal(Reason.MEMBERSHIP_STALE, "IAM group dev")


def test_unknown_group_refuses_nobody_of_an_account_that_it_cannot_contain() -> None:
    site = Groups(of_group("dev"), of_group("ops"))
    stranger = user("alice", ALICE, account="999900001111")
    assert isinstance(site.given(stranger), Refusal)  # whose groups these are is not known yet
    site.cache.update_group("ops", GroupSnapshot(site.clocks.uptime))
    assert isinstance(site.given(stranger), Refusal)  # nor is it by a group that is not there
    site.group("ops")
    assert site.given(stranger) is None
    assert isinstance(site.given(user("bob", BOB)), Refusal)
    site.clocks.advance(301)
    assert isinstance(site.given(stranger), Refusal)


def test_somebody_let_into_a_whole_group_for_a_time_is_known_by_the_unique_id() -> None:
    wall = Clocks().wall
    site = Groups(
        of_group("dev"),
        of_group("ops", TemporaryGrant("bob", BOB, rfc3339(wall + 60)), TemporaryGrant("", BOB, rfc3339(wall + 30))),
    )
    site.group("dev", bob=BOB)
    site.group("ops")
    assert shown(site.given(user("bob", BOB)))[1] == ("dev", "ops")
    assert site.given(user("bob", OTHER)) is None
    site.clocks.advance(60)
    assert shown(site.given(user("bob", BOB)))[1] == ("dev",)


def temporary_grant(*, user_id: str = BOB, group_account: str | None = ACCOUNT, age: float = 0.0) -> Groups:
    """Return a mapGroups entry with a temporary grant, its IAM group last read `age` seconds ago; None: never read."""
    site = Groups(of_group("ops", TemporaryGrant("bob", user_id, rfc3339(Clocks().wall + 10 * HOUR))))
    if group_account is not None:
        site.cache.update_group("ops", GroupSnapshot(site.clocks.uptime, group_account, {"alice": ALICE}))
        site.clocks.advance(age)
    return site


def test_temporary_grant_in_map_groups_is_admitted_by_a_fresh_group() -> None:
    assert shown(temporary_grant(age=300).given(user("bob", BOB)))[1] == ("ops",)
    assert shown(temporary_grant().given(user("renamed", BOB)))[1] == ("ops",)


def test_temporary_grant_in_map_groups_is_refused_while_the_group_is_unread() -> None:
    unread = Refusal(Reason.MEMBERSHIP_STALE, "IAM group ops")
    assert temporary_grant(group_account=None).given(user("bob", BOB)) == unread
    assert temporary_grant(age=301).given(user("bob", BOB)) == unread


@pytest.mark.parametrize(
    ("site", "who"),
    [
        pytest.param(temporary_grant(group_account=""), user("bob", BOB), id="deleted group"),
        pytest.param(temporary_grant(), user("bob", BOB, account="999900001111"), id="user of another account"),
        pytest.param(temporary_grant(group_account="999900001111"), user("bob", BOB), id="group of another account"),
        pytest.param(temporary_grant(user_id=OTHER), user("bob", BOB), id="user created again"),
        pytest.param(temporary_grant(), session("bob", role_id=BOB), id="role session"),
    ],
)
def test_temporary_grant_in_map_groups_is_refused_for(site: Groups, who: Identity) -> None:
    assert site.given(who) is None


def test_temporary_grant_in_map_groups_depends_on_its_own_group_alone() -> None:
    site = Groups(of_group("dev"), of_group("ops", TemporaryGrant("bob", BOB, rfc3339(Clocks().wall + HOUR))))
    site.group("dev", bob=BOB)
    assert shown(site.given(user("bob", BOB)))[1] == ("dev",)
    site.group("ops")
    assert shown(site.given(user("bob", BOB)))[1] == ("dev", "ops")
    site.cache.update_group("ops", GroupSnapshot(site.clocks.uptime))
    assert shown(site.given(user("bob", BOB)))[1] == ("dev",)


@pytest.mark.parametrize("group_account", ["", "999900001111"])
def test_temporary_grant_behind_a_role_needs_the_group_in_the_account(group_account: str) -> None:
    known = membership(until(Clocks(), 600))
    known.role()
    known.cache.update_group("admins", GroupSnapshot(known.clocks.uptime, group_account))
    assert known.refused("bob") is Reason.NOT_MEMBER
    known.read()
    assert known.is_admitted("bob")


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("read"), NAMES, st.sets(st.sampled_from([ALICE, BOB, OTHER]))),
    st.tuples(st.just("follow"), st.sets(NAMES), st.just(set[str]())),
    st.tuples(st.just("pass"), st.integers(0, 200), st.just(set[str]())),
)


@given(st.lists(STEPS, max_size=30))
def test_it_agrees_with_looking_through_all_snapshots(steps: list[tuple[str, object, set[str]]]) -> None:
    site = Groups(*(of_group(name) for name in "abc"))
    followed, known = {"a", "b", "c"}, dict[str, tuple[float, set[str]]]()
    for kind, what, ids in steps:
        if kind == "pass":
            assert isinstance(what, int)
            site.clocks.advance(what)
        elif kind == "follow":
            assert isinstance(what, set)
            followed = what
            site.cache.set_tracked(sorted(what), ())
            known = {name: found for name, found in known.items() if name in followed}
        else:
            name = str(what)
            site.group(name, **{user_id.lower(): user_id for user_id in ids})
            if name in followed:
                known[name] = (site.clocks.uptime, ids)
        for user_id in (ALICE, BOB, OTHER):
            fresh = {name: ids for name, (at, ids) in known.items() if site.clocks.uptime - at <= 300}
            expected = tuple(name for name in "abc" if user_id in fresh.get(name, set()))
            given = site.given(user("x", user_id))
            if expected:
                assert shown(given)[1] == expected
            else:
                assert isinstance(given, Refusal) is (len(fresh) < 3)
