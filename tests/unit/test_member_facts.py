"""Facts that `who` and `plan` state of people: denials by key and id, suspended levels, and all that the mapping admits besides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from access_commands import FILE, LATER, denying, kube_iam
from access_commands import account as account
from fake_account import ACCOUNT, FakeAccount

from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry
from kube_iam.core.arns import Sso
from kube_iam.core.membership_status import (
    MembershipAnswer,
    MembershipState,
    MembershipStatus,
    read_membership_question,
    requirement_name,
)
from kube_iam.denylist.denial import Denial
from kube_iam.errors import AccessDenied, Unreachable
from kube_iam.kube.mapping_store import make_store

SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/prod-admin/alice"
KEY = "AKIAIOSFODNN7EXAMPLE"
END = "denied until 2096-10-02T07:06:40Z"
VIEWER_BY_GROUP = FILE.replace("sessionDuration: 2h", "method: group")


@pytest.fixture
def people(account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> FakeAccount:
    """alice and bob in admin (by its role) and viewer (by its IAM group)."""
    (tmp_path / "access.yaml").write_text(VIEWER_BY_GROUP)
    kube_iam(account, "apply", "--yes")
    for level in ("admin", "viewer"):
        kube_iam(account, "grant", "alice", "bob", level)
    account.directory.access_keys = {KEY: "alice"}
    capsys.readouterr()
    return account


@pytest.mark.parametrize(
    ("denial", "denied"),
    [
        (Denial("d", "userId", "AIDAalice", until=LATER), {("viewer", "alice")}),
        (Denial("d", "userId", "aidaALICE", until=LATER), {("viewer", "alice")}),
        (Denial("d", "accessKeyId", KEY, until=LATER), {("viewer", "alice")}),
        (Denial("d", "", KEY.lower(), until=LATER), {("viewer", "alice")}),
        (Denial("d", "accessKeyId", "AKIAIOSFODNN7UNKNOWN", until=LATER), set()),
        (Denial("d", "accessKeyId", "ASIAIOSFODNN7EXAMPLE", until=LATER), set()),
        (Denial("d", "userId", "AROAPRODADMIN", until=LATER), {("admin", "alice"), ("admin", "bob")}),
        (Denial("d", "userId", "AROAPRODADMIN:Alice", until=LATER), {("admin", "alice")}),
        (Denial("d", "userId", "AROAOTHEROTHEROTHER0:alice", until=LATER), set()),
        (Denial("d", "arn", SESSION, until=LATER), {("admin", "alice")}),
        (Denial("d", "arn", SESSION.replace("alice", "carol"), until=LATER), set()),
        (Denial("d", "userId", "AIDAalice", until=1.0), set()),
    ],
    ids=lambda value: value.value if isinstance(value, Denial) else "",
)
def test_who_and_plan_say_who_is_denied_by_key_id_and_session(
    people: FakeAccount,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    denial: Denial,
    denied: set[tuple[str, str]],
) -> None:
    kube = denying(denial)
    kube_iam(people, "who", kube=kube)
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if END in line]
    assert {(row[0], row[2]) for row in rows} == denied
    kube_iam(people, "plan", kube=kube)
    err = capsys.readouterr().err
    warned = [line for line in err.splitlines() if line.startswith("warning: ") and END in line]
    assert {(line.split()[4], line.split()[1]) for line in warned} == denied
    assert all("kube-iam undeny d" in line for line in warned)
    kube_iam(people, "plan", "-o", "json", kube=kube)
    plan = json.loads(capsys.readouterr().out)
    assert {(each["level"], each["user"]) for each in plan["denied"]} == denied
    assert plan["changes"] == []


def test_a_denied_access_key_is_named_since_the_user_may_have_another(
    people: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kube = denying(Denial("d", "accessKeyId", KEY, until=LATER))
    kube_iam(people, "who", "viewer", kube=kube)
    assert f"{END} with access key {KEY}" in capsys.readouterr().out
    kube_iam(people, "who", "viewer", "-o", "json", kube=kube)
    (level,) = json.loads(capsys.readouterr().out)
    assert level["denied"][0]["accessKeyId"] == KEY
    # A denial of all that alice signs says more, although it ends sooner.
    kube = denying(Denial("d", "accessKeyId", KEY, until=LATER), Denial("e", "userName", "alice", until=LATER - 1))
    kube_iam(people, "who", "viewer", "-o", "json", kube=kube)
    (level,) = json.loads(capsys.readouterr().out)
    assert [each["denial"] for each in level["denied"]] == ["e"]


@pytest.mark.parametrize(
    ("method", "value", "right"),
    [("key_owner", KEY, "iam:GetAccessKeyLastUsed"), ("role_id", "AROAPRODADMIN", "iam:GetRole")],
)
def test_what_iam_does_not_tell_is_said_and_stops_nothing(
    people: FakeAccount,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: str,
    value: str,
    right: str,
) -> None:
    kind = "accessKeyId" if method == "key_owner" else "userId"
    kube = denying(Denial("d", kind, value, until=LATER), Denial("e", "userName", "bob", until=LATER))
    for command in ("who", "plan"):
        people.world.errors[method] = AccessDenied("no")
        assert kube_iam(people, command, kube=kube) == 0
        out, err = capsys.readouterr()
        assert f"that takes {right}" in err
        assert (out + err).count(END) == 2  # bob in both levels
        people.world.errors[method] = Unreachable("IAM does not answer")
        assert kube_iam(people, command, kube=kube) == 0
        assert "a denial of it is not shown: IAM does not answer" in capsys.readouterr().err


def test_iam_is_asked_for_ids_only_where_a_denial_names_one(
    people: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube = denying(Denial("d", "userName", "alice", until=LATER), Denial("e", "accessKeyId", KEY, until=1.0))
    people.world.log.clear()
    kube_iam(people, "who", kube=kube)
    assert not {"key_owner", "role_id"} & set(people.world.log)


def test_the_servers_facts_are_in_the_data_of_who_and_plan(
    people: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    admin_name = requirement_name("prod-admin", f"arn:aws:iam::{ACCOUNT}:role/prod-admin")
    viewer_name = requirement_name("prod-viewer")
    states = {
        admin_name: MembershipStatus(MembershipState.SUSPENDED, LATER),
        viewer_name: MembershipStatus(MembershipState.GROUP_FORBIDDEN),
    }

    def answer(host: str, token: str) -> str:
        question = read_membership_question(token)
        assert question is not None
        return MembershipAnswer(question.nonce, "c0ffee", states).text

    kube = denying(answer=answer)
    kube_iam(people, "who", "-o", "json", kube=kube)
    out, err = capsys.readouterr()
    admin, viewer = (level["server"] for level in json.loads(out))
    assert (admin["state"], admin["until"]) == ("suspended", "2096-10-02T07:06:40Z")
    assert "aws iam delete-role" in admin["warning"]
    assert (viewer["state"], "until" in viewer) == ("group-forbidden", False)
    assert "kube-iam policy server" in viewer["warning"]
    assert err.count("warning: level ") == 2
    kube_iam(people, "who", "--by-user", "-o", "json", kube=kube)
    alice = json.loads(capsys.readouterr().out)[0]
    assert [(each["level"], each["state"]) for each in alice["server"]] == [
        ("admin", "suspended"),
        ("viewer", "group-forbidden"),
    ]
    kube_iam(people, "plan", "-o", "json", kube=kube)
    plan = json.loads(capsys.readouterr().out)
    assert [(each["level"], each["state"]) for each in plan["server"]] == [
        ("admin", "suspended"),
        ("viewer", "group-forbidden"),
    ]
    states[admin_name] = MembershipStatus(MembershipState.ADMITS)
    del states[viewer_name]
    kube_iam(people, "who", "-o", "json", kube=kube)
    admin, viewer = json.loads(capsys.readouterr().out)
    assert admin["server"] == {"state": "admits"}
    assert "server" not in viewer


CONFIG = """\
server:
  mapRoles:
  - {rolearn: arn:aws:iam::123456789012:role/nodes, username: nodes, groups: [n]}
  - sso: {permissionSetName: Admin, accountID: "111122223333"}
    username: admin
    groups: [g, h]
  mapUsers:
  - userarn: arn:aws:iam::111122223333:user/path/erin
    username: erin
    groups: [ops]
  mapAccounts: ["000000000000", 111122223333]
