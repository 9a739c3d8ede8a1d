"""Levels whose members are listed in the access file: who joins and leaves, in which order, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from fake_account import ACCOUNT, FakeAccount, Killed
from levels_for_tests import ADMIN, NODES, VIEWER, access, level, run

from kube_iam.access.apply import apply_plan
from kube_iam.access.changes import Plan
from kube_iam.access.levels import Bind, ClusterAccess, Level, MemberList
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import Subject, User

GROUP = "prod-viewer"


def listed(name: str, *users: str, **more: Any) -> Level:
    lines = tuple(range(12, 12 + len(users)))
    return level(name, Bind("view"), members=MemberList(users, 11, lines), **more)


def applied(file: ClusterAccess, *members: str, account: FakeAccount | None = None) -> FakeAccount:
    """Return an account to which the file was applied, with these members of the viewers beside the file's."""
    account = account or FakeAccount((NODES,))
    run(account, plan_apply(file, account.ports))
    account.directory.group_members[GROUP] |= set(members)
    return account


def member_steps(plan: Plan) -> list[str]:
    return [f"{change.verb.value} {change.name}" for change in plan.changes if change.kind.value == "member"]


def test_a_new_level_gets_its_members_before_the_mapping_entry() -> None:
    account = FakeAccount((NODES,))
    plan = plan_apply(access(listed("viewer", "alice", "bob")), account.ports)
    assert [f"{change.kind.value} {change.name}" for change in plan.changes][2:] == [
        "group prod-viewer",
        "attachment prod-viewer on prod-viewer",
        "member alice in prod-viewer",
        "member bob in prod-viewer",
        "binding kube-iam:viewer:view",
        "mapping arn:aws:iam::123456789012:role/prod-viewer",
    ]
    run(account, plan)
    assert account.directory.group_members[GROUP] == {"alice", "bob"}
    assert plan_apply(access(listed("viewer", "alice", "bob")), account.ports).changes == ()


def test_a_level_without_a_list_keeps_its_members() -> None:
    account = applied(access(VIEWER), "alice", "bob")
    assert plan_apply(access(VIEWER), account.ports).changes == ()


def test_joining_users_are_added_before_others_are_removed() -> None:
    account = applied(access(VIEWER), "alice", "bob", "carol")
    account.directory.all_users["dave"] = User("dave", f"arn:aws:iam::{ACCOUNT}:user/dave", "AIDAdave")
    plan = plan_apply(access(listed("viewer", "alice", "dave", "carol")), account.ports)
    assert member_steps(plan) == ["create dave in prod-viewer", "delete bob in prod-viewer"]
    assert plan.guards == ()
    run(account, plan)
    assert account.directory.group_members[GROUP] == {"alice", "carol", "dave"}


def test_a_user_who_moves_joins_the_new_level_before_leaving_the_old_one() -> None:
    before = (listed("viewer", "alice", "bob", "carol"), listed("admin", "alice"))
    after = (listed("viewer", "alice", "bob"), listed("admin", "alice", "carol"))
    account = applied(access(*before))
    assert member_steps(plan_apply(access(*after), account.ports)) == [
        "create carol in prod-admin",
        "delete carol in prod-viewer",
    ]


def test_a_run_that_stops_anywhere_removes_no_listed_user() -> None:
    file = access(listed("viewer", "alice", "bob"), listed("admin", "carol"))
    for stop in range(1, 30):
        account = applied(access(VIEWER, ADMIN), "alice", "carol")
        account.world.writes, account.world.fail_after = 0, stop
        plan = plan_apply(file, account.ports)
        try:
            apply_plan(plan, account.ports, lambda position: None)
        except Killed:
            assert "alice" in account.directory.group_members[GROUP]
            account.world.fail_after = None
            run(account, plan_apply(file, account.ports))
        assert account.directory.group_members == {GROUP: {"alice", "bob"}, "prod-admin": {"carol"}}
        if stop > len(plan.changes):
            return
    raise AssertionError("the run was always stopped")


def test_the_plan_shows_user_and_group_of_each_change_as_data() -> None:
    account = applied(access(VIEWER), "alice", "bob", "carol")
    plan = plan_apply(access(listed("viewer", "alice", "bob")), account.ports).as_data()
    (change,) = plan["changes"]  # type: ignore[misc]
    assert change == {  # type: ignore[has-type]
        "verb": "delete",
        "kind": "member",
        "name": "carol in prod-viewer",
        "level": "viewer",
        "fields": {
            "userName": {"before": "carol", "after": None},
            "iamGroup": {"before": "prod-viewer", "after": None},
        },
    }


@pytest.mark.parametrize(
    ("members", "users", "needs_force"),
    [
        ("alice bob carol", "alice bob", False),  # one of three is a third
        ("alice bob", "alice", True),
        ("alice", "bob", True),
        ("alice", "", True),
        ("alice bob carol", "", True),
        ("", "", False),
        ("alice", "alice bob carol", False),
    ],
)
def test_removing_more_than_a_third_of_the_members_needs_force(members: str, users: str, needs_force: bool) -> None:
    account = applied(access(VIEWER), *members.split())
    plan = plan_apply(access(listed("viewer", *users.split())), account.ports)
    assert bool(plan.guards) is needs_force
    assert all("more than a third" in guard and "level viewer" in guard for guard in plan.guards)
    run(account, plan)
    assert account.directory.group_members[GROUP] == set(users.split())


