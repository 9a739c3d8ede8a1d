"""`who-can`: people by mapping entry, group, trust policy and temporary access, and what the answer does not cover."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_commands import FILE, LATER, denying, kube_iam
from access_commands import account as account
from fake_account import ACCOUNT, FakeAccount
from prepared_session import PreparedSession

from kube_iam.access.mapping import MappingEntry
from kube_iam.access.ports import RoleState, User
from kube_iam.cli.root import run_command
from kube_iam.core.arns import Sso
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.rbac import (
    AUTHENTICATED,
    GROUP,
    SERVICE_ACCOUNT,
    USER,
    Rbac,
    RbacBinding,
    RbacSubject,
    RoleKey,
    Rule,
)
from kube_iam.denylist.denial import Denial
from kube_iam.errors import AccessDenied, CredentialsError, KubeError, UsageError
from kube_iam.kube.client import KubeApi
from kube_iam.kube.rbac import ResourceType
from kube_iam.report.who_can_text import IGNORE_GROUP

READER = RoleKey("ClusterRole", "reader")
PODS = ResourceType("pods", "", True, frozenset({"exec", "log"}))
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ops"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
MASTERS = "system:masters"
NEVER, PAST = "2099-01-01T00:00:00Z", "2001-01-01T00:00:00Z"


class FakeRbac:
    """RBAC in which these subjects may get pods, by binding `b`. `asked` are the namespaces that were read."""

    def __init__(self, *subjects: RbacSubject, unread: tuple[str, ...] = ()) -> None:
        rules = (Rule(("get",), ("",), ("pods",)), Rule(("get",), paths=("/metrics",)))
        self.rbac = Rbac({READER: rules}, (RbacBinding("b", READER, subjects),), unread)
        self.asked: list[str] = []
        self.words: list[str] = []
        self.error: KubeError | None = None

    def read(self, namespace: str) -> Rbac:
        self.asked.append(namespace)
        return self.rbac

    def default_namespace(self) -> str:
        return "mine"

    def resource_type(self, word: str) -> ResourceType | None:
        self.words.append(word)
        if self.error is not None:
            raise self.error
        known = {"pods": PODS, "po": PODS, "nodes": ResourceType("nodes", "", False)}
        return known.get(word)


def group(name: str) -> RbacSubject:
    return RbacSubject(GROUP, name)


OPS = group("ops")


class Session(PreparedSession):
    def __init__(self, account: FakeAccount, rbac: Any, kube: KubeApi | None = None) -> None:
        super().__init__(account, kube or denying())
        self.rbac = rbac


def run(account: FakeAccount, rbac: Any, *words: str, kube: KubeApi | None = None) -> int:
    return run_command("kube-iam", ["who-can", *(words or ("get", "pods"))], {}, Session(account, rbac, kube))


def asked(
    account: FakeAccount,
    capsys: pytest.CaptureFixture[str],
    *subjects: RbacSubject,
    kube: KubeApi | None = None,
    code: int = 0,
) -> dict[str, Any]:
    assert run(account, FakeRbac(*subjects), "get", "pods", "-o", "json", kube=kube) == code
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def principals(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return person or principal, and through what."""
    return [(each["person"] or each["principal"], each["through"]) for each in found["principals"]]


Capture = pytest.CaptureFixture[str]


@pytest.fixture
def applied(account: FakeAccount, capsys: Capture) -> FakeAccount:
    """Return an account with the levels of FILE, in which alice is an admin."""
    assert kube_iam(account, "apply", "--yes") == 0
    account.directory.group_members["prod-admin"].add("alice")
    capsys.readouterr()
    return account


