"""Changes that need --force: removal of one's own access, of many levels, and moves of users to another level."""

from dataclasses import replace
from typing import Any

import pytest
from fake_account import FakeAccount
from levels_for_tests import ADMIN, EDITOR, VIEWER, access, level, run

from kube_iam.access.levels import Bind, ClusterAccess, Method
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import Subject
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import NotOwned

ARN = "arn:aws:iam::123456789012:role/prod-admin"
FOUR = (ADMIN, EDITOR, VIEWER, level("ops", Bind("view")))
CHANGED = {
    "removed": access(*FOUR[1:]),
    "user name": access(replace(ADMIN, username="x"), *FOUR[1:]),
    "fewer groups": access(replace(ADMIN, groups=("y",)), *FOUR[1:]),
    "role moved": access(replace(ADMIN, role_path="/p/"), *FOUR[1:]),
    "role renamed": access(replace(ADMIN, role_name="boss"), *FOUR[1:]),
}


def account_as(subject: Subject, caller: str = "arn:aws:iam::123456789012:user/root-admin") -> FakeAccount:
    account = FakeAccount()
    run(account, plan_apply(access(*FOUR), account.ports))
    account.cluster.subject = subject
    account.directory.caller_arn = caller
    return account


SIGNED_IN = Subject("awsiam:alice", ("kube-iam:admin", "system:authenticated"), ARN)


@pytest.mark.parametrize("change", CHANGED)
def test_the_entry_that_one_is_signed_in_with_is_guarded(change: str) -> None:
    guards = plan_apply(CHANGED[change], account_as(SIGNED_IN).ports).guards
    assert any(ARN in guard or "role prod-admin" in guard for guard in guards), guards


@pytest.mark.parametrize("change", CHANGED)
def test_nobody_else_is_guarded(change: str) -> None:
    other = Subject("kubernetes-admin", ("system:masters",))
    assert plan_apply(CHANGED[change], account_as(other).ports).guards == ()


@pytest.mark.parametrize(
    ("subject", "caller"),
    [
        (Subject("awsiam:alice", ("kube-iam:admin", "system:authenticated")), ""),
        (Subject("awsiam:alice", ("x",), "arn:aws:iam::123456789012:role/PROD-ADMIN"), ""),
        (Subject("someone"), "arn:aws:iam::123456789012:role/prod-admin"),
    ],
)
def test_it_is_recognised_by_user_name_by_arn_and_by_the_aws_caller(subject: Subject, caller: str) -> None:
    account = account_as(subject, caller or "arn:aws:iam::123456789012:user/root-admin")
    assert plan_apply(CHANGED["removed"], account.ports).guards


def test_a_user_name_of_another_level_is_not_taken_for_it() -> None:
    viewer = Subject("awsiam:alice", ("kube-iam:viewer", "system:authenticated"))
    assert plan_apply(CHANGED["removed"], account_as(viewer).ports).guards == ()


def test_more_groups_and_more_bindings_lock_nobody_out() -> None:
    more = access(replace(ADMIN, groups=("kube-iam:admin", "more")), *FOUR[1:])
    assert plan_apply(more, account_as(SIGNED_IN).ports).guards == ()


@pytest.mark.parametrize("member", [False, True])
def test_switch_to_the_sign_in_check_needs_force_unless_one_is_a_member(member: bool) -> None:
    account = account_as(SIGNED_IN)
    run(account, plan_apply(access(*FOUR, checks_sign_in=False), account.ports))
    if member:
        account.directory.add_member("prod-admin", "alice")
    guards = plan_apply(access(*FOUR), account.ports).guards
    assert [guard.endswith("you are not known to be one") for guard in guards] == ([] if member else [True])


def test_users_who_move_with_their_group_need_no_force() -> None:
    account = account_as(SIGNED_IN)
    account.directory.add_member("prod-admin", "alice")
    moved = access(replace(ADMIN, group_name="bosses"), *FOUR[1:])
    assert plan_apply(moved, account.ports).guards == ()


@pytest.mark.parametrize("change", ["removed", "fewer groups"])
def test_the_entry_of_a_group_that_one_is_signed_in_by_is_guarded(change: str) -> None:
    def by_group(file: ClusterAccess) -> ClusterAccess:
        levels = (replace(each, method=Method.GROUP, username="awsiam:{{UserName}}") for each in file.levels)
        return access(*levels)

    account = FakeAccount()
    run(account, plan_apply(by_group(access(*FOUR)), account.ports))
    account.cluster.subject = replace(SIGNED_IN, canonical_arn="arn:aws:iam::123456789012:user/alice")
    assert "signed in through group prod-admin" in plan_apply(by_group(CHANGED[change]), account.ports).guards[0]
    account.cluster.subject = replace(SIGNED_IN, groups=("system:authenticated",))
    assert plan_apply(by_group(CHANGED[change]), account.ports).guards == ()