"""


def test_entries_of_permission_sets_are_listed_with_those_of_roles(
    people: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    people.store.all_entries.append(MappingEntry("", "admin", ("g", "h"), sso=Sso("Admin", "111122223333")))
    capsys.readouterr()
    kube_iam(people, "who", "--all", "-o", "json")
    data = json.loads(capsys.readouterr().out)["otherEntries"]
    assert {"principal": "permission set Admin in account 111122223333", "kind": "permissionSet"}.items() <= data[
        -1
    ].items()


def others_of(path: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    target = MappingTarget(TargetKind.FILE, path=str(path))
    access = ClusterAccess("access.yaml", "c", "c", ACCOUNT, "aws", "eu-west-1", "", "", target, ())
    return [(each.principal, each.username, each.groups) for each in make_store(access, None).others()]


def test_the_store_names_all_that_the_server_reads_beside_its_entries(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert others_of(tmp_path / "config.yaml") == [
        ("arn:aws:iam::111122223333:user/path/erin", "erin", ("ops",)),
        ("000000000000", "", ()),
        ("111122223333", "", ()),
    ]


def test_who_lists_users_permission_sets_and_accounts(people: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    people.store.other_entries = (
        MappingEntry("", "admin", ("g", "h"), principal="permission set Admin in account 111122223333"),
        MappingEntry("", "erin", ("ops",), principal="arn:aws:iam::111122223333:user/erin"),
        MappingEntry("", "", (), principal="111122223333"),
    )
    kube_iam(people, "who")
    assert "beside these levels: 3;" in capsys.readouterr().err
    kube_iam(people, "plan")
    assert "which stay as they are: 3;" in capsys.readouterr().err
    kube_iam(people, "who", "--all")
    rows = [line.split("   ") for line in capsys.readouterr().out.splitlines()]
    listed = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["arn:aws:iam::111122223333:user/erin", "erin", "ops", "-"] in listed
    assert ["account 111122223333", "(the ARN of each user and role)", "-", "-"] in listed
    kube_iam(people, "who", "--all", "-o", "json")
    data = json.loads(capsys.readouterr().out)["otherEntries"]
    assert [(each["kind"], each["principal"]) for each in data] == [
        ("permissionSet", "permission set Admin in account 111122223333"),
        ("user", "arn:aws:iam::111122223333:user/erin"),
        ("account", "111122223333"),
    ]
    kube_iam(people, "plan", "-o", "json")
    assert [each["kind"] for each in json.loads(capsys.readouterr().out)["otherEntries"]] == [
        "permissionSet",
        "user",
        "account",
    ]