def test_members_of_a_level_are_found_through_its_group(applied: FakeAccount, capsys: Capture) -> None:
    (found,) = asked(applied, capsys, group("kube-iam:admin"))["principals"]
    assert found["person"] == "alice"
    assert found["principal"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert (found["level"], found["through"]) == ("admin", "IAM group prod-admin")
    assert found["grants"] == [
        {"subject": "Group kube-iam:admin", "binding": "ClusterRoleBinding b", "role": "ClusterRole reader"}
    ]


def test_nobody_of_another_level_is_found(applied: FakeAccount, capsys: Capture) -> None:
    assert asked(applied, capsys, group("kube-iam:viewer"))["principals"] == []


def test_a_binding_to_a_user_name_is_that_of_one_person(applied: FakeAccount, capsys: Capture) -> None:
    applied.directory.group_members["prod-admin"].add("bob")
    found = asked(applied, capsys, RbacSubject(USER, "awsiam:bob"))
    assert principals(found) == [("bob", "IAM group prod-admin")]


def test_temporary_access_counts_until_its_end_and_for_the_same_user(applied: FakeAccount, capsys: Capture) -> None:
    entries = applied.store.all_entries
    at = next(at for at, entry in enumerate(entries) if entry.level == "admin")
    grants = (
        TemporaryGrant("bob", "AIDAbob", NEVER),
        TemporaryGrant("carol", "AIDAcarol", PAST),
        TemporaryGrant("dave", "AIDAdave", NEVER),
        TemporaryGrant("alice", "AIDAalice", NEVER),
    )
    applied.directory.all_users["dave"] = User("dave", f"arn:aws:iam::{ACCOUNT}:user/dave", "AIDAanother")
    entries[at] = replace(entries[at], temporary=grants)
    found = asked(applied, capsys, group("kube-iam:admin"))
    assert principals(found) == [("alice", "IAM group prod-admin"), ("bob", f"temporary access until {NEVER}")]


def test_principals_of_a_trust_policy_are_found(account: FakeAccount, capsys: Capture) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [ROOT, "arn:aws:iam::999999999999:role/ci"]},
        "Action": "sts:AssumeRole",
        "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
    }
    account.directory.role_states["ops"] = RoleState(ROLE, "ops", "/", {"Statement": [statement]})
    account.store.all_entries.append(MappingEntry(ROLE, "ops:{{SessionName}}", ("ops",), where="mapRoles[0]"))
    through = "trust policy of role ops, under conditions"
    found = asked(account, capsys, OPS)
    assert principals(found) == [
        (f"users and roles of account {ACCOUNT} that IAM allows sts:AssumeRole", through),
        ("arn:aws:iam::999999999999:role/ci", through),
    ]
    named = asked(account, capsys, RbacSubject(USER, "ops:alice"), RbacSubject(USER, "other:alice"))
    assert [each["asUserName"] for each in named["principals"]] == ["ops:alice"] * 2
    assert named["notMapped"] == [f"Group {MASTERS}", "User other:alice"]


def test_users_accounts_and_permission_sets_of_the_mapping_are_found(account: FakeAccount, capsys: Capture) -> None:
    account.store.other_entries = (
        MappingEntry("", "eve", ("ops",), principal=f"arn:aws:iam::{ACCOUNT}:user/eve", where="mapUsers[0]"),
        MappingEntry("", "", (), principal="999999999999"),
    )
    sso = Sso("Admins", ACCOUNT)
    account.store.all_entries.append(MappingEntry("", "sso:{{SessionName}}", ("ops",), where="mapRoles[0]", sso=sso))
    found = asked(account, capsys, OPS, RbacSubject(USER, "arn:aws:iam::999999999999:user/mallory"))
    assert principals(found) == [
        (f"permission set Admins in account {ACCOUNT}", "assignments in IAM Identity Center"),
        ("eve", "mapUsers[0]"),
        ("users and roles of account 999999999999", "mapAccounts"),
    ]
    assert found["principals"][2]["asUserName"] == "arn:aws:iam::999999999999:user/mallory"
    everybody = asked(account, capsys, group(AUTHENTICATED))
    assert len(everybody["principals"]) == 3


def test_members_of_whole_groups_have_the_groups_of_all_and_the_first_user_name(
    account: FakeAccount, capsys: Capture
) -> None:
    for at, name in enumerate(("first", "second")):
        account.directory.create_group(name, "/")
        account.directory.group_members[name].add("alice")
        entry = MappingEntry(
            "", f"{name}:{{{{UserName}}}}", (f"team-{name}",), iam_group=name, where=f"mapGroups[{at}]"
        )
        account.store.all_entries.append(entry)
    assert principals(asked(account, capsys, group("team-second"))) == [("alice", "IAM group second")]
    assert asked(account, capsys, RbacSubject(USER, "second:alice"))["principals"] == []
    account.store.other_entries = (
        MappingEntry("", "eve", (), principal=f"arn:aws:iam::{ACCOUNT}:user/alice", where="mapUsers[0]"),
    )
    assert asked(account, capsys, group("team-second"))["principals"] == []