@pytest.mark.parametrize("known_by", ["aws", "cluster"])
def test_removing_oneself_needs_force(known_by: str) -> None:
    account = applied(access(VIEWER), "alice", "bob", "carol")
    if known_by == "aws":
        account.directory.caller_arn = f"arn:aws:iam::{ACCOUNT}:user/team/carol"
    else:
        role = f"arn:aws:iam::{ACCOUNT}:role/prod-viewer"
        account.cluster.subject = Subject("awsiam:carol", ("kube-iam:viewer", "system:authenticated"), role)
    plan = plan_apply(access(listed("viewer", "alice", "bob")), account.ports)
    assert plan.guards == ("you are carol, and this plan removes you from level viewer",)


def test_the_own_membership_is_removed_last() -> None:
    file = access(VIEWER, ADMIN)
    account = applied(file, "alice", "bob", "carol")
    role = f"arn:aws:iam::{ACCOUNT}:role/prod-viewer"
    account.cluster.subject = Subject("awsiam:bob", ("kube-iam:viewer", "system:authenticated"), role)
    plan = plan_apply(access(listed("viewer", "alice")), account.ports)
    cluster_side = [change for change in plan.changes if change.kind.value in ("member", "binding", "mapping")]
    assert cluster_side[-1].name.startswith(("bob", "carol"))
    names = [change.name for change in plan.changes]
    assert names.index("bob in prod-viewer") > names.index("carol in prod-viewer")
    assert names.index("bob in prod-viewer") > names.index("kube-iam:admin:cluster-admin")


def test_users_that_do_not_exist_are_named_with_line_and_remedy() -> None:
    account = applied(access(VIEWER), "alice")
    plan = plan_apply(access(listed("viewer", "alice", "dave", "eve")), account.ports)
    assert plan.failures == (
        "access.yaml, line 13: members of level viewer: there is no IAM user dave in account 123456789012; create it"
        " (aws iam create-user --user-name dave), or correct the name",
        "access.yaml, line 14: members of level viewer: there is no IAM user eve in account 123456789012; create it"
        " (aws iam create-user --user-name eve), or correct the name",
    )


@pytest.mark.parametrize("is_member", [True, False])
def test_a_name_in_another_letter_case_is_refused_with_the_right_one(is_member: bool) -> None:
    account = applied(access(VIEWER), *(["carol"] if is_member else []))
    plan = plan_apply(access(listed("viewer", "Carol")), account.ports)
    assert plan.failures == (
        "access.yaml, line 12: members of level viewer: the IAM user is written carol, not Carol; write carol",
    )
    assert not any(change.name.startswith("carol") for change in plan.changes)


def test_a_user_in_ten_groups_is_refused_with_line() -> None:
    account = applied(access(VIEWER))
    account.directory.group_members |= {f"team-{number}": {"alice"} for number in range(9)}
    two = access(listed("viewer", "alice"), listed("admin", "alice"))
    assert plan_apply(access(listed("viewer", "alice")), account.ports).failures == ()
    assert plan_apply(two, account.ports).failures == tuple(
        f"access.yaml, line 12: members of level {name}: alice would be in 11 IAM groups, and IAM takes 10 for a user;"
        " aws iam list-groups-for-user --user-name alice shows them"
        for name in ("viewer", "admin")
    )


def test_members_of_a_group_that_gives_nothing_yet_leave_before_it_does() -> None:
    account = FakeAccount((NODES,))
    account.directory.create_group(GROUP, "/")
    account.directory.group_members[GROUP] = {"alice", "bob"}
    plan = plan_apply(access(listed("viewer", "alice", "carol")), account.ports, adopt=True)
    names = [change.name for change in plan.changes]
    assert names.index("bob in prod-viewer") < names.index("prod-viewer on prod-viewer")
    run(account, plan)
    assert account.directory.group_members[GROUP] == {"alice", "carol"}


def test_members_that_the_mapping_does_not_admit_yet_leave_before_it_does() -> None:
    """A group made in IAM, with the level's policy and members of its own, admits nobody by the next apply."""
    account = applied(access(VIEWER), "alice", "bob", "carol")
    account.store.all_entries[:] = [NODES]
    plan = plan_apply(access(listed("viewer", "alice", "bob")), account.ports)
    names = [change.name for change in plan.changes]
    assert names.index("carol in prod-viewer") < names.index("arn:aws:iam::123456789012:role/prod-viewer")
    assert plan.guards == ()


def test_of_a_former_group_the_listed_users_alone_are_taken_along() -> None:
    account = applied(access(VIEWER), "alice", "bob", "carol")
    renamed = listed("viewer", "alice", "bob", group_name="prod-readers")
    plan = plan_apply(access(renamed), account.ports)
    assert member_steps(plan)[:2] == ["create alice in prod-readers", "create bob in prod-readers"]
    assert plan.guards == ()
    run(account, plan)
    assert account.directory.group_members == {"prod-readers": {"alice", "bob"}}
    emptied = plan_apply(access(listed("viewer", group_name="prod-others")), account.ports)
    assert any("more than a third" in guard for guard in emptied.guards)


def test_destroy_removes_listed_members_with_the_group() -> None:
    file = access(listed("viewer", "alice", "bob"))
    account = applied(file)
    run(account, plan_destroy(file, account.ports))
    assert account.directory.group_members == {}
