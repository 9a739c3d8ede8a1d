"""Levels of IAM Identity Center permission sets: a mapping entry and bindings, and nothing in IAM."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fake_account import ACCOUNT, FakeAccount
from levels_for_tests import NODES, VIEWER, access, level, run

from kube_iam.access.changes import Plan
from kube_iam.access.desired import mapped_levels
from kube_iam.access.levels import Bind, Level, Method
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import access_warnings, plan_apply, plan_destroy
from kube_iam.access.ports import Subject
from kube_iam.access.user_names import reserved_user_names
from kube_iam.core.arns import Sso
from kube_iam.errors import NotOwned

SET = Sso("Ops", ACCOUNT)
ENTRY = MappingEntry("", "sso:{{SessionNameRaw}}", ("kube-iam:ops",), level="ops", sso=SET)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/AWSReservedSSO_Ops_0123456789abcdef"


def ops(name: str = "ops", permission_set: str = "Ops", **more: Any) -> Level:
    fields: dict[str, Any] = {
        "username": "sso:{{SessionNameRaw}}",
        "groups": ("kube-iam:ops",),
        "bind": (Bind("edit"),),
        "role_name": "",
        "policy_name": "",
        "group_name": "",
        "method": Method.PERMISSION_SET,
        "permission_set": permission_set,
    }
    fields = {**fields, "groups": (f"kube-iam:{name}",), **more}
    return replace(level(name), **fields)


def steps(plan: Plan) -> list[str]:
    return [f"{change.verb.value} {change.kind.value} {change.name}" for change in plan.changes]


def applied(*levels: Level) -> FakeAccount:
    account = FakeAccount((NODES,))
    run(account, plan_apply(access(*levels), account.ports))
    return account


def test_a_permission_set_gets_an_entry_and_bindings_and_nothing_in_iam() -> None:
    account = FakeAccount((NODES,))
    before = account.directory.state()
    plan = plan_apply(access(ops()), account.ports)
    assert steps(plan) == [
        "create binding kube-iam:ops:edit",
        f"create mapping permission set Ops in account {ACCOUNT}",
    ]
    fields = {part.name: part.after for part in plan.changes[-1].fields}
    assert fields == {
        "username": "sso:{{SessionNameRaw}}",
        "groups": ["kube-iam:ops"],
        "iamGroup": "",
        "level": "ops",
    }
    run(account, plan)
    assert account.directory.state() == before
    assert account.store.all_entries == [NODES, ENTRY]
    assert plan_apply(access(ops()), account.ports).changes == ()


def test_the_plan_says_who_decides_about_the_users() -> None:
    account = FakeAccount((NODES,))
    (warning,) = plan_apply(access(ops()), account.ports).warnings
    assert warning == (
        "level ops: IAM Identity Center decides who has permission set Ops; kube-iam checks no membership, and a session signs in"
        " until it ends (the permission set's session duration)"
    )
    run(account, plan_apply(access(ops()), account.ports))
    assert plan_apply(access(ops()), account.ports).warnings == ()


def test_no_iam_is_asked_about_a_permission_set() -> None:
    account = applied(ops())
    account.world.log.clear()
    plan_apply(access(ops()), account.ports)
    assert not {"role", "group", "policy", "members", "user"} & set(account.world.log)


def test_a_permission_set_that_leaves_the_file_loses_entry_and_bindings() -> None:
    account = applied(VIEWER, ops())
    plan = plan_apply(access(VIEWER), account.ports)
    assert steps(plan) == [
        f"delete mapping permission set Ops in account {ACCOUNT}",
        "delete binding kube-iam:ops:edit",
    ]
    assert {change.level for change in plan.changes} == {"ops"}
    assert plan.guards == ("1 of 2 levels would be removed (ops): more than a third",)


def test_destroy_removes_the_entry_and_the_bindings() -> None:
    account = applied(VIEWER, ops())
    run(account, plan_destroy(access(VIEWER, ops()), account.ports))
    assert account.store.all_entries == [NODES]
    assert account.cluster.binding_states == {}


def test_changes_by_hand_are_changed_back() -> None:
    account = applied(ops())
    account.store.all_entries[-1] = replace(ENTRY, groups=("system:masters",))
    (change,) = plan_apply(access(ops()), account.ports).changes
    assert [part.name for part in change.fields] == ["groups"]


def test_another_permission_set_for_the_level_replaces_the_entry() -> None:
    account = applied(ops())
    plan = plan_apply(access(ops(permission_set="Platform")), account.ports)
    assert steps(plan) == [
        f"create mapping permission set Platform in account {ACCOUNT}",
        f"delete mapping permission set Ops in account {ACCOUNT}",
    ]


def test_an_entry_written_by_hand_is_adopted_only_when_told() -> None:
    account = FakeAccount((NODES, replace(ENTRY, level="", username="olga")))
    with pytest.raises(NotOwned, match=r"mapping permission set Ops in account 123456789012 is mapped already"):
        plan_apply(access(ops()), account.ports)
    plan = plan_apply(access(ops()), account.ports, adopt=True)
    assert steps(plan)[-1] == f"adopt mapping permission set Ops in account {ACCOUNT}"
    run(account, plan)
    assert account.store.all_entries == [NODES, ENTRY]


def test_an_entry_with_the_level_of_nothing_else_needs_force_to_be_deleted() -> None:
    """Its level may have been written by hand, for the audit log."""
    other = replace(ENTRY, level="audit", sso=Sso("Audit", ACCOUNT))
    account = applied(VIEWER)
    account.store.all_entries.append(other)
    plan = plan_apply(access(VIEWER), account.ports)
    assert steps(plan) == [f"delete mapping permission set Audit in account {ACCOUNT}"]
    assert (
        f"mapping permission set Audit in account {ACCOUNT} names level audit, which neither the file nor a binding of this"
        " cluster names: it would be deleted" in plan.guards
    )


def test_entries_of_permission_sets_without_a_level_are_left_alone() -> None:
    account = applied(VIEWER)
    other = replace(ENTRY, level="", sso=Sso("Audit", ACCOUNT))
    account.store.all_entries.append(other)
    assert plan_apply(access(VIEWER), account.ports).changes == ()
    run(account, plan_destroy(access(VIEWER), account.ports))
    assert account.store.all_entries == [NODES, other]


@pytest.mark.parametrize(
    "entry",
    [
        MappingEntry(ROLE, "root", ("system:masters",), where="mapRoles[0]"),
        MappingEntry("", "root", ("system:masters",), sso=Sso("O*", ACCOUNT), where="mapRoles[0]"),
    ],
)
def test_an_earlier_entry_for_the_same_sessions_stops_the_plan(entry: MappingEntry) -> None:
    account = FakeAccount((entry,))
    with pytest.raises(NotOwned, match=r"is mapped at mapRoles\[0\] and means permission set Ops"):
        plan_apply(access(ops()), account.ports)
    account = FakeAccount((ENTRY, entry))
    assert not any(change.kind.value == "mapping" for change in plan_apply(access(ops()), account.ports).changes)


@pytest.mark.parametrize("shows_arn", [True, False])
def test_taking_the_own_permission_set_away_needs_force(shows_arn: bool) -> None:
    account = applied(VIEWER, level("admin"), level("extra"), ops())
    arn = ROLE if shows_arn else ""
    account.cluster.subject = Subject("sso:olga@example.com", ("kube-iam:ops", "system:authenticated"), arn)
    plan = plan_apply(access(VIEWER, level("admin"), level("extra")), account.ports)
    assert any("you are signed in through permission set Ops" in guard for guard in plan.guards)
    account.cluster.subject = Subject("kubernetes-admin", ("system:masters",))
    account.directory.caller_arn = ROLE
    plan = plan_apply(access(VIEWER, level("admin"), level("extra")), account.ports)
    assert any("you are signed in through permission set Ops" in guard for guard in plan.guards)


def test_destroy_needs_force_for_an_entry_whose_level_nothing_else_names() -> None:
    account = applied(ops(bind=()))
    assert plan_destroy(access(ops(bind=())), account.ports).guards == ()
    (guard,) = plan_destroy(access(VIEWER), account.ports).guards
    assert guard.startswith(f"mapping permission set Ops in account {ACCOUNT} names level ops")


def test_one_user_name_for_users_of_iam_and_of_identity_center_is_warned_of() -> None:
    same = ops(username=VIEWER.username)
    assert list(access_warnings(access(VIEWER, same))) == [
        "an IAM user and a user of IAM Identity Center, who may be two people, can have one user name at levels viewer and ops;"
        " write sso:{{SessionNameRaw}} for level ops"
    ]
    assert list(access_warnings(access(VIEWER, ops()))) == []
    assert list(access_warnings(access(ops("one", "One"), ops("two", "Two")))) == []


def test_a_reserved_user_name_of_a_permission_set_would_fail() -> None:
    (failure,) = reserved_user_names(mapped_levels(access(ops())), ("sso:",)).values()
    assert failure.startswith("the server refuses user names that begin with sso:")


def test_a_file_with_another_cluster_name_deletes_no_entry_without_force() -> None:
    account = applied(ops())
    second = access(ops(permission_set="Audit"), name="stage")
    with pytest.raises(NotOwned, match=r"belongs to cluster prod by its labels: restore cluster\.name"):
        plan_apply(second, account.ports)
    for file in (second, access(ops(), name="stage")):
        plan = plan_destroy(file, account.ports)
        assert steps(plan) == [f"delete mapping permission set Ops in account {ACCOUNT}"]
        (guard,) = plan.guards
        assert f"mapping permission set Ops in account {ACCOUNT} names level ops, which is cluster prod's by" in guard
        assert "restore cluster.name" in guard
    assert plan_destroy(access(ops()), account.ports).guards == ()