def test_destroy_is_guarded_for_who_is_signed_in_through_a_level() -> None:
    assert plan_destroy(access(*FOUR), account_as(SIGNED_IN).ports).guards
    assert plan_destroy(access(*FOUR), account_as(Subject("kubernetes-admin")).ports).guards == ()


@pytest.mark.parametrize(
    ("before", "after", "guarded"),
    [
        (FOUR, FOUR[1:], False),
        (FOUR, FOUR[2:], True),
        (FOUR[:3], FOUR[:2], False),
        (FOUR[:2], FOUR[:1], True),
        (FOUR[:1], (EDITOR,), True),
    ],
)
def test_more_than_a_third_of_the_levels_at_once_is_guarded(
    before: tuple[object, ...], after: tuple[object, ...], guarded: bool
) -> None:
    account = FakeAccount()
    run(account, plan_apply(_access(before), account.ports))
    assert bool(plan_apply(_access(after), account.ports).guards) is guarded


def _access(levels: tuple[object, ...]) -> ClusterAccess:
    return access(*levels)  # type: ignore[arg-type]


def applied_account() -> FakeAccount:
    account = FakeAccount()
    run(account, plan_apply(access(), account.ports))
    return account


@pytest.mark.parametrize("what", ["role_name", "policy_name", "group_name"])
def test_levels_of_one_file_cannot_take_resources_from_each_other(what: str) -> None:
    mine: dict[str, Any] = {what: "prod-viewer"}
    theirs: dict[str, Any] = {what: "prod-admin"}
    swapped = access(replace(ADMIN, **mine), EDITOR, replace(VIEWER, **theirs))
    for adopt in (False, True):
        with pytest.raises(NotOwned) as caught:
            plan_apply(swapped, applied_account().ports, adopt=adopt)
        kind = what.removesuffix("_name")
        assert f"{kind} prod-viewer is level viewer's, whose people would get level admin" in caught.value.message
        assert f"{kind} prod-admin is level admin's, whose people would get level viewer" in caught.value.message


@pytest.mark.parametrize("what", ["role_name", "policy_name", "group_name"])
def test_a_level_that_takes_over_what_a_leaving_one_had_is_guarded(what: str) -> None:
    mine: dict[str, Any] = {what: "prod-viewer"}
    guards = plan_apply(access(replace(ADMIN, **mine), EDITOR), applied_account().ports).guards
    kind = what.removesuffix("_name")
    assert guards == (f"{kind} prod-viewer was level viewer's, whose people would get level admin",)


def test_a_level_under_another_name_keeps_its_people_without_force() -> None:
    account = applied_account()
    account.directory.add_member("prod-viewer", "bob")
    plan = plan_apply(access(ADMIN, EDITOR, replace(VIEWER, name="looker")), account.ports)
    assert plan.guards == ()
    run(account, plan)
    assert account.directory.group_members["prod-viewer"] == {"bob"}
    assert plan_apply(access(ADMIN, EDITOR, replace(VIEWER, name="looker")), account.ports).changes == ()


ROLE_SENTENCE = "you are signed in through the role prod-admin, and this plan"
ROLE_CHANGES = {
    "deleted": (access(*FOUR[1:]), "deletes it"),
    "renamed": (access(replace(ADMIN, role_name="boss"), *FOUR[1:]), "deletes it"),
    "moved": (access(replace(ADMIN, role_path="/p/"), *FOUR[1:]), "deletes it"),
    "method": (access(replace(ADMIN, method=Method.GROUP, username="awsiam:{{UserName}}"), *FOUR[1:]), "deletes it"),
    "mfa": (access(replace(ADMIN, mfa=True), *FOUR[1:]), "changes who may assume it"),
    "session length": (access(replace(ADMIN, session_seconds=7200, description="x"), *FOUR[1:]), ""),
    "another role": (access(ADMIN, EDITOR, VIEWER), ""),
    "trust of another role": (access(ADMIN, replace(EDITOR, mfa=True), *FOUR[2:]), ""),
}


@pytest.mark.parametrize("change", ROLE_CHANGES)
@pytest.mark.parametrize("known_by", ["AWS", "the cluster", "AWS in other letters"])
def test_the_callers_own_role_is_guarded_without_a_mapping_entry(change: str, known_by: str) -> None:
    wanted, said = ROLE_CHANGES[change]
    caller = {"AWS": ARN, "AWS in other letters": ARN.replace("prod-admin", "PROD-Admin")}.get(known_by, "")
    subject = Subject("root", (), ARN if known_by == "the cluster" else "")
    account = account_as(subject, caller or "arn:aws:iam::123456789012:user/root-admin")
    account.store.all_entries.clear()
    guards = [guard for guard in plan_apply(wanted, account.ports).guards if guard.startswith(ROLE_SENTENCE)]
    assert guards == ([f"{ROLE_SENTENCE} {said}"] if said else [])


