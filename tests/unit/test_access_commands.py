"""The commands about access, from the command line down to a fake account."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from access_commands import FILE, LATER, denying, kube_iam
from access_commands import account as account
from fake_account import FakeAccount
from levels_for_tests import access
from prepared_session import Terminal
from ruamel.yaml import YAML

from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.ports import Directory, RoleState, Subject, User
from kube_iam.aws.iam_calls import PERMISSIONS
from kube_iam.cli.permissions import DIRECTORY_METHODS
from kube_iam.cli.session import check_server, needs_cluster
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.denylist.denial import Denial
from kube_iam.errors import (
    AccessDenied,
    ConfigError,
    CredentialsError,
    Guarded,
    KubeError,
    KubeIamError,
    NotFound,
    NotOwned,
    Unreachable,
    UsageError,
)


def test_plan_shows_and_changes_nothing(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert kube_iam(account, "plan") == 0
    out = capsys.readouterr().out
    assert "+ role prod-admin (admin)" in out
    assert "Plan: 12 to create, 0 to update, 0 to delete." in out
    assert "\x1b" not in out
    assert account.world.writes == 0


def test_plan_says_by_its_exit_code_whether_something_would_change(account: FakeAccount) -> None:
    assert kube_iam(account, "plan", "--detailed-exitcode") == 2
    assert kube_iam(account, "apply", "--yes") == 0
    assert kube_iam(account, "plan", "--detailed-exitcode") == 0


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_plan_is_data_for_programs(account: FakeAccount, capsys: pytest.CaptureFixture[str], output: str) -> None:
    assert kube_iam(account, "plan", "-o", output) == 0
    data = YAML(typ="safe", pure=True).load(capsys.readouterr().out)
    assert data["counts"]["create"] == 12
    assert data["changes"][0]["kind"] == "policy"
    assert len(data["digest"]) == 64


def test_apply_does_what_it_showed_and_a_second_plan_is_empty(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kube_iam(account, "apply", "--yes") == 0
    captured = capsys.readouterr()
    assert "Done: 12 created.\n" in captured.out
    assert "[1/12] + policy prod-admin (admin)\n" in captured.err
    assert kube_iam(account, "plan") == 0
    assert "Nothing to change" in capsys.readouterr().out
    assert kube_iam(account, "apply") == 0


def test_apply_without_a_terminal_and_without_yes_is_an_error(account: FakeAccount) -> None:
    with pytest.raises(UsageError, match="add --yes"):
        kube_iam(account, "apply")
    with pytest.raises(UsageError):
        kube_iam(account, "destroy") if account.world.writes else kube_iam(account, "apply")
    assert account.world.writes == 0


@pytest.mark.parametrize(("answer", "code", "writes"), [("y\n", 0, 12), ("n\n", 1, 0), ("\n", 1, 0)])
def test_apply_asks_on_a_terminal(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, writes: int
) -> None:
    _answer(monkeypatch, answer)
    assert kube_iam(account, "apply") == code
    assert account.world.writes == writes


def _answer(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))


def test_apply_dry_run_is_a_plan(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert kube_iam(account, "apply", "--dry-run") == 0
    assert "Plan: 12 to create" in capsys.readouterr().out
    assert account.world.writes == 0


def test_an_error_in_the_middle_says_how_far_it_came_and_the_next_run_finishes(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.world.errors["attach"] = AccessDenied("cannot attach a policy: iam:AttachGroupPolicy is not allowed")
    with pytest.raises(AccessDenied):
        kube_iam(account, "apply", "--yes")
    err = capsys.readouterr().err
    assert "3 of 12 changes are done; stopped at: + attachment prod-admin on prod-admin" in err
    assert "run the same command again: it goes on from here" in err
    account.world.errors.clear()
    assert kube_iam(account, "apply", "--yes") == 0
    assert kube_iam(account, "plan", "--detailed-exitcode") == 0


def test_a_denied_permission_comes_with_all_that_the_command_needs(account: FakeAccount) -> None:
    account.world.errors["attach"] = AccessDenied("no", "the caller needs the permission iam:AttachGroupPolicy")
    with pytest.raises(AccessDenied) as caught:
        kube_iam(account, "apply", "--yes")
    assert "; `apply` needs in all: " in caught.value.hint
    assert "iam:ListGroups" in caught.value.hint


def test_a_guarded_plan_needs_force(account: FakeAccount, tmp_path: Path) -> None:
    kube_iam(account, "apply", "--yes")
    account.cluster.subject = Subject("awsiam:alice", (), "arn:aws:iam::123456789012:role/prod-admin")
    (tmp_path / "access.yaml").write_text(FILE.replace("{name: admin", "{name: admin, username: x"))
    account.world.writes = 0
    with pytest.raises(Guarded) as caught:
        kube_iam(account, "apply", "--yes")
    assert "you are signed in through" in caught.value.message
    assert "--force" in caught.value.hint
    assert account.world.writes == 0
    assert kube_iam(account, "plan") == 0
    assert kube_iam(account, "apply", "--yes", "--force") == 0


def test_destroy_asks_for_the_name_and_undoes(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kube_iam(account, "apply", "--yes")
    with pytest.raises(UsageError, match="--yes"):
        kube_iam(account, "destroy")
    _answer(monkeypatch, "production\n")
    assert kube_iam(account, "destroy") == 1
    _answer(monkeypatch, "prod\n")
    assert kube_iam(account, "destroy") == 0
    assert account.state() == FakeAccount().state()
    assert kube_iam(account, "destroy") == 0
    assert capsys.readouterr().out.endswith("Nothing of prod.example.com is left.\n")


def test_destroy_lists_what_it_leaves_and_claims_nothing_else(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = "arn:aws:iam::123456789012:role/prod-viewer"
    account.directory.role_states["prod-viewer"] = RoleState(arn, "prod-viewer", "/", {})
    account.store.all_entries = [MappingEntry(arn, "root\x1b[2J", ("system:masters",))]
    assert kube_iam(account, "destroy", "--yes") == 1
    out = capsys.readouterr().out
    assert "Nothing of prod.example.com is left" not in out
    assert (
        rf"left alone: mapping {arn} (user name root\u001b[2J, groups system:masters) is not marked as this cluster's"
        in out.splitlines()
    )


def test_a_copied_file_grants_and_revokes_nothing_in_the_other_cluster(account: FakeAccount, tmp_path: Path) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "bob", "viewer")
    before = account.state()
    (tmp_path / "access.yaml").write_text(FILE.replace("id: prod.example.com", "id: copy.example.com"))
    for command in (
        ("grant", "alice", "viewer"),
        ("grant", "alice", "viewer", "--for", "1h"),
        ("revoke", "bob", "viewer"),
    ):
        with pytest.raises(NotOwned, match=r"belongs to cluster prod\.example\.com"):
            kube_iam(account, *command)
    for looking in (("who",), ("plan", "--adopt"), ("apply", "--yes", "--adopt", "--force")):
        with pytest.raises(NotOwned, match=r"belongs to cluster prod\.example\.com"):
            kube_iam(account, *looking)
    assert kube_iam(account, "destroy", "--yes", "--force") == 1
    assert account.state() == before


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("cannot ask the cluster who you are: https://api does not answer in time", "is it reachable?"),
        KubeError("no kubeconfig found"),
        KubeError("there is no context 'prod' in config"),
        UsageError("the current kubeconfig context leads to another cluster", "choose the context with --context"),
    ],
)
def test_destroy_without_its_cluster_names_iam_only_which_deletes_what_is_in_iam(
    account: FakeAccount, capsys: pytest.CaptureFixture[str], error: KubeIamError
) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "alice", "admin")
    with pytest.raises(type(error)) as raised:
        kube_iam(account, "destroy", "--yes", unreachable=error)
    assert raised.value.hint.endswith("if the cluster is gone, add --iam-only, which deletes what is in IAM alone")
    account.world.writes = 0
    assert kube_iam(account, "destroy", "--iam-only", "--dry-run", unreachable=error) == 0
    assert account.world.writes == 0
    capsys.readouterr()
    assert kube_iam(account, "destroy", "--iam-only", "--yes", unreachable=error) == 0
    assert "note: --iam-only leaves bindings, the mapping" in capsys.readouterr().err
    assert account.directory.state() == FakeAccount().directory.state()
    assert account.store.entries()
    assert kube_iam(account, "destroy", "--iam-only", unreachable=error) == 0
    assert capsys.readouterr().out == (
        "Nothing of prod.example.com is left in IAM; its bindings and its mapping were not read.\n"
    )


def test_destroy_finds_the_bindings_and_the_mapping_that_iam_only_left(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "destroy", "--iam-only", "--yes")
    assert kube_iam(account, "destroy", "--yes") == 0
    assert (account.store.entries(), account.cluster.bindings()) == ((), ())


def test_destroy_dry_run_only_shows(account: FakeAccount) -> None:
    kube_iam(account, "apply", "--yes")
    account.world.writes = 0
    assert kube_iam(account, "destroy", "--dry-run") == 0
    assert account.world.writes == 0
    assert kube_iam(account, "destroy", "--yes") == 0


def test_people_come_and_go(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    kube_iam(account, "apply", "--yes")
    capsys.readouterr()
    assert kube_iam(account, "grant", "alice", "bob", "viewer") == 0
    assert capsys.readouterr().out == "alice: granted viewer\nbob: granted viewer\n"
    assert kube_iam(account, "grant", "alice", "viewer") == 0
    assert capsys.readouterr().out == "alice: already in viewer\n"
    assert kube_iam(account, "who", "viewer") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["viewer   prod-viewer   alice", "viewer   prod-viewer   bob"]
    assert kube_iam(account, "revoke", "alice", "viewer", "--dry-run") == 0
    assert "alice: would be revoked viewer" in capsys.readouterr().out
    assert kube_iam(account, "revoke", "alice", "viewer") == 0
    assert capsys.readouterr().out == (
        "alice: revoked viewer\n"
        "Note: a user who is signed in is out as soon as the server has read the IAM group again, every 15s by default, and"
        " kube-apiserver's cache of the token has ended, 2m10s by default.\n"
    )
    assert kube_iam(account, "revoke", "alice", "viewer") == 0
    assert capsys.readouterr().out == "alice: already out of viewer\n"
    assert kube_iam(account, "who", "--by-user") == 0
    assert capsys.readouterr().out == "USER   LEVELS\nbob    viewer\n"


def test_access_for_a_time_is_granted_shown_and_taken_away(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "bob", "viewer")
    capsys.readouterr()
    assert kube_iam(account, "grant", "alice", "bob", "viewer", "--for", "2h", "--reason", "on call", "--dry-run") == 0
    assert capsys.readouterr().out.startswith("alice: would be granted viewer for 2h, until 2")
    assert kube_iam(account, "grant", "alice", "bob", "viewer", "--for", "2h", "--reason", "on call") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("alice: granted viewer for 2h, until 2")
    assert second == "bob: already in viewer, without an end"
    assert account.directory.group_members["prod-viewer"] == {"bob"}
    assert kube_iam(account, "who", "viewer") == 0
    assert capsys.readouterr().out.splitlines()[2] == "viewer   prod-viewer   alice   1h59m       on call"
    assert kube_iam(account, "plan", "--detailed-exitcode") == 0
    assert kube_iam(account, "revoke", "alice", "viewer") == 0
    assert capsys.readouterr().out.splitlines()[-2] == "alice: revoked viewer"
    assert account.directory.user_policies == {}
    assert kube_iam(account, "revoke", "alice", "viewer") == 0
    assert capsys.readouterr().out == "alice: already out of viewer\n"
    kube_iam(account, "grant", "alice", "admin", "--for", "90m", "-o", "json")
    granted = json.loads(capsys.readouterr().out)
    assert granted["users"] == [{"name": "alice", "result": "granted"}]
    assert granted["until"].endswith("Z")


def test_temporary_access_of_a_deleted_user_is_shown_and_revoked(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "bob", "viewer", "--for", "2h")
    del account.directory.all_users["bob"]
    account.directory.user_policies.clear()
    capsys.readouterr()
    assert kube_iam(account, "who", "viewer") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == ["viewer", "prod-viewer", "bob", "not", "admitted", "deleted", "in", "IAM"]
    assert "admits nobody: deleted in IAM; `kube-iam revoke bob viewer` removes it\n" in err
    kube_iam(account, "who", "--by-user")
    assert "bob    (viewer: not admitted, deleted in IAM)" in capsys.readouterr().out
    kube_iam(account, "who", "viewer", "-o", "json")
    (level,) = json.loads(capsys.readouterr().out)
    assert (level["temporary"], level["notAdmitted"][0]["user"]) == ([], "bob")
    assert kube_iam(account, "revoke", "bob", "viewer") == 0
    assert "bob: revoked viewer (temporary access of a user who was deleted in IAM)\n" in capsys.readouterr().out
    assert not any(entry.temporary for entry in account.store.entries())
    with pytest.raises(NotFound, match="no IAM user bob in this account; nothing was changed"):
        kube_iam(account, "revoke", "bob", "viewer")


def test_a_new_user_of_the_same_name_is_not_shown_as_admitted(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "bob", "viewer", "--for", "2h")
    account.directory.all_users["bob"] = replace(account.directory.all_users["bob"], unique_id="AIDANEW")
    capsys.readouterr()
    kube_iam(account, "who", "--by-user", "-o", "json")
    (bob,) = json.loads(capsys.readouterr().out)
    assert (bob["user"], bob["levels"], bob["temporary"]) == ("bob", [], [])
    assert bob["notAdmitted"][0]["why"] == "another IAM user of this name was created since"
    kube_iam(account, "who", "viewer")
    assert "not admitted" in capsys.readouterr().out
    assert kube_iam(account, "grant", "bob", "viewer", "--for", "2h") == 0
    capsys.readouterr()
    kube_iam(account, "who", "viewer")
    assert "not admitted" not in capsys.readouterr().out


@pytest.mark.parametrize("users", [("alice", "bob"), ("bob", "alice"), ("alice", "bob", "carol")])
@pytest.mark.parametrize("output", ["table", "json"])
def test_revoke_goes_on_where_only_some_users_are_gone(
    account: FakeAccount, capsys: pytest.CaptureFixture[str], users: tuple[str, ...], output: str
) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "alice", "carol", "admin")
    del account.directory.all_users["bob"]
    capsys.readouterr()
    with pytest.raises(NotFound, match="no IAM user bob in this account; the others are out of the level"):
        kube_iam(account, "revoke", *users, "admin", "-o", output)
    out = capsys.readouterr().out
    assert account.directory.group_members["prod-admin"] == {"alice", "carol"} - set(users)
    if output == "json":
        results = {user["name"]: user["result"] for user in json.loads(out)["users"]}
        assert results == {user: "noSuchUser" if user == "bob" else "revoked" for user in users}
    else:
        assert "alice: revoked admin\n" in out
        assert "bob: no such IAM user\n" in out


@pytest.mark.parametrize("options", [(), ("--for", "2h"), ("--dry-run",)])
def test_a_user_with_a_name_of_one_letter_is_refused_with_the_reason(
    account: FakeAccount, options: tuple[str, ...]
) -> None:
    kube_iam(account, "apply", "--yes")
    account.directory.all_users["x"] = User("x", "arn:aws:iam::123456789012:user/x", "AIDAX")
    account.world.writes = 0
    with pytest.raises(UsageError, match=r"'x' cannot sign in by level admin.* session names of 2 to 64 characters"):
        kube_iam(account, "grant", "alice", "x", "admin", *options)
    assert account.world.writes == 0
    account.directory.group_members["prod-admin"].add("x")
    assert kube_iam(account, "revoke", "x", "admin") == 0


def test_what_is_over_is_cleaned_by_the_next_grant(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "alice", "viewer", "--for", "1h")
    store = account.store
    over = (TemporaryGrant("alice", "AIDAalice", "2026-01-01T00:00:00Z"),)
    store.all_entries = [replace(each, temporary=over if each.temporary else ()) for each in store.all_entries]
    capsys.readouterr()
    assert kube_iam(account, "who", "viewer") == 0
    assert "alice" not in capsys.readouterr().out
    account.world.errors["delete_user_policy"] = AccessDenied("no")
    assert kube_iam(account, "grant", "bob", "admin") == 0
    assert "alice's access until 2026-01-01T00:00:00Z stays: no" in capsys.readouterr().err
    account.world.errors.clear()
    assert kube_iam(account, "grant", "carol", "admin") == 0
    assert "cleaned up alice's access, which ended at 2026-01-01T00:00:00Z\n" in capsys.readouterr().err
    assert account.directory.user_policies == {}
    store.all_entries = [replace(each, temporary=over if each.level == "viewer" else ()) for each in store.all_entries]
    assert kube_iam(account, "grant", "alice", "viewer", "--for", "1h") == 0
    assert kube_iam(account, "who", "viewer") == 0
    assert "viewer   prod-viewer   alice" in capsys.readouterr().out


def test_members_change_without_access_to_the_cluster_and_skipped_parts_are_reported(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "alice", "viewer", "--for", "1h")
    error = KubeError("no cluster")
    assert kube_iam(account, "grant", "bob", "viewer", unreachable=error) == 0
    assert "was not cleaned up: no cluster" in capsys.readouterr().err
    assert kube_iam(account, "who", unreachable=error) == 0
    assert "temporary access is not known: no cluster" in capsys.readouterr().err
    with pytest.raises(KubeIamError, match="the mapping was not looked at: no cluster"):
        kube_iam(account, "revoke", "alice", "bob", "viewer", unreachable=error)
    assert account.directory.group_members["prod-viewer"] == set()
    assert account.directory.user_policies == {}
    with pytest.raises(KubeError):
        kube_iam(account, "grant", "alice", "viewer", "--for", "1h", unreachable=error)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--for", "2"), "is not a length of time"),
        (("--for", "0h"), "at most a year"),
        (("--for", "9000h"), "at most a year"),
        (("--reason", "x"), "--reason goes with --for"),
        (("--for", "1h", "--reason", "a\nb"), "one line"),
    ],
)
def test_a_time_that_is_none_changes_nothing(account: FakeAccount, arguments: tuple[str, ...], said: str) -> None:
    kube_iam(account, "apply", "--yes")
    account.world.writes = 0
    with pytest.raises(UsageError, match=said):
        kube_iam(account, "grant", "alice", "viewer", *arguments)
    assert account.world.writes == 0


@pytest.mark.parametrize(
    ("mapping", "hint"),
    [
        ("", "set membershipCheck: signIn or rbac and apply, or grant without --for"),
        ("mapping: {accessEntries: {}}\n", "set membershipCheck: rbac and apply, or grant without --for"),
    ],
)
def test_temporary_grant_is_refused_where_nothing_would_end_it(
    account: FakeAccount, tmp_path: Path, mapping: str, hint: str
) -> None:
    text = FILE.replace("id: prod.example.com", "id: prod") if mapping else FILE
    (tmp_path / "access.yaml").write_text(f"{text}{mapping}membershipCheck: assumeRole\n")
    with pytest.raises(UsageError, match="has membershipCheck: assumeRole for level viewer") as caught:
        kube_iam(account, "grant", "alice", "viewer", "--for", "1h")
    assert caught.value.hint == hint


def test_where_the_session_counts_revoke_revoke_says_how_long_one_lasts(
    account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "access.yaml").write_text(FILE + "membershipCheck: assumeRole\n")
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "alice", "viewer")
    assert kube_iam(account, "revoke", "alice", "viewer") == 0
    assert capsys.readouterr().out.endswith("a session that was already assumed lasts until it ends, 2h at the most.\n")


def test_grant_revoke_and_who_are_data_for_programs(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    kube_iam(account, "apply", "--yes")
    capsys.readouterr()
    kube_iam(account, "grant", "alice", "admin", "-o", "json")
    granted = json.loads(capsys.readouterr().out)
    assert granted["users"] == [{"name": "alice", "result": "granted"}]
    kube_iam(account, "who", "-o", "json")
    assert json.loads(capsys.readouterr().out)[0] == {
        "level": "admin",
        "group": "prod-admin",
        "applied": True,
        "users": ["alice"],
        "managedIn": "iam",
        "temporary": [],
    }
    kube_iam(account, "who", "--by-user", "-o", "json")
    assert json.loads(capsys.readouterr().out) == [{"user": "alice", "levels": ["admin"], "temporary": []}]
    kube_iam(account, "revoke", "alice", "viewer", "-o", "json")
    revoked = json.loads(capsys.readouterr().out)
    assert revoked["users"] == [{"name": "alice", "result": "already"}]
    assert revoked["sessionsEndWithinSeconds"] == 7200


def test_every_method_of_the_directory_is_one_of_a_command() -> None:
    methods = {name for name, value in vars(Directory).items() if callable(value) and not name.startswith("_")}
    assert set(PERMISSIONS) == methods
    assert {method for used in DIRECTORY_METHODS.values() for method in used} == methods - {"each"}


ADMIN_ROLE = "arn:aws:iam::123456789012:role/prod-admin"


@pytest.mark.parametrize(
    ("denial", "denied"),
    [
        (Denial("d", "userName", "alice", until=LATER), {"admin", "viewer"}),
        (Denial("d", "userName", "al*", until=LATER), {"admin", "viewer"}),
        (Denial("d", "arn", "arn:aws:iam::123456789012:user/alice", until=LATER), {"admin", "viewer"}),
        (Denial("d", "arn", ADMIN_ROLE, until=LATER), {"admin"}),
        (Denial("d", "userName", "alice", role=ADMIN_ROLE, until=LATER), {"admin"}),
        (Denial("d", "userName", "alice", until=1.0), set()),
        (Denial("d", "userName", "bob", until=LATER), set()),
    ],
)
def test_who_says_until_when_a_member_is_denied(
    account: FakeAccount,
    capsys: pytest.CaptureFixture[str],
    denial: Denial,
    denied: set[str],
) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "alice", "admin")
    kube_iam(account, "grant", "alice", "viewer")
    kube = denying(denial)
    capsys.readouterr()
    kube_iam(account, "who", kube=kube)
    table = capsys.readouterr().out
    assert {line.split()[0] for line in table.splitlines() if "denied until 2096-10-02T07:06:40Z" in line} == denied
    kube_iam(account, "who", "-o", "json", kube=kube)
    levels = json.loads(capsys.readouterr().out)
    assert {level["level"] for level in levels if level.get("denied")} == denied
    kube_iam(account, "who", "--by-user", kube=kube)
    assert capsys.readouterr().out.count("denied until") == len(denied)


def test_who_and_plan_count_the_entries_of_others_and_who_lists_them(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    kube_iam(account, "apply", "--yes")
    for name in ("nodes", "ops"):
        account.store.put(MappingEntry(f"arn:aws:iam::123456789012:role/{name}", f"sys-{name}", (f"group-{name}",)))
    capsys.readouterr()
    kube_iam(account, "who")
    out, err = capsys.readouterr()
    assert "role/nodes" not in out
    assert "beside these levels: 2; `kube-iam who --all`" in err
    kube_iam(account, "who", "--all")
    out, err = capsys.readouterr()
    assert [line.split()[1:3] for line in out.splitlines() if "role/" in line] == [
        ["sys-nodes", "group-nodes"],
        ["sys-ops", "group-ops"],
    ]
    assert "beside these levels" not in err
    kube_iam(account, "who", "--all", "-o", "json")
    data = json.loads(capsys.readouterr().out)
    assert [entry["username"] for entry in data["otherEntries"]] == ["sys-nodes", "sys-ops"]
    assert [level["level"] for level in data["members"]] == ["admin", "viewer"]
    kube_iam(account, "plan")
    assert "beside these levels, which stay as they are: 2;" in capsys.readouterr().err


def test_grant_changes_nothing_when_a_name_is_wrong(account: FakeAccount) -> None:
    kube_iam(account, "apply", "--yes")
    account.world.writes = 0
    with pytest.raises(NotFound, match="did you mean 'bob'"):
        kube_iam(account, "grant", "alice", "bobb", "admin")
    with pytest.raises(UsageError, match="did you mean 'admin'"):
        kube_iam(account, "grant", "alice", "admins")
    with pytest.raises(UsageError, match="the level comes last"):
        kube_iam(account, "grant", "admin", "alice")
    assert account.world.writes == 0


@pytest.mark.parametrize(
    "command", [("plan",), ("apply", "--yes"), ("destroy", "--yes"), ("grant", "alice", "admin"), ("who",)]
)
def test_another_account_stops_every_command_first(account: FakeAccount, command: tuple[str, ...]) -> None:
    account.directory.account = "999999999999"
    with pytest.raises(CredentialsError, match="999999999999"):
        kube_iam(account, *command)
    assert set(account.world.log) == {"caller"}


def test_kubeconfig_holds_public_data_and_the_plugin(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert kube_iam(account, "kubeconfig", "admin", "--profile", "work") == 0
    config = YAML(typ="safe", pure=True).load(capsys.readouterr().out)
    assert config["current-context"] == "prod-admin"
    assert config["clusters"] == [{"name": "prod", "cluster": {"server": "https://api.prod.example.com"}}]
    plugin = config["users"][0]["user"]["exec"]
    assert plugin["apiVersion"] == "client.authentication.k8s.io/v1"
    assert plugin["command"] == "kube-iam"
    role = "arn:aws:iam::123456789012:role/prod-admin"
    assert plugin["args"] == ["token", "-i", "prod.example.com", "-r", role, "--region", "eu-central-1"]
    assert plugin["interactiveMode"] == "IfAvailable"
    assert plugin["env"] == [{"name": "AWS_PROFILE", "value": "work"}]
    assert "Install it from its repository" in plugin["installHint"]


@pytest.mark.parametrize("program", ["kube-iam", "aws-iam-authenticator"])
def test_the_access_file_says_how_people_install_the_program(
    program: str, account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "access.yaml").write_text(FILE + "installHint: |\n  Ask #platform.\n  It is in the toolbox.\n")
    assert kube_iam(account, "kubeconfig", "admin", "--exec-command", program) == 0
    plugin = YAML(typ="safe", pure=True).load(capsys.readouterr().out)["users"][0]["user"]["exec"]
    assert plugin["installHint"] == "Ask #platform.\nIt is in the toolbox.\n"


def test_the_kubeconfig_of_a_level_by_group_assumes_no_role(
    account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "access.yaml").write_text(FILE.replace("sessionDuration: 2h", "method: group"))
    assert kube_iam(account, "kubeconfig", "viewer") == 0
    plugin = YAML(typ="safe", pure=True).load(capsys.readouterr().out)["users"][0]["user"]["exec"]
    assert plugin["args"] == ["token", "-i", "prod.example.com", "--region", "eu-central-1"]


def test_kubeconfig_for_the_reference_and_with_other_names(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--exec-command", "aws-iam-authenticator", "--user-name", "me", "--context-name", "here")
    assert kube_iam(account, "kubeconfig", "viewer", *arguments) == 0
    config = YAML(typ="safe", pure=True).load(capsys.readouterr().out)
    assert config["users"][0]["name"] == "me"
    assert config["contexts"] == [{"name": "here", "context": {"cluster": "prod", "user": "me"}}]
    plugin = config["users"][0]["user"]["exec"]
    assert (plugin["apiVersion"], plugin["command"]) == (
        "client.authentication.k8s.io/v1beta1",
        "aws-iam-authenticator",
    )


V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


@pytest.mark.parametrize(
    ("arguments", "command", "version"),
    [
        ((), "kube-iam", V1),
        (("--exec-command", "/opt/kube-iam/bin/kube-iam"), "/opt/kube-iam/bin/kube-iam", V1),
        (("--exec-command", "./bin/kube-iam"), "{here}/bin/kube-iam", V1),
        (("--exec-command", "/usr/bin/aws-iam-authenticator"), "/usr/bin/aws-iam-authenticator", V1BETA1),
        (("--exec-command", "kubectl-iam"), "kubectl-iam", V1),
        (("--exec-command", "/opt/with blanks/sign-in"), "/opt/with blanks/sign-in", V1),
        (("--exec-api-version", V1BETA1), "kube-iam", V1BETA1),
        (("--exec-api-version", "v1beta1"), "kube-iam", V1BETA1),
        (("--exec-command", "aws-iam-authenticator", "--exec-api-version", "v1"), "aws-iam-authenticator", V1),
    ],
)
def test_the_program_and_the_version_of_the_plugin_can_be_chosen(
    arguments: tuple[str, ...], command: str, version: str, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kube_iam(account, "kubeconfig", "admin", *arguments) == 0
    plugin = YAML(typ="safe", pure=True).load(capsys.readouterr().out)["users"][0]["user"]["exec"]
    assert (plugin["command"], plugin["apiVersion"]) == (command.format(here=Path.cwd()), version)
    assert plugin["interactiveMode"] == "IfAvailable"
    assert ("sign-in" in command) == (plugin["installHint"] == f"Install {command}, or put it on the PATH.")


@pytest.mark.parametrize(
    "arguments", [("--exec-command", ""), ("--exec-command", "a\nb"), ("--exec-api-version", "v1alpha1")]
)
def test_what_is_no_program_or_version_is_a_usage_error(arguments: tuple[str, ...], account: FakeAccount) -> None:
    with pytest.raises(UsageError, match=arguments[0]):
        kube_iam(account, "kubeconfig", "admin", *arguments)


def test_kubeconfig_merges_and_keeps_what_is_there(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "apiVersion: v1\nkind: Config\n# mine\nclusters: []\nusers:\n- name: other\n  user: {}\ncontexts: []\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert kube_iam(account, "kubeconfig", "admin", "--merge") == 0
    assert capsys.readouterr().out == ""
    text = path.read_text()
    assert "# mine" in text
    merged = YAML(typ="safe", pure=True).load(text)
    assert [user["name"] for user in merged["users"]] == ["other", "prod-admin"]
    assert merged["current-context"] == "prod-admin"


def test_kubeconfig_of_a_name_that_is_taken_merges_under_another(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("clusters:\n- name: prod\n  cluster: {server: https://other.example.com}\n")
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(NotOwned, match=r"cluster 'prod' is another one.*--cluster-name NAME"):
        kube_iam(account, "kubeconfig", "admin", "--merge")
    assert kube_iam(account, "kubeconfig", "admin", "--merge", "--cluster-name", "prod-eu") == 0
    assert capsys.readouterr().err == f"{path}: the current context is prod-eu-admin.\n"
    merged = YAML(typ="safe", pure=True).load(path.read_text())
    assert [cluster["name"] for cluster in merged["clusters"]] == ["prod", "prod-eu"]
    assert merged["contexts"] == [{"name": "prod-eu-admin", "context": {"cluster": "prod-eu", "user": "prod-eu-admin"}}]
    assert kube_iam(account, "kubeconfig", "admin", "--merge", "--cluster-name", "prod-eu") == 0
    assert capsys.readouterr().err == "nothing to change: the current context is prod-eu-admin.\n"


def test_kubeconfig_needs_an_endpoint_and_a_level(account: FakeAccount, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'viewer'"):
        kube_iam(account, "kubeconfig", "viewr")
    (tmp_path / "access.yaml").write_text(FILE.replace(', endpoint: "https://api.prod.example.com"', ""))
    with pytest.raises(UsageError, match=r"set cluster\.endpoint"):
        kube_iam(account, "kubeconfig", "viewer")


def test_validate_asks_nobody_and_reports_everything(
    account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kube_iam(account, "validate") == 0
    assert capsys.readouterr().out == "access.yaml is valid: cluster prod.example.com, levels admin, viewer\n"
    (tmp_path / "bad.yaml").write_text(FILE.replace("levels:", "level:").replace('"123456789012"', "123456789012"))
    with pytest.raises(ConfigError) as caught:
        kube_iam(account, "validate", "-f", "bad.yaml")
    assert len(caught.value.problems) == 3
    assert caught.value.message.startswith("bad.yaml: ")
    assert account.world.log == []


def test_a_missing_file_says_how_to_name_one(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "access.yaml").rename(tmp_path / "other.yaml")
    with pytest.raises(UsageError, match="KUBE_IAM_ACCESS"):
        kube_iam(account, "plan")
    monkeypatch.setenv("KUBE_IAM_ACCESS", "other.yaml")
    assert kube_iam(account, "plan") == 0


@pytest.mark.parametrize(
    ("server", "named", "refused"),
    [
        ("https://api.prod.example.com", False, False),
        ("https://API.prod.example.com:443/", False, False),
        ("https://api.dev.example.com", False, True),
        ("https://api.prod.example.com:6443", False, True),
        ("https://127.0.0.1:6443", True, False),
    ],
)
def test_a_context_that_merely_is_current_must_lead_to_the_files_cluster(
    server: str, named: bool, refused: bool
) -> None:
    if refused:
        with pytest.raises(UsageError, match="choose the context with --context"):
            check_server(access(), server, named=named)
    else:
        check_server(access(), server, named=named)


def test_only_a_local_mapping_without_bindings_needs_no_cluster() -> None:
    from levels_for_tests import ADMIN, level

    def local(*levels: object) -> ClusterAccess:
        return access(*levels, mapping=MappingTarget(TargetKind.FILE, path="x"))  # type: ignore[arg-type]

    assert not needs_cluster(local(level("a")))
    assert needs_cluster(local(level("a"), ADMIN))
    assert needs_cluster(access(level("a")))
