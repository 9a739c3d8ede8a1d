"""Denials refuse the person that they name in every form that AWS shows, and nobody else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identities import iam_user, role_session
from kube_iam.core.identity import Identity
from kube_iam.core.principals import KINDS
from kube_iam.denylist.denial import NO_END, Denial, DenialTable, denial_name, denial_of, matches

ACCOUNT = "111122223333"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/prod-admin"
VIEWER = f"arn:aws:iam::{ACCOUNT}:role/prod-viewer"
NOW, LATER = 1000.0, 2000.0


def session(name: str = "alice", role: str = "prod-admin", key: str = "ASIA0000000000000001") -> Identity:
    return role_session(name, role, user_id="AROAADMIN00", key=key)


def user(name: str = "alice", path: str = "/", account: str = ACCOUNT) -> Identity:
    return iam_user(name, path=path, account=account, user_id="AIDAALICE00", key="AKIA0000000000000001")


def denies(text: str, identity: Identity, role: str = "") -> bool:
    return DenialTable([denial_of(text, role=role, until=LATER)]).find(identity, NOW) is not None


def test_a_user_name_keeps_the_user_and_every_session_of_that_name_out() -> None:
    for identity in (
        user(),
        user(path="/team/"),
        session(),
        session(role="prod-viewer"),
        user("ALICE"),
        session("Alice"),
    ):
        assert denies("alice", identity)
    assert not denies("alice", user("alicia"))
    assert not denies("alice", session("bob"))


def test_a_denial_for_one_role_leaves_the_others_alone() -> None:
    assert denies("alice", session(), ADMIN)
    assert denies("alice", session(), ADMIN.replace("role/", "role/some/path/"))
    assert not denies("alice", session(role="prod-viewer"), ADMIN)
    assert not denies("alice", user(), ADMIN)


def test_a_denial_for_an_iam_group_is_about_who_comes_in_by_that_group() -> None:
    denial = Denial("x", "userName", "alice", until=LATER, iam_group="prod-developer")
    table = DenialTable([denial])
    assert table.find(user(), NOW, ("prod-viewer", "Prod-Developer")) is denial
    assert table.find(session(), NOW, ("prod-developer",)) is denial
    assert table.find(user(), NOW, ("prod-viewer",)) is None
    assert table.find(user(), NOW) is None
    assert table.find(user("bob"), NOW, ("prod-developer",)) is None


def test_a_denial_for_a_role_and_an_iam_group_is_in_force_in_both() -> None:
    denial = Denial("x", "userName", "alice", ADMIN, LATER, iam_group="prod-developer")
    table = DenialTable([denial])
    assert table.find(session(), NOW) is denial
    assert table.find(user(), NOW, ("prod-developer",)) is denial
    assert table.find(user(), NOW) is None


def test_the_arn_of_a_user_also_covers_sessions_of_the_account_under_that_name() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/team/alice"
    assert denies(arn, user(path="/team/"))
    assert denies(arn, user(path="/"))  # no two users of an account differ by their path alone
    assert denies(arn, session())
    assert not denies(arn, user(account="999988887777"))
    assert not denies(arn, session("bob"))


@pytest.mark.parametrize(
    "arn", [ADMIN, ADMIN.upper().replace("ARN:AWS", "arn:aws"), f"arn:aws:iam::{ACCOUNT}:role/a/b/prod-admin"]
)
def test_the_arn_of_a_role_denies_all_its_sessions(arn: str) -> None:
    denial = Denial("x", "arn", arn.lower(), until=LATER)
    table = DenialTable([denial])
    assert table.find(session("bob"), NOW) is denial
    assert table.find(session("bob", "prod-viewer"), NOW) is None


def test_the_arn_of_a_session_denies_that_session() -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/prod-admin/alice"
    assert denies(arn, session())
    assert not denies(arn, session("bob"))
    assert not denies(arn, session(role="prod-viewer"))


def test_keys_and_unique_ids_are_told_from_names() -> None:
    assert denial_of("ASIA0000000000000001", until=LATER).kind == "accessKeyId"
    assert denies("ASIA0000000000000001", session())
    assert not denies("ASIA0000000000000001", session(key="ASIA0000000000000002"))
    assert denial_of("AIDAALICE00", until=LATER).kind == "userId"
    assert denies("AIDAALICE00", user())
    assert denies("AROAADMIN00", session("bob"))
    assert denies("AROAADMIN00:alice", session())
    assert not denies("AROAADMIN00:alice", session("bob"))


@pytest.mark.parametrize("text", ["", "a b", "arn:aws:iam::1:user/x", "arn:aws:s3:::bucket", "x" * 200, "ali/ce"])
def test_what_can_be_nobody_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        denial_of(text, until=LATER)


def test_a_denial_ends_when_it_says_and_the_longer_of_two_counts() -> None:
    short = denial_of("alice", until=LATER)
    table = DenialTable([short, dataclasses.replace(short, name="other", until=LATER + 1), short])
    found = table.find(session(), LATER)
    assert found is not None
    assert found.name == "other"
    assert table.find(session(), LATER + 1) is None


@pytest.mark.parametrize(
    ("value", "who", "others"),
    [
        ("*", [session(), user()], []),
        ("ali*", [session(), user("Alicia")], [session("bob")]),
        ("al?ce", [session(), user()], [session("alicee")]),
        (
            f"arn:aws:iam::{ACCOUNT}:role/PROD-*",
            [session(), session(role="prod-viewer")],
            [user(), session(role="x-prod-")],
        ),
        (f"arn:aws:iam::{ACCOUNT}:user/*", [user("bob", "/a/"), session()], [user(account="999988887777")]),
        ("arn:aws:iam::*:user/alice", [user(), user(account="999988887777"), session()], [session("bob")]),
        (
            f"arn:aws:sts::{ACCOUNT}:assumed-role/*/alice",
            [session(), session(role="prod-viewer")],
            [user(), session("bob")],
        ),
    ],
)
def test_a_pattern_written_by_hand_denies_the_identities_that_it_matches(
    value: str, who: list[Identity], others: list[Identity]
) -> None:
    table = DenialTable([Denial("x", "", value, until=LATER)])
    assert [table.find(each, NOW) is not None for each in (*who, *others)] == [True] * len(who) + [False] * len(others)
    assert all(table.find(each, LATER) is None for each in who)


def test_a_pattern_counts_in_its_role_or_iam_group_only() -> None:
    table = DenialTable(
        [Denial("x", "userName", "a*", ADMIN, LATER), Denial("y", "userName", "*", "", LATER, iam_group="dev")]
    )
    assert table.find(session(), NOW) is not None
    assert table.find(session(role="prod-viewer"), NOW) is None
    assert table.find(user("bob"), NOW, ("Dev",)) is not None
    assert table.find(user("bob"), NOW) is None


def test_a_server_has_one_partition_so_an_arn_of_another_one_is_that_of_the_account() -> None:
    for arn in (ADMIN, f"arn:aws:iam::{ACCOUNT}:user/alice", f"arn:aws:sts::{ACCOUNT}:assumed-role/prod-admin/alice"):
        assert denies(arn.replace("arn:aws:", "arn:aws-cn:"), session())
    assert denies("alice", session(), ADMIN.replace("arn:aws:", "arn:aws-cn:"))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    "other",
    [
        f"arn:aws:iam::{ACCOUNT}:user/alice",
        ADMIN,
        f"arn:aws:sts::{ACCOUNT}:assumed-role/prod-admin/alice",
        "AROAADMIN0000000000",
        "AROAADMIN0000000000:alice",
        "ASIA0000000000000001",
    ],
)
def test_of_overlapping_denials_the_longer_one_stays_in_force(other: str, flip: bool) -> None:
    identity = dataclasses.replace(session(), user_id="AROAADMIN0000000000")
    short, long = (other, "alice") if flip else ("alice", other)
    denials = [denial_of(short, until=LATER), denial_of(long, until=LATER + 1)]
    for table in (DenialTable(denials), DenialTable(reversed(denials))):
        for now in (NOW, LATER):
            found = table.find(identity, now)
            assert found is not None
            assert found.value == long
        assert table.find(identity, LATER + 1) is None


def test_a_longer_denial_of_one_role_leaves_a_shorter_one_everywhere_in_force() -> None:
    denials = [denial_of("alice", until=LATER), denial_of("alice", role=ADMIN, until=LATER + 1)]
    table = DenialTable(denials)
    assert table.find(session(), LATER) is denials[1]
    assert table.find(session(role="prod-viewer"), NOW) is denials[0]
    assert table.find(session(role="prod-viewer"), LATER) is None


def test_the_name_of_a_denial_is_derived_from_the_denied_identity() -> None:
    assert denial_name("userName", "alice", ADMIN) == denial_name(
        "userName", "Alice", ADMIN.replace("role/", "role/p/")
    )
    assert denial_name("userName", "alice", ADMIN) != denial_name("userName", "alice")
    in_group = denial_name("userName", "alice", iam_group="prod-admin")
    assert in_group == denial_name("userName", "alice", iam_group="Prod-Admin")
    assert in_group not in (denial_name("userName", "alice"), denial_name("userName", "alice", ADMIN))
    assert denial_name("userName", "a.b@c") != denial_name("userName", "a-b-c")


def test_a_letter_that_only_looks_alike_is_another_name() -> None:
    denial = denial_of("kim", until=LATER)
    assert matches(denial, "Kim")
    assert not matches(denial, "\u212aim")  # the Kelvin sign
    assert DenialTable([denial]).find(session("KIM"), NOW) is denial


names = st.sampled_from(["alice", "ALICE", "bob", "carol@x.y", "AIDAALICE00", "ASIA0000000000000001"])
roles = st.sampled_from(["prod-admin", "prod-viewer"])
identities = st.one_of(st.builds(session, names, roles), st.builds(user, names, st.sampled_from(["/", "/p/"])))
values = st.one_of(names, st.sampled_from([ADMIN, VIEWER, f"arn:aws:iam::{ACCOUNT}:user/p/alice", "AROAADMIN00:alice"]))
ends = st.sampled_from([0.0, NOW, LATER, NO_END])
kinds = st.sampled_from([*KINDS, ""])
groups = st.sampled_from(["", "prod-admin", "prod-viewer"])
places = st.sampled_from(["", ADMIN, VIEWER])
denials = st.builds(Denial, st.just("x"), kinds, values, places, ends, iam_group=groups)
admitted_by = st.lists(st.sampled_from(["prod-admin", "prod-viewer"]), unique=True).map(tuple)


@given(st.lists(denials, max_size=6), identities, admitted_by)
def test_many_denials_deny_what_any_single_one_of_them_denies(
    many: list[Denial], identity: Identity, by: tuple[str, ...]
) -> None:
    alone = [each for each in many if DenialTable([each]).find(identity, NOW, by) is not None]
    found = DenialTable(many).find(identity, NOW, by)
    assert (found is not None) is bool(alone)
    assert found is None or found in alone


@given(denials, identities, admitted_by)
def test_a_place_only_narrows_and_an_unknown_kind_only_widens(
    denial: Denial, identity: Identity, by: tuple[str, ...]
) -> None:
    def out(other: Denial) -> bool:
        return DenialTable([other]).find(identity, NOW, by) is not None

    if out(denial):
        assert out(dataclasses.replace(denial, role="", iam_group=""))
        assert out(dataclasses.replace(denial, kind=""))
        assert denial.until > NOW


@given(values)
def test_what_was_denied_is_found_again_by_what_was_typed(text: str) -> None:
    denial = denial_of(text, role=ADMIN, until=LATER)
    assert matches(denial, text)
    assert matches(denial, denial.name)
    assert not matches(denial, "mallory")
