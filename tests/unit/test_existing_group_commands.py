"""`grant`, `revoke`, `who` and `kubeconfig` for levels by IAM groups and roles that exist already."""

import json
from pathlib import Path

import pytest
from access_commands import account, kube_iam  # noqa: F401  (a fixture)
from fake_account import ACCOUNT, FakeAccount
from foreign_objects import BILLING, SHARED, TEAM, add_group, add_role, foreign
from prepared_session import Terminal

from kube_iam.errors import NotFound, NotOwned, UsageError, WouldFail

FILE = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod, endpoint: "https://api.prod.example.com"}
account: "123456789012"
region: eu-central-1
levels:
  - {name: dev, iam: {group: platform-team, existing: true}, bind: [{clusterRole: edit}]}
  - {name: look, method: group, iam: {group: platform-team, existing: true}, bind: [{clusterRole: view}]}
  - {name: ops, iam: {role: shared-operator, existing: true}, bind: [{clusterRole: view}]}
"""


@pytest.fixture
def site(account: FakeAccount) -> FakeAccount:  # noqa: F811
    """Return an account where the levels of FILE are applied; alice is in the team."""
    Path("access.yaml").write_text(FILE)
    add_group(account, "alice")
    add_role(account)
    assert kube_iam(account, "apply", "--yes") == 0
    return account


def team(site: FakeAccount) -> set[str]:
    return site.directory.group_members[TEAM]


def test_a_grant_lists_what_else_the_group_gives_and_takes_yes(
    site: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    before = foreign(site)
    capsys.readouterr()
    assert kube_iam(site, "grant", "bob", "dev", "--yes") == 0
    out, err = capsys.readouterr()
    assert out == "bob: granted dev\n"
    assert err.splitlines()[:4] == [
        "bob would also get what IAM group platform-team gives beside level dev:",
        f"  - policy {BILLING}",
        f"  - policy arn:aws:iam::{ACCOUNT}:policy/kube-iam/prod/prod-look (level look)",
        "  - inline policy read-logs",
    ]
    assert team(site) == {"alice", "bob"}
    assert kube_iam(site, "revoke", "bob", "dev", "-y") == 0
    assert "bob would also lose what IAM group" in capsys.readouterr().err
    assert foreign(site) == before


@pytest.mark.parametrize("command", ["grant", "revoke"])
def test_without_a_terminal_and_without_yes_nothing_changes(site: FakeAccount, command: str) -> None:
    user = {"grant": "bob", "revoke": "alice"}[command]
    with pytest.raises(UsageError, match="look at what else the group gives, then add --yes"):
        kube_iam(site, command, user, "dev")
    assert team(site) == {"alice"}


@pytest.mark.parametrize(("answer", "code", "members"), [("n\n", 1, {"alice"}), ("y\n", 0, {"alice", "bob"})])
def test_on_a_terminal_the_answer_decides(
    site: FakeAccount, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, members: set[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert kube_iam(site, "grant", "bob", "dev") == code
    assert team(site) == members


def test_a_dry_run_lists_and_does_not_ask(site: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert kube_iam(site, "grant", "bob", "dev", "--dry-run") == 0
    assert "inline policy read-logs" in capsys.readouterr().err
    assert team(site) == {"alice"}


def test_nothing_is_asked_where_nothing_changes_or_nothing_else_is_given(site: FakeAccount) -> None:
    assert kube_iam(site, "grant", "alice", "dev") == 0
    site.directory.detach(TEAM, BILLING)
    site.directory.group_policies.clear()
    Path("access.yaml").write_text("".join(line for line in FILE.splitlines(True) if "look" not in line))
    assert kube_iam(site, "apply", "--yes", "--force") == 0
    assert kube_iam(site, "grant", "bob", "dev") == 0
    assert team(site) == {"alice", "bob"}


def test_a_temporary_grant_leaves_the_group_alone(site: FakeAccount) -> None:
    assert kube_iam(site, "grant", "bob", "dev", "--for", "2h") == 0
    assert kube_iam(site, "grant", "bob", "ops", "--for", "2h") == 0
    assert team(site) == {"alice"}
    document = site.directory.user_policies["bob", "kube-iam-prod-ops"]
    assert document["Statement"][0]["Resource"] == f"arn:aws:iam::{ACCOUNT}:role/ops/{SHARED}"  # type: ignore[index]


def test_a_group_that_others_gave_a_further_level_is_refused_for_grants(site: FakeAccount) -> None:
    site.directory.attach(TEAM, f"arn:aws:iam::{ACCOUNT}:policy/kube-iam/prod/prod-ops")
    with pytest.raises(NotOwned, match="group platform-team of level dev also has the policy of level ops"):
        kube_iam(site, "grant", "bob", "dev", "--yes")
    assert team(site) == {"alice"}
    assert kube_iam(site, "revoke", "alice", "dev", "--yes") == 0
    assert kube_iam(site, "apply", "--yes") == 0
    assert kube_iam(site, "grant", "bob", "dev", "--yes") == 0
    assert team(site) == {"bob"}


def test_a_user_in_ten_groups_is_refused_before_anything_changes(site: FakeAccount) -> None:
    for number in range(10):
        site.directory.group_members[f"g{number}"] = {"bob"}
    with pytest.raises(WouldFail, match="IAM user bob is in 10 groups, the most that IAM takes"):
        kube_iam(site, "grant", "carol", "bob", "dev", "--yes")
    assert team(site) == {"alice"}


def test_a_level_that_was_not_applied_grants_nothing(account: FakeAccount) -> None:  # noqa: F811
    Path("access.yaml").write_text(FILE)
    with pytest.raises(NotFound, match="there is no IAM group platform-team, which level dev names as existing"):
        kube_iam(account, "grant", "bob", "dev", "--yes")
    add_group(account, "alice")
    with pytest.raises(NotFound, match="level dev does not exist in IAM yet: there is no policy prod-dev"):
        kube_iam(account, "grant", "bob", "dev", "--yes")
    assert account.directory.group_members[TEAM] == {"alice"}


def test_who_shows_members_once_the_level_is_applied(
    account: FakeAccount,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("access.yaml").write_text(FILE)
    add_group(account, "alice")
    add_role(account)
    assert kube_iam(account, "who", "dev", "-o", "json") == 0
    (level,) = json.loads(capsys.readouterr().out)
    assert (level["applied"], level["users"]) == (False, [])
    assert kube_iam(account, "apply", "--yes") == 0
    capsys.readouterr()
    assert kube_iam(account, "who", "dev", "-o", "json") == 0
    (level,) = json.loads(capsys.readouterr().out)
    assert (level["applied"], level["users"], level["group"]) == (True, ["alice"], TEAM)


def test_the_kubeconfig_has_the_path_of_an_existing_role(site: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert kube_iam(site, "kubeconfig", "ops") == 0
    assert f"arn:aws:iam::{ACCOUNT}:role/ops/{SHARED}" in capsys.readouterr().out
    site.directory.role_states.clear()
    with pytest.raises(NotFound, match="there is no IAM role shared-operator"):
        kube_iam(site, "kubeconfig", "ops")
