"""Commands on a level of an IAM Identity Center permission set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from access_commands import FILE, LATER, account, denying, kube_iam  # noqa: F401
from fake_account import ACCOUNT, FakeAccount
from ruamel.yaml import YAML

from identities import role_session
from kube_iam.access.known_names import known_names
from kube_iam.access.ports import GroupState, Subject
from kube_iam.config.access import load_access
from kube_iam.denylist.denial import DenialTable, denial_of
from kube_iam.errors import Guarded, KubeError, UsageError

ROLE = f"arn:aws:iam::{ACCOUNT}:role/AWSReservedSSO_Ops_0123456789abcdef"
SET = FILE + "  - {name: ops, method: permissionSet, permissionSet: Ops, bind: [{clusterRole: edit}]}\n"


@pytest.fixture
def applied(account: FakeAccount, tmp_path: Path) -> FakeAccount:  # noqa: F811
    (tmp_path / "access.yaml").write_text(SET)
    assert kube_iam(account, "apply", "--yes") == 0
    return account


def test_validate_takes_the_level(applied: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert kube_iam(applied, "validate") == 0
    assert "levels admin, viewer, ops" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        (
            ("grant", "olga", "ops"),
            "assign the permission set there (aws sso-admin create-account-assignment); nothing was changed",
        ),
        (("grant", "olga", "ops", "--for", "1h"), "assign the permission set there"),
        (
            ("revoke", "olga", "ops"),
            "remove the assignment there (aws sso-admin delete-account-assignment); `kube-iam deny USER`",
        ),
        (("revoke", "olga", "ops", "--now"), "remove the assignment there"),
    ],
)
def test_grant_and_revoke_name_where_the_users_are_managed(
    applied: FakeAccount, command: tuple[str, ...], remedy: str
) -> None:
    writes = applied.world.writes
    with pytest.raises(UsageError) as caught:
        kube_iam(applied, *command)
    assert caught.value.message == (
        f"level ops is permission set Ops in account {ACCOUNT}: IAM Identity Center manages its users"
    )
    assert caught.value.hint.startswith(remedy)
    assert applied.world.writes == writes


def test_who_says_that_identity_center_manages_the_users(
    applied: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert kube_iam(applied, "who") == 0
    assert "ops      permission set Ops   (managed in IAM Identity Center)" in capsys.readouterr().out
    kube_iam(applied, "who", "ops", "-o", "json")
    (level,) = json.loads(capsys.readouterr().out)
    assert (level["managedIn"], level["permissionSet"], level["applied"], level["users"]) == (
        "identityCenter",
        "Ops",
        True,
        [],
    )
    assert kube_iam(applied, "who", "--by-user") == 0


def test_who_tells_a_missing_entry_from_an_unread_mapping(
    applied: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    applied.store.all_entries.pop()
    capsys.readouterr()
    kube_iam(applied, "who", "ops", "-o", "json")
    assert json.loads(capsys.readouterr().out)[0]["applied"] is False
    applied.world.errors["entries"] = KubeError("no mapping")
    kube_iam(applied, "who", "ops", "-o", "json")
    assert json.loads(capsys.readouterr().out)[0]["applied"] is None


def test_the_kubeconfig_has_no_role_and_explains_the_profile(
    applied: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert kube_iam(applied, "kubeconfig", "ops", "--profile", "ops-sso") == 0
    shown = capsys.readouterr()
    (user,) = YAML(typ="safe").load(shown.out)["users"]
    assert user["user"]["exec"]["args"] == ["token", "-i", "prod.example.com", "--region", "eu-central-1"]
    assert user["user"]["exec"]["env"] == [{"name": "AWS_PROFILE", "value": "ops-sso"}]
    assert "profile ops-sso has to be one of IAM Identity Center, for permission set Ops" in shown.err


def test_plan_and_destroy_work_with_a_permission_set(applied: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert kube_iam(applied, "plan", "-o", "json", kube=denying()) == 0
    assert json.loads(capsys.readouterr().out)["changes"] == []
    assert kube_iam(applied, "policy", "server") == 0
    assert kube_iam(applied, "destroy", "--yes", "--force") == 0
    assert applied.store.all_entries == []


@pytest.mark.parametrize(
    "name",
    [
        "olga@example.com",
        ROLE,
        ROLE.replace("role/", "role/aws-reserved/sso.amazonaws.com/eu-west-1/"),
        f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/olga@example.com",
    ],
)
def test_denials_refuse_sessions_of_the_permission_set(name: str) -> None:
    olga = role_session("olga@example.com", "AWSReservedSSO_Ops_0123456789abcdef", account=ACCOUNT)
    table = DenialTable([denial_of(name, until=LATER)])
    assert table.find(olga, 0.0) is not None
    other = role_session("oleg@example.com", "AWSReservedSSO_Dev_0123456789abcdef", account=ACCOUNT)
    assert table.find(other, 0.0) is None


def test_deny_knows_the_roles_of_permission_sets_and_says_that_it_knows_no_users(applied: FakeAccount) -> None:
    known = known_names(load_access("access.yaml"), applied.directory, applied.store.entries(), [ROLE])
    assert known.knows(ROLE)
    assert known.knows(f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/olga@example.com")
    assert not known.knows(ROLE.replace("_Ops_", "_Dev_"))
    assert not known.knows("olga@example.com")
    with pytest.raises(UsageError) as caught:
        kube_iam(applied, "deny", "olga@example.com", kube=denying())
    assert "users of permission sets are in IAM Identity Center, where names are not looked up" in caught.value.hint


def test_no_command_asks_iam_for_the_group_of_a_permission_set(
    applied: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = applied.directory
    asked: list[str] = []
    read = directory.group

    def group(name: str) -> GroupState | None:
        asked.append(name)
        return read(name)

    monkeypatch.setattr(directory, "group", group)
    kube_iam(applied, "grant", "alice", "viewer")
    directory.caller_arn = f"arn:aws:iam::{ACCOUNT}:user/alice"
    applied.cluster.subject = Subject("awsiam:alice", ("kube-iam:viewer",))
    with pytest.raises(Guarded, match="you are alice"):
        kube_iam(applied, "revoke", "alice", "viewer")
    kube_iam(applied, "who")
    kube_iam(applied, "plan")
    assert asked
    assert "" not in asked