def test_groups_with_templates_are_compared_as_the_server_gives_them(account: FakeAccount, capsys: Capture) -> None:
    account.directory.create_group("people", "/")
    account.directory.group_members["people"] |= {"alice", "bob"}
    account.store.all_entries.append(MappingEntry(ROLE, "{{SessionName}}", ("own-{{SessionName}}",), "people"))
    assert principals(asked(account, capsys, group("own-bob"))) == [("bob", "IAM group people")]


def test_of_two_entries_for_one_role_the_first_counts(account: FakeAccount, capsys: Capture) -> None:
    account.directory.create_group("people", "/")
    account.directory.group_members["people"].add("alice")
    for at, name in enumerate(("first", "second")):
        account.store.all_entries.append(MappingEntry(ROLE, "x", (name,), "people", where=f"mapRoles[{at}]"))
    assert asked(account, capsys, group("second"))["principals"] == []
    assert len(asked(account, capsys, group("first"))["principals"]) == 1


@pytest.mark.parametrize("username", ["system:{{SessionName}}", "{{unknown}}", ""])
def test_entries_whose_names_the_server_refuses_admit_nobody(
    account: FakeAccount, capsys: Capture, username: str
) -> None:
    account.directory.create_group("people", "/")
    account.directory.group_members["people"].add("alice")
    account.store.all_entries.append(MappingEntry(ROLE, username, ("ops",), "people"))
    assert asked(account, capsys, OPS)["principals"] == []


def test_members_of_system_masters_may_do_everything(account: FakeAccount, capsys: Capture) -> None:
    account.directory.create_group("people", "/")
    account.directory.group_members["people"].add("alice")
    account.store.all_entries.append(MappingEntry(ROLE, "x", (MASTERS,), "people"))
    (found,) = asked(account, capsys)["principals"]
    assert found["grants"] == [{"subject": f"Group {MASTERS}", "binding": None, "role": None}]


def test_service_accounts_are_a_count_and_all_lists_them(account: FakeAccount, capsys: Capture) -> None:
    subjects = (RbacSubject(SERVICE_ACCOUNT, "robot", "shop"), group("system:serviceaccounts:shop"), OPS)
    assert run(account, FakeRbac(*subjects)) == 0
    out = capsys.readouterr().out
    assert "Service accounts, or groups of them: 2; --all lists them\n" in out
    assert "robot" not in out
    assert "  Group ops\n" in out
    assert run(account, FakeRbac(*subjects), "get", "pods", "--all") == 0
    assert ": 2: ServiceAccount shop/robot, Group system:serviceaccounts:shop\n" in capsys.readouterr().out


def test_the_answer_says_what_it_does_not_cover(account: FakeAccount, capsys: Capture) -> None:
    assert run(account, FakeRbac(OPS)) == 0
    out = capsys.readouterr().out
    assert "Nobody that the mapping admits.\n" in out
    assert (
        "\nNot covered:\n  EKS: the hidden creator of the cluster, access policies, and access entries beside a mapping in aws-auth\n"
        in out
    )


def test_denied_people_are_shown_with_the_end(applied: FakeAccount, capsys: Capture) -> None:
    kube = denying(Denial("d", "userName", "alice", until=LATER, reason="leaked"))
    (found,) = asked(applied, capsys, group("kube-iam:admin"), kube=kube)["principals"]
    assert found["denied"]["reason"] == "leaked"
    assert run(applied, FakeRbac(group("kube-iam:admin")), kube=kube) == 0
    assert "denied until 2096-" in capsys.readouterr().out


def test_what_cannot_be_read_makes_the_answer_incomplete(applied: FakeAccount, capsys: Capture) -> None:
    applied.world.errors["members"] = AccessDenied("cannot list the members", "the caller needs iam:GetGroup")
    found = asked(applied, capsys, OPS, code=3)
    assert found["complete"] is False
    assert found["notRead"] == [
        f"members of IAM group prod-{level}: cannot list the members: the caller needs iam:GetGroup"
        for level in ("admin", "viewer")
    ]
    assert run(applied, FakeRbac(OPS, unread=("cannot list RoleBindings",))) == 3
    assert "This answer is incomplete. Not read:\n  cannot list RoleBindings\n" in capsys.readouterr().out


