"""A name that differs from an existing one in letter case only stops the plan, with a remedy that works."""

from dataclasses import replace
from typing import Any

import pytest
from fake_account import FakeAccount, FakeDirectory
from levels_for_tests import ADMIN, EDITOR, VIEWER, access, level, run

from kube_iam.access.levels import Bind, Level, Method
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import GroupState, Ports, RoleState
from kube_iam.errors import NotOwned

RENAMED = level("Viewer", Bind("view"))
NAMES = ("role_name", "policy_name", "group_name")


class AnySpelling(FakeDirectory):
    """A directory that finds roles and groups by any spelling of their names."""

    def role(self, name: str) -> RoleState | None:
        return super().role(next((each for each in self.role_states if each.casefold() == name.casefold()), name))

    def group(self, name: str) -> GroupState | None:
        return super().group(next((each for each in self.group_states if each.casefold() == name.casefold()), name))


@pytest.fixture(params=[FakeDirectory, AnySpelling])
def account(request: pytest.FixtureRequest) -> FakeAccount:
    account = FakeAccount()
    account.directory = request.param(account.world)
    account.ports = Ports(account.directory, account.cluster, account.store)
    run(account, plan_apply(access(ADMIN, EDITOR, VIEWER), account.ports))
    account.directory.add_member("prod-viewer", "bob")
    account.world.writes = 0
    return account


def refusal(account: FakeAccount, *levels: Level) -> str:
    with pytest.raises(NotOwned) as caught:
        plan_apply(access(*levels), account.ports, adopt=True)
    assert account.world.writes == 0
    return caught.value.message


def test_a_level_renamed_by_letter_case_is_refused_with_every_name(account: FakeAccount) -> None:
    message = refusal(account, ADMIN, EDITOR, RENAMED)
    for kind in ("role", "policy", "group"):
        assert f"{kind} prod-viewer differs from prod-Viewer in letter case only" in message
        assert f"set iam.{kind} of level Viewer to prod-viewer" in message


@pytest.mark.parametrize("name", NAMES)
def test_one_name_respelled_is_refused_alone(account: FakeAccount, name: str) -> None:
    changed: dict[str, Any] = {name: "PROD-viewer"}
    message = refusal(account, ADMIN, EDITOR, replace(VIEWER, **changed))
    assert message.count("in letter case only") == 1
    assert f"set iam.{name.removesuffix('_name')} of level viewer to prod-viewer" in message


def test_the_remedy_ends_in_an_empty_plan_and_keeps_the_members(account: FakeAccount) -> None:
    names: dict[str, Any] = dict.fromkeys(NAMES, "prod-viewer")
    wanted = access(ADMIN, EDITOR, replace(RENAMED, **names))
    run(account, plan_apply(wanted, account.ports))
    assert plan_apply(wanted, account.ports).changes == ()
    assert account.directory.group_members["prod-viewer"] == {"bob"}
    bindings = {each.name for each in account.cluster.binding_states.values()}
    assert "kube-iam:Viewer:view" in bindings
    assert "kube-iam:viewer:view" not in bindings


def test_a_level_by_group_renamed_by_letter_case_is_refused(account: FakeAccount) -> None:
    looker = replace(VIEWER, method=Method.GROUP, username="awsiam:{{UserName}}")
    run(account, plan_apply(access(ADMIN, EDITOR, looker), account.ports))
    account.world.writes = 0
    message = refusal(account, ADMIN, EDITOR, replace(looker, policy_name="prod-VIEWER", group_name="prod-VIEWER"))
    assert message.count("in letter case only") == 2


def test_another_level_that_takes_a_respelled_name_of_a_leaving_one_is_refused(account: FakeAccount) -> None:
    message = refusal(account, ADMIN, EDITOR, level("ops", Bind("view"), role_name="Prod-Viewer"))
    assert "set iam.role of level ops to prod-viewer" in message


def test_destroy_removes_names_in_any_spelling(account: FakeAccount) -> None:
    run(account, plan_destroy(access(ADMIN, EDITOR, RENAMED), account.ports))
    assert account.directory.role_states == {}
    assert account.directory.group_states == {}
    assert account.directory.policy_states == {}