def test_destroy_guards_the_callers_own_role_without_a_mapping_entry() -> None:
    account = account_as(Subject("root"), ARN)
    account.store.all_entries.clear()
    assert plan_destroy(access(*FOUR), account.ports).guards == (f"{ROLE_SENTENCE} deletes it",)
    account.directory.caller_arn = "arn:aws:iam::123456789012:role/other"
    assert plan_destroy(access(*FOUR), account.ports).guards == ()


@pytest.mark.parametrize("change", ["removed", "role moved", "role renamed"])
def test_one_lost_role_is_one_reason(change: str) -> None:
    guards = plan_apply(CHANGED[change], account_as(replace(SIGNED_IN, groups=())).ports).guards
    assert len([guard for guard in guards if "signed in through" in guard]) == 1


def test_a_role_that_loses_an_open_trust_policy_is_guarded_for_its_own_callers_alone() -> None:
    account = account_as(SIGNED_IN)
    role = account.directory.role_states["prod-admin"]
    open_trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    account.directory.role_states["prod-admin"] = replace(role, trust=open_trust)
    assert plan_apply(access(*FOUR), account.ports).guards == (f"{ROLE_SENTENCE} changes who may assume it",)
    account.cluster.subject = Subject("kubernetes-admin", ("system:masters",))
    assert plan_apply(access(*FOUR), account.ports).guards == ()


def test_another_name_of_a_trust_statement_takes_nothing_away() -> None:
    account = account_as(SIGNED_IN)
    role = account.directory.role_states["prod-admin"]
    renamed = {**role.trust, "Statement": [{**role.trust["Statement"][0], "Sid": "Other"}]}  # type: ignore[dict-item, index]
    account.directory.role_states["prod-admin"] = replace(role, trust=renamed)
    plan = plan_apply(access(*FOUR), account.ports)
    assert [change.name for change in plan.changes] == ["prod-admin"]
    assert plan.guards == ()


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_temporary_access_that_the_caller_is_signed_in_with_is_guarded(user: str) -> None:
    account = account_as(SIGNED_IN)
    entry = next(each for each in account.store.all_entries if each.role_arn == ARN)
    account.store.add_temporary(entry, TemporaryGrant(user, "AIDA", "2099-01-01T00:00:00Z"))
    wanted = access(replace(ADMIN, name="boss"), *FOUR[1:])
    guards = plan_apply(wanted, account.ports, now=1.0).guards
    said = f"you are signed in by temporary access through {ARN}, and this plan ends it"
    assert (said in guards) is (user == "alice")


def test_a_binding_to_the_callers_own_user_is_guarded() -> None:
    account = account_as(Subject("root", ()))
    (ident, binding), *_ = account.cluster.binding_states.items()
    account.cluster.binding_states[ident] = replace(binding, groups=(*binding.groups, "User:root"))
    (guard,) = plan_apply(access(*FOUR), account.ports).guards
    assert guard.startswith("you have ClusterRole cluster-admin in the whole cluster by binding kube-iam:admin")


def test_temporary_access_that_is_over_is_cleaned_without_force() -> None:
    account = account_as(SIGNED_IN)
    entry = next(each for each in account.store.all_entries if each.role_arn == ARN)
    account.store.add_temporary(entry, TemporaryGrant("alice", "AIDA", "2020-01-01T00:00:00Z"))
    plan = plan_apply(access(*FOUR), account.ports, now=2e9)
    assert [change.kind.value for change in plan.changes] == ["temporary access"]
    assert plan.guards == ()


def test_a_grant_in_a_namespace_that_becomes_one_in_the_cluster_takes_nothing_away() -> None:
    narrow, wide = (replace(ADMIN, bind=(Bind("edit", "", where),)) for where in (("shop",), ()))
    account = FakeAccount()
    run(account, plan_apply(access(narrow, *FOUR[1:]), account.ports))
    account.cluster.subject = SIGNED_IN
    assert plan_apply(access(wide, *FOUR[1:]), account.ports).guards == ()
    run(account, plan_apply(access(wide, *FOUR[1:]), account.ports))
    assert plan_apply(access(narrow, *FOUR[1:]), account.ports).guards


@pytest.mark.parametrize("groups", [("kube-iam:admin",), ("kube-iam:admin", "system:masters")])
def test_groups_of_another_entry_for_the_own_role_are_guarded(groups: tuple[str, ...]) -> None:
    account = account_as(replace(SIGNED_IN, groups=(*groups, "system:authenticated")))
    (at,) = (at for at, each in enumerate(account.store.all_entries) if each.role_arn == ARN)
    account.store.all_entries.append(replace(account.store.all_entries[at], groups=groups))
    plan = plan_apply(access(*FOUR), account.ports)
    assert [change.kind.value for change in plan.changes] == ["mapping"]
    taken = f"you are signed in through {ARN}, and this plan takes groups from you"
    assert plan.guards == ((taken,) if "system:masters" in groups else ())
