"""A run that is killed after any write, and run again, ends where an undisturbed one ends; then nothing is left to do."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from fake_account import FakeAccount, Killed
from levels_for_tests import ADMIN, EDITOR, NODES, VIEWER, access, level, run

from kube_iam.access.apply import apply_plan
from kube_iam.access.changes import Plan
from kube_iam.access.levels import Bind, Level
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.errors import AccessDenied, Throttled, Unreachable


def applied_account(*levels: Level) -> FakeAccount:
    account = FakeAccount((NODES,))
    run(account, plan_apply(access(*levels), account.ports))
    account.directory.add_member("prod-admin", "alice")
    account.directory.add_member("prod-viewer", "bob")
    account.world.writes = 0
    return account


RENAMED_ROLE = replace(EDITOR, role_name="prod-edit-role")
RENAMED_GROUP = replace(VIEWER, group_name="prod-lookers")
RENAMED_ALL = replace(VIEWER, role_name="lookers", policy_name="lookers", group_name="lookers")
MOVED_ROLE = replace(ADMIN, role_path="/people/")

SCENARIOS: dict[str, tuple[Callable[[], FakeAccount], Callable[[FakeAccount], Plan]]] = {
    "first apply": (lambda: FakeAccount((NODES,)), lambda account: plan_apply(access(), account.ports)),
    "destroy": (applied_account, lambda account: plan_destroy(access(), account.ports)),
    "destroy after the file lost a level": (
        applied_account,
        lambda account: plan_destroy(access(ADMIN), account.ports),
    ),
    "a level less": (applied_account, lambda account: plan_apply(access(ADMIN, EDITOR), account.ports)),
    "another level": (
        applied_account,
        lambda account: plan_apply(access(ADMIN, EDITOR, level("ops", Bind("view"))), account.ports),
    ),
    "a role renamed": (applied_account, lambda account: plan_apply(access(ADMIN, RENAMED_ROLE, VIEWER), account.ports)),
    "a group renamed": (
        applied_account,
        lambda account: plan_apply(access(ADMIN, EDITOR, RENAMED_GROUP), account.ports),
    ),
    "all names changed": (
        applied_account,
        lambda account: plan_apply(access(ADMIN, EDITOR, RENAMED_ALL), account.ports),
    ),
    "a role moved": (applied_account, lambda account: plan_apply(access(MOVED_ROLE, EDITOR, VIEWER), account.ports)),
    "other bindings, groups, sessions": (
        applied_account,
        lambda account: plan_apply(
            access(
                replace(ADMIN, bind=(Bind("edit"),), groups=("admins",), mfa=True, session_seconds=7200),
                replace(EDITOR, bind=(Bind("", "deployer", ("shop",)),), username="prod-editor"),
                VIEWER,
            ),
            account.ports,
        ),
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_killed_after_any_write_is_finished_by_the_next(name: str) -> None:
    start, planned = SCENARIOS[name]
    undisturbed = start()
    run(undisturbed, planned(undisturbed))
    total = undisturbed.world.writes
    assert total > 0
    for writes in range(total + 1):
        account = start()
        account.world.fail_after = writes
        with pytest.raises(Killed):
            run(account, planned(account))
        account.world.fail_after = None
        run(account, planned(account))
        assert account.state() == undisturbed.state(), f"killed after {writes} writes"
        assert planned(account).changes == (), f"killed after {writes} writes"


def test_destroy_leaves_what_was_there_before() -> None:
    before = FakeAccount((NODES,)).state()
    account = applied_account()
    run(account, plan_destroy(access(), account.ports))
    assert account.state() == before


def test_people_keep_their_level_when_its_group_gets_another_name() -> None:
    account = applied_account()
    run(account, plan_apply(access(ADMIN, EDITOR, RENAMED_ALL), account.ports))
    assert account.directory.group_members == {"prod-admin": {"alice"}, "prod-editor": set(), "lookers": {"bob"}}


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("create_role", AccessDenied("create role prod-admin: not authorized")),
        ("attach", Throttled("attach policy: throttled")),
        ("apply_binding", Unreachable("https://api.prod.example.com does not answer")),
        ("put", Unreachable("https://api.prod.example.com does not answer")),
    ],
)
def test_an_error_in_the_middle_says_what_was_done_and_the_next_run_finishes(method: str, error: Exception) -> None:
    account = FakeAccount()
    account.world.errors[method] = error  # type: ignore[assignment]
    plan = plan_apply(access(), account.ports)
    applied = apply_plan(plan, account.ports, lambda position: None)
    assert applied.error is error
    assert applied.failed == plan.changes[len(applied.done)]
    account.world.errors.clear()
    run(account, plan_apply(access(), account.ports))
    assert plan_apply(access(), account.ports).changes == ()


def test_apply_gives_access_last_and_destroy_removes_it_first() -> None:
    account = FakeAccount()
    run(account, plan_apply(access(ADMIN), account.ports))
    assert [call for call in account.world.log if call in WRITES] == [
        "create_policy",
        "create_role",
        "create_group",
        "attach",
        "apply_binding",
        "put",
    ]
    account.directory.add_member("prod-admin", "alice")
    account.world.log.clear()
    run(account, plan_destroy(access(ADMIN), account.ports))
    assert [call for call in account.world.log if call in WRITES] == [
        "remove",
        "delete_binding",
        "remove_member",
        "detach",
        "delete_group",
        "delete_role",
        "delete_policy",
    ]


WRITES = {
    *("create_policy", "create_role", "create_group", "attach", "apply_binding", "put"),
    *("remove", "delete_binding", "remove_member", "detach", "delete_group", "delete_role", "delete_policy"),
}
