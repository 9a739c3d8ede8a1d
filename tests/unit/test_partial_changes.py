"""Commands that change several things and stop half way, by an error or by Ctrl-C."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from access_commands import kube_iam
from fake_account import ACCOUNT, FakeAccount
from ruamel.yaml import YAML

from kube_iam.access.ports import User
from kube_iam.cli.changes import ChangesMade
from kube_iam.errors import AccessDenied, AwsError, Interrupted, KubeIamError, Throttled, Unreachable

FILE = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod, endpoint: "https://api.prod.example.com"}
account: "123456789012"
region: eu-central-1
levels:
  - {name: admin, bind: [{clusterRole: cluster-admin}], iam: {role: prod-admin}}
"""
USERS = ("ann", "ben", "cleo", "dan")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAccount:
    account = FakeAccount()
    for user in USERS:
        account.directory.all_users[user] = User(user, f"arn:aws:iam::{ACCOUNT}:user/{user}", f"AIDA{user}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    (tmp_path / "access.yaml").write_text(FILE)
    return account


def fail_at(
    monkeypatch: pytest.MonkeyPatch, account: FakeAccount, method: str, user: str, error: BaseException
) -> None:
    """Make the directory's method raise for that user."""
    real: Callable[..., object] = getattr(account.directory, method)

    def call(*arguments: object) -> object:
        if user in arguments:
            raise error
        return real(*arguments)

    monkeypatch.setattr(account.directory, method, call)


COMMANDS = [
    (("grant",), "add_member", "granted"),
    (("revoke",), "remove_member", "revoked"),
    (("grant", "--for", "2h"), "put_user_policy", "granted"),
]


@pytest.mark.parametrize("error", [AccessDenied("no"), Throttled("slow"), Unreachable("away"), AwsError("odd")])
@pytest.mark.parametrize(("command", "method", "verb"), COMMANDS)
@pytest.mark.parametrize("output", ["json", "yaml", "table"])
def test_a_failure_half_way_reports_done_failed_and_not_tried(
    account: FakeAccount,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    output: str,
    command: tuple[str, ...],
    method: str,
    verb: str,
    error: KubeIamError,
) -> None:
    kube_iam(account, "apply", "--yes")
    if command == ("revoke",):
        kube_iam(account, "grant", *USERS, "admin")
    capsys.readouterr()
    fail_at(monkeypatch, account, method, "cleo", error)
    with pytest.raises(type(error)):
        kube_iam(account, *command, *USERS, "admin", "-o", output)
    out, err = capsys.readouterr()
    assert f"2 of 4 users {verb} admin; failed: cleo; not tried: dan\n" in err
    if output == "table":
        assert [line.split(":")[0] for line in out.splitlines()][:2] == ["ann", "ben"]
        return
    assert YAML(typ="safe", pure=True).load(out)["users"] == [
        {"name": "ann", "result": verb},
        {"name": "ben", "result": verb},
        {"name": "cleo", "result": "failed", "error": error.message},
        {"name": "dan", "result": "notTried"},
    ]


@pytest.mark.parametrize(("command", "method", "verb"), COMMANDS)
def test_ctrl_c_half_way_names_what_is_done_unknown_and_not_begun(
    account: FakeAccount,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    method: str,
    verb: str,
) -> None:
    kube_iam(account, "apply", "--yes")
    if command == ("revoke",):
        kube_iam(account, "grant", *USERS, "admin")
    capsys.readouterr()
    fail_at(monkeypatch, account, method, "ben", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        kube_iam(account, *command, *USERS, "admin", "-o", "json")
    out, err = capsys.readouterr()
    results = {user["name"]: user["result"] for user in json.loads(out)["users"]}
    assert results == {"ann": verb, "ben": "unknown", "cleo": "notTried", "dan": "notTried"}
    assert err.splitlines()[-1] == (
        f"kube-iam: stopped: 1 of 4 changes done (ann {verb} admin); may or may not be done: ben {verb} admin; "
        f"not begun: cleo {verb} admin, dan {verb} admin; run the same command again: it goes on from here"
    )


def test_ctrl_c_half_way_through_apply_names_the_change_under_way(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_at(monkeypatch, account, "create_group", "prod-admin", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        kube_iam(account, "apply", "--yes")
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("kube-iam: stopped: ")
    assert "may or may not be done: + group prod-admin (admin); not begun: + " in line
    assert "of 6 changes done" in line


def test_ctrl_c_in_a_dry_run_says_that_nothing_was_changed(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kube_iam(account, "apply", "--yes")
    capsys.readouterr()
    fail_at(monkeypatch, account, "user", "ben", KeyboardInterrupt())
    for command in ("grant", "revoke"):
        with pytest.raises(KeyboardInterrupt):
            kube_iam(account, command, *USERS, "admin", "--dry-run")
        assert capsys.readouterr().err == "kube-iam: stopped: nothing was changed\n"


def test_long_lists_of_changes_are_cut() -> None:
    made = ChangesMade()
    made.expect(f"user{number} granted admin" for number in range(50))
    made.begin("user0 granted admin")
    assert made.summary().endswith("user10 granted admin and 39 more")


def test_interrupts_are_no_errors_that_commands_could_swallow() -> None:
    assert not issubclass(Interrupted, Exception)
