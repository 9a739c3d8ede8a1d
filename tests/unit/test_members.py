"""Grant, revoke, who: repeatable, checked before the first change, and helpful about names that do not exist."""

import pytest
from fake_account import FakeAccount
from levels_for_tests import ADMIN, VIEWER, access, run

from kube_iam.access.level_reader import LevelReader
from kube_iam.access.members import MemberChange, apply_members, by_user, find_level, plan_members, who
from kube_iam.access.plan import plan_apply
from kube_iam.access.ports import GroupState, User
from kube_iam.config.suggestions import suggestion
from kube_iam.errors import NotFound, NotOwned, UsageError


@pytest.fixture
def account() -> FakeAccount:
    account = FakeAccount()
    run(account, plan_apply(access(), account.ports))
    return account


def change(account: FakeAccount, *users: str, into: bool) -> list[MemberChange]:
    reader = LevelReader(access(), account.directory)
    planned = plan_members(reader, ADMIN, users, suggestion, into=into)
    return list(apply_members(reader, ADMIN, planned, into=into))


def test_granting_and_revoking_may_be_repeated(account: FakeAccount) -> None:
    assert change(account, "alice", "bob", "alice", into=True) == [
        MemberChange("alice", True),
        MemberChange("bob", True),
    ]
    assert change(account, "alice", into=True) == [MemberChange("alice", False)]
    assert account.directory.group_members["prod-admin"] == {"alice", "bob"}
    assert change(account, "alice", into=False) == [MemberChange("alice", True)]
    assert change(account, "alice", into=False) == [MemberChange("alice", False)]
    assert account.directory.group_members["prod-admin"] == {"bob"}


def test_one_unknown_user_stops_all_and_gets_a_near_match(account: FakeAccount) -> None:
    account.world.writes = 0
    with pytest.raises(NotFound) as caught:
        change(account, "alice", "bop", "zzzzzz", into=True)
    assert caught.value.message == "no IAM users bop, zzzzzz in this account; nothing was changed"
    assert caught.value.hint == "bop: did you mean 'bob'?; zzzzzz: nothing like it"
    assert account.world.writes == 0


def test_users_are_listed_only_when_one_does_not_exist(account: FakeAccount) -> None:
    account.world.log.clear()
    change(account, "alice", into=True)
    assert "users" not in account.world.log


def test_a_level_that_does_not_exist_gets_a_near_match_or_the_right_order() -> None:
    with pytest.raises(UsageError, match="did you mean 'admin'"):
        find_level(access(), "admn", suggestion)
    with pytest.raises(UsageError, match="levels: admin, editor, viewer"):
        find_level(access(), "zzz", suggestion)
    with pytest.raises(UsageError, match=r"the level comes last: … alice admin"):
        find_level(access(), "alice", suggestion, ["admin"])


def test_a_level_that_was_not_applied_says_so() -> None:
    account = FakeAccount()
    with pytest.raises(NotFound) as caught:
        change(account, "alice", into=True)
    assert "level admin does not exist in IAM yet" in caught.value.message
    assert caught.value.hint == "run apply"


def test_a_group_of_that_name_that_is_not_ours_is_not_touched() -> None:
    account = FakeAccount()
    account.directory.group_states["prod-admin"] = GroupState("arn", "prod-admin", "/")
    with pytest.raises(NotOwned):
        change(account, "alice", into=True)
    with pytest.raises(NotOwned):
        who(LevelReader(access(), account.directory), [ADMIN])


def test_who_lists_levels_and_the_other_way_round(account: FakeAccount) -> None:
    change(account, "carol", "alice", into=True)
    account.directory.add_member("prod-viewer", "carol")
    found = who(LevelReader(access(), account.directory), access().levels)
    assert [(level.level, level.users) for level in found] == [
        ("admin", ("alice", "carol")),
        ("editor", ()),
        ("viewer", ("carol",)),
    ]
    assert by_user(found) == {"alice": ["admin"], "carol": ["admin", "viewer"]}


def test_who_says_which_levels_are_not_applied() -> None:
    (level,) = who(LevelReader(access(), FakeAccount().directory), [VIEWER])
    assert level.users is None


def test_a_user_name_is_taken_in_the_spelling_of_iam(account: FakeAccount) -> None:
    account.directory.all_users["ALICE"] = User("alice", "arn", "AIDAalice")
    assert change(account, "ALICE", "alice", into=True) == [MemberChange("alice", True)]
