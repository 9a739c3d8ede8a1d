"""Levels whose bindings name their members (`membershipCheck: rbac`): the file, the plan, and what `kube-iam sync` needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_texts import HEAD, problems, write
from fake_account import FakeAccount
from levels_for_tests import ADMIN, VIEWER, access, level, run

from kube_iam.access.admin_rbac import operator_manifests
from kube_iam.access.changes import Plan
from kube_iam.access.drift import differences
from kube_iam.access.levels import Bind, ClusterAccess, MemberList, Method
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import BindingState, Subject
from kube_iam.access.sync_job import sync_document, sync_manifests
from kube_iam.config.access import load_access
from kube_iam.core.member_source import MemberSource
from kube_iam.errors import KubeIamError

USERNAME = "awsiam:ops:{{SessionNameRaw}}"
OPS = level("ops", Bind("edit", "", ("shop",)), Bind("view"), username=USERNAME, groups=(), syncs_members=True)
FILE = access(OPS)
BINDING = ("", "kube-iam:ops:view")
ENTRY = "arn:aws:iam::123456789012:role/prod-ops"
RBAC = HEAD + "membershipCheck: rbac\n"


def applied(file: ClusterAccess = FILE, *members: str) -> FakeAccount:
    """Return an account to which the file was applied twice, with these members of the group `prod-ops`."""
    account = FakeAccount(())
    run(account, plan_apply(file, account.ports))
    account.directory.group_members["prod-ops"] |= set(members)
    run(account, plan_apply(file, account.ports))
    return account


def users(account: FakeAccount) -> tuple[str, ...]:
    return tuple(each.removeprefix("awsiam:ops:") for each in account.cluster.binding_states[BINDING].users)


def test_entry_maps_the_role_to_a_user_name_and_to_no_group(tmp_path: Path) -> None:
    file = load_access(write(tmp_path, RBAC + "levels: [{name: ops, bind: [{clusterRole: view}]}]\n"))
    (found,) = file.levels
    assert (found.username, found.groups, file.is_synced(found)) == (USERNAME, (), True)
    account = FakeAccount(())
    run(account, plan_apply(file, account.ports))
    (entry,) = account.store.all_entries
    assert entry == MappingEntry(ENTRY, USERNAME, (), "", "ops")


def test_bindings_name_the_members_in_every_namespace() -> None:
    account = applied(FILE, "alice", "bob")
    assert users(account) == ("alice", "bob")
    assert account.cluster.binding_states["shop", "kube-iam:ops:edit"].users == ("awsiam:ops:alice", "awsiam:ops:bob")
    assert account.cluster.binding_states[BINDING].source == MemberSource("prod-ops", ENTRY, USERNAME)
    assert plan_apply(FILE, account.ports).changes == ()


def test_drift_names_users_who_are_missing_and_users_who_are_not_members() -> None:
    account = applied(FILE, "alice")
    account.directory.group_members["prod-ops"] = {"bob"}
    found = differences(plan_apply(FILE, account.ports).changes)
    assert next((each.name, each.as_data()["fields"]) for each in found) == (
        "kube-iam:ops:view",
        {"users": {"actual": ["awsiam:ops:alice"], "file": ["awsiam:ops:bob"]}},
    )


def test_listed_members_are_in_the_bindings_at_once() -> None:
    file = access(replace(OPS, members=MemberList(("alice", "bob"), 1, (2, 3))))
    account = FakeAccount(())
    run(account, plan_apply(file, account.ports))
    assert users(account) == ("alice", "bob")
    assert plan_apply(file, account.ports).changes == ()


def test_denied_members_are_left_out() -> None:
    account = applied(FILE, "alice", "bob")

    def denied(source: MemberSource, members: Mapping[str, str]) -> frozenset[str]:
        assert (source.iam_group, members) == ("prod-ops", {"alice": "AIDAalice", "bob": "AIDAbob"})
        return frozenset({"bob"})

    run(account, plan_apply(FILE, replace(account.ports, denied=denied)))
    assert users(account) == ("alice",)


def test_unreadable_deny_list_stops_the_plan() -> None:
    account = applied(FILE, "alice")

    def denied(*_: object) -> frozenset[str]:
        raise KubeIamError("forbidden")

    with pytest.raises(KubeIamError, match="forbidden"):
        plan_apply(FILE, replace(account.ports, denied=denied))


def test_role_with_open_session_names_gives_nobody_access() -> None:
    account = applied(FILE, "alice")
    role = account.directory.role_states["prod-ops"]
    account.directory.role_states["prod-ops"] = replace(role, trust={"Version": "2012-10-17", "Statement": []})
    assert users(account) == ("alice",)
    opened = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    account.directory.role_states["prod-ops"] = replace(role, trust={"Version": "2012-10-17", "Statement": [opened]})
    plan = plan_apply(FILE, account.ports)
    assert any("no member gets access yet" in each for each in plan.warnings)
    run(account, plan)
    assert users(account) == ()


def test_members_who_share_a_user_name_get_no_access() -> None:
    file = access(replace(OPS, username="awsiam:ops:{{SessionName}}"))
    account = FakeAccount(())
    for name in ("a@x", "a-x"):
        account.directory.all_users[name] = replace(account.directory.all_users["alice"], name=name)
    run(account, plan_apply(file, account.ports))
    account.directory.group_members["prod-ops"] = {"a@x", "a-x", "alice"}
    plan = plan_apply(file, account.ports)
    assert any("a-x, a@x have one user name" in each for each in plan.warnings)
    run(account, plan)
    assert users(account) == ("alice",)


@pytest.mark.parametrize("back", [False, True])
def test_level_moves_between_groups_and_users(back: bool) -> None:
    before = access(replace(OPS, username="awsiam:{{SessionNameRaw}}", groups=("kube-iam:ops",), syncs_members=None))
    first, second = (FILE, before) if back else (before, FILE)
    account = applied(first, "alice")
    run(account, plan_apply(second, account.ports))
    have = account.cluster.binding_states[BINDING]
    assert (have.groups, users(account)) == ((("kube-iam:ops",), ()) if back else ((), ("alice",)))
    assert plan_apply(second, account.ports).changes == ()


def test_subjects_of_others_in_a_synced_binding_are_drift() -> None:
    account = applied(FILE, "alice")
    have = account.cluster.binding_states[BINDING]
    account.cluster.binding_states[BINDING] = replace(have, groups=("everybody",))
    run(account, plan_apply(FILE, account.ports))
    assert account.cluster.binding_states[BINDING] == have


def test_destroy_deletes_synced_bindings() -> None:
    account = applied(FILE, "alice")
    run(account, plan_destroy(FILE, account.ports))
    assert account.cluster.binding_states == {}


def test_a_plan_that_removes_the_caller_needs_force() -> None:
    account = applied(FILE, "alice", "bob")
    account.cluster.subject = Subject("awsiam:ops:alice", (), ENTRY)
    account.directory.group_members["prod-ops"] = {"bob"}
    assert any("this plan takes it away" in each for each in plan_apply(FILE, account.ports).guards)


@pytest.mark.parametrize(
    ("username", "fails"),
    [
        ("awsiam:{{SessionNameRaw}}", False),
        ("awsiam:ops:{{SessionName}}", True),
        ("awsiam:ops:alice", True),
        ("awsiam:{{SessionName}}:x", True),
        ("{{AccountID}}:ops:{{SessionName}}", False),
        ("{{SessionName}}", False),
    ],
)
def test_entries_of_others_with_the_same_user_names_stop_the_plan(username: str, fails: bool) -> None:
    account = applied(FILE, "alice")
    account.store.all_entries.append(MappingEntry("arn:aws:iam::123456789012:role/other", username, ()))
    assert any("can give the user name" in each for each in plan_apply(FILE, account.ports).failures) is fails


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("levels: [{name: ops}]", "bind: is needed with membershipCheck rbac"),
        ("levels: [{name: ops, groups: [x], bind: [{clusterRole: view}]}]", "groups: means nothing"),
        ("levels: [{name: ops, username: ops, bind: [{clusterRole: view}]}]", "username: has to end with"),
        (
            "levels: [{name: ops, username: '{{SessionName}}', bind: [{clusterRole: view}]}]",
            "username: has to end with",
        ),
        (
            "levels: [{name: ops, username: 'a:{{AccessKeyID}}', bind: [{clusterRole: view}]}]",
            "username: has to end with",
        ),
        ("levels: [{name: ops, method: group, membershipCheck: rbac}]", "membershipCheck: rbac is for method role"),
        (
            "levels: [{name: a, username: 'x:{{SessionName}}', bind: [{clusterRole: view}]},"
            " {name: b, username: 'x:{{SessionNameRaw}}', bind: [{clusterRole: edit}]}]",
            "can be a user name of level a",
        ),
        (
            "levels: [{name: a, bind: [{clusterRole: view}]},"
            " {name: b, method: mappedRole, mappedRole: 'arn:aws:iam::123456789012:role/b', username: 'awsiam:a:{{SessionName}}'}]",
            "can be a user name of level a",
        ),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, text: str, said: str) -> None:
    assert any(said in each for each in problems(tmp_path, RBAC + text + "\n"))


def test_one_level_alone_can_be_synced(tmp_path: Path) -> None:
    text = HEAD + "levels: [{name: a, membershipCheck: rbac, bind: [{clusterRole: view}]}, {name: b}]\n"
    file = load_access(write(tmp_path, text))
    assert [file.is_synced(each) for each in file.levels] == [True, False]
    assert [file.asks_membership(each) for each in file.levels] == [False, True]
    assert file.levels[1].username == "awsiam:{{SessionNameRaw}}"


def test_policy_names_groups_and_roles_of_the_synced_levels() -> None:
    statements = json.loads(json.dumps(sync_document(access(OPS, replace(ADMIN, role_name="own")))))["Statement"]
    assert [each["Action"] for each in statements] == ["iam:GetGroup", "iam:GetRole"]
    assert "arn:aws:iam::123456789012:role/own" not in statements[1]["Resource"]
    assert "arn:aws:iam::123456789012:role/prod-*" in statements[1]["Resource"]


def test_rights_in_the_cluster_name_the_bindings_and_roles_of_synced_levels_alone() -> None:
    manifests: list[Any] = sync_manifests(
        access(OPS, VIEWER), "kube-system/kube-iam-denied", "image:1", "arn:aws:iam::1:role/r"
    )
    rules: dict[str, list[dict[str, list[str]]]] = {
        f"{each['kind']}/{each['metadata'].get('namespace', '')}": each["rules"]
        for each in manifests
        if "rules" in each
    }
    writing = [rule for found in rules.values() for rule in found if {"patch", "bind", "update"} & set(rule["verbs"])]
    assert all(rule["resourceNames"] for rule in writing)
    (patched,) = (each for each in rules["ClusterRole/"] if each["verbs"] == ["patch"])
    assert (patched["resources"], patched["resourceNames"]) == (["clusterrolebindings"], ["kube-iam:ops:view"])
    assert [each["resourceNames"] for each in rules["Role/shop"]] == [["kube-iam:ops:edit"], ["edit"]]
    assert manifests[0]["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}


@pytest.mark.parametrize(("file", "names"), [(FILE, [["kube-iam:ops:view"]]), (access(VIEWER), [])])
def test_operators_may_change_the_bindings_of_synced_levels_alone(file: ClusterAccess, names: list[list[str]]) -> None:
    manifests: list[Any] = operator_manifests(file, "operators", "kube-system/kube-iam-denied")
    rules = [rule for each in manifests if each["kind"] == "ClusterRole" for rule in each["rules"]]
    writing = [rule for rule in rules if "clusterrolebindings" in rule["resources"] and "patch" in rule["verbs"]]
    assert [rule["resourceNames"] for rule in writing] == names


def test_group_levels_are_never_synced() -> None:
    group = level("ops", Bind("view"), method=Method.GROUP)
    file = access(group, syncs_members=True)
    assert not file.is_synced(group)
    assert all(
        isinstance(each, BindingState) and each.source is None
        for each in _bindings(plan_apply(file, FakeAccount(()).ports))
    )


def _bindings(plan: Plan) -> list[object]:
    return [change.item for change in plan.changes if change.kind.value == "binding"]