def test_a_mapping_that_cannot_be_read_makes_the_answer_incomplete(account: FakeAccount, capsys: Capture) -> None:
    account.world.errors["entries"] = KubeError("cannot read ConfigMap x")
    assert asked(account, capsys, OPS, code=3)["notRead"] == ["mapping: cannot read ConfigMap x"]


@pytest.mark.parametrize(("mapping", "words"), [("", ["--any-server"]), ("mapping: {awsAuth: {}}\n", [])])
def test_servers_that_ignore_the_group_admit_every_session_of_the_role(
    applied: FakeAccount, capsys: Capture, mapping: str, words: list[str]
) -> None:
    rbac = FakeRbac(group("kube-iam:admin"))
    assert run(applied, rbac, "get", "pods", "-o", "json") == 0
    alone = json.loads(capsys.readouterr().out)
    assert principals(alone) == [("alice", "IAM group prod-admin")]
    Path("access.yaml").write_text(FILE + mapping)
    assert run(applied, rbac, "get", "pods", "-o", "json", *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert principals(found) == [
        ("alice", "IAM group prod-admin"),
        (
            f"users and roles of account {ACCOUNT} that IAM allows sts:AssumeRole",
            "trust policy of role prod-admin, under conditions, at servers that ignore iamGroup",
        ),
    ]
    assert set(alone["notCovered"]) - set(found["notCovered"]) == {IGNORE_GROUP}


def test_roles_of_other_accounts_are_named_and_not_read(account: FakeAccount, capsys: Capture) -> None:
    other = "arn:aws:iam::999999999999:role/ops"
    account.store.all_entries.append(MappingEntry(other, "x", ("ops",)))
    found = asked(account, capsys, OPS, code=3)
    assert principals(found) == [(f"sessions of {other}", "its trust policy, which was not read")]
    assert found["notRead"] == [f"role {other} is of another AWS account: who may assume it is not known"]


def test_credentials_for_another_account_are_an_error(account: FakeAccount) -> None:
    account.directory.account = "999999999999"
    with pytest.raises(CredentialsError):
        run(account, FakeRbac(OPS))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("get po", "get pods in namespace mine"),
        ("get pods -n shop", "get pods in namespace shop"),
        ("get pods -A", "get pods in all namespaces"),
        ("get nodes -n shop", "get nodes in the cluster"),
        ("create pods/exec", "create pods/exec in namespace mine"),
        ("create pods/exec web", "create pods/exec web in namespace mine"),
        ("get pods/web", "get pods web in namespace mine"),
        ("get pods web", "get pods web in namespace mine"),
        ("get pods/web --subresource log", "get pods/log web in namespace mine"),
        ("get crontabs.example.com", "get crontabs.example.com in namespace mine"),
        ("* *", "* * in namespace mine"),
        ("* *.*", "* *.* in namespace mine"),
        ("create */exec", "create */exec in namespace mine"),
        ("get /metrics", "get /metrics in the cluster"),
    ],
)
def test_requests_are_spelled_as_for_kubectl(words: str, expected: str, account: FakeAccount, capsys: Capture) -> None:
    assert run(account, FakeRbac(OPS), *words.split()) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"Who can {expected}"


@pytest.mark.parametrize(
    "words", ["get /metrics -n shop", "get /metrics x", "get pods -n shop -A", "get pods/x y --subresource log"]
)
def test_contradictions_are_usage_errors(words: str, account: FakeAccount) -> None:
    with pytest.raises(UsageError):
        run(account, FakeRbac(OPS), *words.split())


def test_unknown_words_are_taken_literally_with_a_warning(account: FakeAccount, capsys: Capture) -> None:
    assert run(account, FakeRbac(OPS), "gett", "podz") == 0
    err = capsys.readouterr().err
    assert "'gett' is no verb that Kubernetes knows" in err
    assert "the API server has no resource podz" in err
    rbac = FakeRbac(OPS)
    rbac.error = KubeError("cannot list the resources")
    assert run(account, rbac) == 3
