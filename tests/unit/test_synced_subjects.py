"""Users of synced bindings, computed from reads of IAM, denials and time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.member_source import MemberSource
from kube_iam.core.utc import rfc3339
from kube_iam.denylist.denial import Denial, DenialTable, denial_of
from kube_iam.denylist.denied_subjects import denied_subjects
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.snapshots import GroupSnapshot, RoleSnapshot
from kube_iam.sync.subjects import Denials, Moment, WantedSubjects, wanted_subjects

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Admin"
RAW, FOLDED = "awsiam:admin:{{SessionNameRaw}}", "awsiam:admin:{{SessionName}}"
MAX_AGE, ADD_WITHIN = 300.0, 30.0
NOW = 1_800_000_000.0
DEFAULT = MemberSource("Admins", ROLE, RAW)


@dataclass
class Level:
    """One level, its reads and its denials."""

    source: MemberSource = DEFAULT
    denials: list[Denial] = field(default_factory=list)
    deny_list_is_read: bool = True
    clock: float = 1000.0
    grace_until: float = 0.0

    def __post_init__(self) -> None:
        self.cache = MembershipCache(MAX_AGE, lambda: self.clock, lambda: self.wall)
        self.cache.set_tracked((), [self.source.requirement] if not self.source.problem else [])

    @property
    def wall(self) -> float:
        return NOW + self.clock

    def read(self, *users: str, problem: str = "", account: str = ACCOUNT, longest: int = 3600) -> None:
        self.read_group(*users, account=account)
        role = self.source.requirement.role
        self.cache.update_role(role, RoleSnapshot(self.clock, "AROAADMIN", longest, problem))

    def read_group(self, *users: str, account: str = ACCOUNT) -> None:
        members = {user: f"AIDA{user.upper()}" for user in users}
        self.cache.update_group(self.source.iam_group, GroupSnapshot(self.clock, account, members))

    def wanted(self, *present: str) -> WantedSubjects:
        denials = Denials(DenialTable(self.denials), tuple(self.denials)) if self.deny_list_is_read else Denials()
        moment = Moment(self.clock, self.wall, ADD_WITHIN, self.grace_until)
        return wanted_subjects(self.source, [named(user) for user in present], self.cache, denials, moment)

    def users(self, *present: str) -> set[str]:
        return {name.removeprefix("awsiam:admin:") for name in self.wanted(*present).users}


def named(user: str) -> str:
    return f"awsiam:admin:{user}"


def denial(text: str, role: str = "") -> Denial:
    return denial_of(text, until=NOW * 2, role=role)


def test_members_get_their_own_user_name() -> None:
    level = Level()
    level.read("alice", "bob@example.com")
    assert level.wanted().users == ("awsiam:admin:alice", "awsiam:admin:bob@example.com")


def test_former_member_is_removed_by_the_next_read() -> None:
    level = Level()
    level.read("alice", "bob")
    level.read("bob")
    assert level.users("alice", "bob") == {"bob"}


def test_old_read_keeps_users_and_adds_nobody() -> None:
    level = Level()
    level.read("alice", "bob")
    level.clock += ADD_WITHIN + 1
    assert level.users("alice") == {"alice"}


@pytest.mark.parametrize("part", ["group", "role"])
def test_nobody_is_left_after_the_longest_age(part: str) -> None:
    level = Level()
    level.read("alice")
    level.clock += MAX_AGE + 1
    if part == "role":
        level.read_group("alice")
    assert level.users("alice") == set()


def test_unread_level_keeps_its_users_for_the_time_of_grace_alone() -> None:
    level = Level(grace_until=1010.0, denials=[denial("bob")])
    assert level.users("alice", "bob") == {"alice"}
    level.clock = 1010.0
    assert level.users("alice") == set()


@pytest.mark.parametrize(
    "text",
    [
        "alice",
        "ALICE",
        f"arn:aws:iam::{ACCOUNT}:user/staff/alice",
        "AIDAALICE12345678",
        ROLE,
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice",
        "AROAADMIN12345678",
        "AROAADMIN12345678:alice",
    ],
)
def test_denied_user_is_removed_and_not_added_again(text: str) -> None:
    level = Level(denials=[denial(text)])
    members = {"alice": "AIDAALICE12345678"}
    level.cache.update_group("Admins", GroupSnapshot(level.clock, ACCOUNT, members))
    level.cache.update_role(level.source.requirement.role, RoleSnapshot(level.clock, "AROAADMIN12345678"))
    assert level.users("alice") == set()
    level.denials = []
    assert level.users() == {"alice"}


@pytest.mark.parametrize("role", ["arn:aws:iam::111122223333:role/Other", ROLE])
def test_denial_of_one_role_counts_in_that_role_alone(role: str) -> None:
    level = Level(denials=[denial("alice", role=role)])
    level.read("alice")
    assert level.users("alice") == ({"alice"} if role.endswith("Other") else set())


def test_denial_ends_by_time() -> None:
    level = Level(denials=[denial_of("alice", until=NOW + 1010)])
    level.read("alice")
    assert level.users() == set()
    level.clock = 1011.0
    assert level.users() == {"alice"}


def test_unread_deny_list_adds_nobody() -> None:
    level = Level(deny_list_is_read=False)
    level.read("alice", "bob")
    assert level.users("alice") == {"alice"}


def test_open_trust_policy_removes_all_until_sessions_have_ended() -> None:
    level = Level()
    level.read("alice", problem="anybody")
    wanted = level.wanted(named("alice"))
    assert (wanted.users, wanted.problem) == ((), "anybody")
    level.read("alice")
    assert level.users() == set()
    level.clock += 3601
    level.read("alice")
    assert level.users() == {"alice"}


def test_group_of_another_account_gives_nobody_access() -> None:
    level = Level()
    level.read("alice", account="999999999999")
    assert level.users("alice") == set()


def test_user_names_that_two_members_share_are_given_to_neither() -> None:
    level = Level(MemberSource("Admins", ROLE, FOLDED))
    level.read("a@x", "a-x", "carl")
    wanted = level.wanted("a-x")
    assert wanted.users == ("awsiam:admin:carl",)
    assert set(wanted.refused) == {"a@x", "a-x"}
    level.denials = [denial("a@x")]
    assert level.users("a-x") == {"carl"}


def test_former_member_has_the_name_of_a_member_where_names_are_joined() -> None:
    level = Level(MemberSource("Admins", ROLE, FOLDED))
    level.read("a-x", "a@x")
    assert level.users() == set()
    level.read("a-x")
    # A limit that docs/sync.md states: a session of a@x that still lives has this name too.
    assert level.wanted().users == (named("a-x"),) == (level.source.user_name("a@x"),)


def test_temporary_user_has_access_until_the_end() -> None:
    grant = TemporaryGrant("tess", "AIDATESSTESSTESS", rfc3339(NOW + 1100))
    level = Level(MemberSource("Admins", ROLE, RAW, (grant,)))
    level.read()
    assert level.users() == {"tess"}
    level.clock += 101
    level.read()
    assert level.users("tess") == set()


def test_user_who_was_created_again_waits_for_the_end_of_earlier_sessions() -> None:
    level = Level()
    level.read("alice")
    level.clock += 1
    level.cache.update_group("Admins", GroupSnapshot(level.clock, ACCOUNT, {"alice": "AIDANEW"}))
    assert level.users("alice") == set()


@pytest.mark.parametrize(
    "source",
    [
        MemberSource("", ROLE, RAW),
        MemberSource("Admins", "no ARN", RAW),
        MemberSource("Admins", f"arn:aws:iam::{ACCOUNT}:user/alice", RAW),
        MemberSource("Admins", ROLE, "admins"),
        MemberSource("Admins", ROLE, "{{AccessKeyID}}"),
        MemberSource("Admins", ROLE, "{{SessionName"),
        MemberSource("Admins", ROLE, "{{SessionName}}{{SessionNameRaw}}"),
    ],
    ids=lambda source: source.username,
)
def test_malformed_binding_has_no_users(source: MemberSource) -> None:
    wanted = Level(source).wanted("alice")
    assert wanted.users == ()
    assert wanted.problem


@pytest.mark.parametrize(
    ("username", "text", "subject"),
    [
        (RAW, "alice", "alice"),
        (RAW, "a@x", "a@x"),
        (FOLDED, "a@x", "a-x"),
        (FOLDED, "a-x", "a-x"),
        (FOLDED, f"arn:aws:iam::{ACCOUNT}:user/team/a@x", "a-x"),
        (RAW, "al*", "alice"),
        (RAW, ROLE, "alice"),
    ],
)
def test_subjects_of_a_denial_are_found_without_iam(username: str, text: str, subject: str) -> None:
    source = MemberSource("Admins", ROLE, username)
    entry = Denial("x", "userName", text) if "*" in text else denial(text)
    assert list(denied_subjects(source, [named(subject), named("other")], [entry], NOW))[:1] == [named(subject)]
    assert not denied_subjects(source, ["awsiam:audit:alice", "somebody"], [denial("alice")], NOW)


USERS = st.sampled_from(["alice", "bob", "carl", "a@x", "a-x"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.sets(USERS)),
        st.tuples(st.just("open"), st.sets(USERS)),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 31.0, 200.0, 301.0, 3601.0])),
        st.tuples(st.just("deny"), USERS),
        st.tuples(st.just("apply"), st.sets(USERS)),
    ),
    max_size=12,
)


@given(steps=STEPS, username=st.sampled_from([RAW, FOLDED]), grace=st.sampled_from([0.0, 1100.0]))
def test_only_members_of_a_read_that_counts_have_access(
    steps: list[tuple[str, object]], username: str, grace: float
) -> None:
    level = Level(MemberSource("Admins", ROLE, username), grace_until=grace)
    present: tuple[str, ...] = ()
    members: set[str] = set()
    read_at, is_open = -10_000.0, False
    for step, value in steps:
        if step in ("read", "open") and isinstance(value, set):
            level.read(*value, problem="open" if step == "open" else "")
            members, read_at, is_open = value, level.clock, step == "open"
        elif step == "wait" and isinstance(value, float):
            level.clock += value
        elif step == "deny" and isinstance(value, str):
            level.denials.append(denial(value))
        elif isinstance(value, set):
            present = tuple(sorted({level.source.user_name(user) for user in value}))
        denials = Denials(DenialTable(level.denials), tuple(level.denials))
        moment = Moment(level.clock, level.wall, ADD_WITHIN, grace)
        before = set(present)
        present = wanted_subjects(level.source, present, level.cache, denials, moment).users
        denied = {each.value for each in level.denials}
        assert not {level.source.user_name(user) for user in denied & members} & set(present)
        if read_at > 0:
            assert set(present) <= {level.source.user_name(user) for user in members}
            assert not present or (level.clock - read_at <= MAX_AGE and not is_open)
            assert set(present) <= before or level.clock - read_at <= ADD_WITHIN
        else:
            assert set(present) <= (before if level.clock < grace else set())
        if username == FOLDED and {"a@x", "a-x"} <= members:
            assert "awsiam:admin:a-x" not in present or read_at < 0
