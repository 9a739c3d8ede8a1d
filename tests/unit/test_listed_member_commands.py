"""Commands on a level whose members the access file lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from access_commands import FILE, LATER, account, denying, kube_iam  # noqa: F401
from api_in_memory import ApiInMemory
from audit_in_memory import audit_events
from fake_account import FakeAccount

from kube_iam.denylist.denial import denial_of
from kube_iam.errors import Guarded, UsageError, WouldFail
from kube_iam.kube.events import Action

GROUP = "prod-viewer"
LIST = FILE.replace("sessionDuration: 2h}", "sessionDuration: 2h,\n     members: [alice, bob]}")


@pytest.fixture
def applied(account: FakeAccount, tmp_path: Path) -> FakeAccount:  # noqa: F811
    (tmp_path / "access.yaml").write_text(LIST)
    assert kube_iam(account, "apply", "--yes") == 0
    return account


def test_apply_makes_the_members_equal_to_the_list(applied: FakeAccount, tmp_path: Path) -> None:
    assert applied.directory.group_members[GROUP] == {"alice", "bob"}
    (tmp_path / "access.yaml").write_text(LIST.replace("[alice, bob]", "[alice, bob, carol]"))
    kube_iam(applied, "apply", "--yes")
    (tmp_path / "access.yaml").write_text(LIST)
    kube_iam(applied, "apply", "--yes")
    assert applied.directory.group_members[GROUP] == {"alice", "bob"}


def test_a_removal_of_half_the_members_needs_force(applied: FakeAccount, tmp_path: Path) -> None:
    (tmp_path / "access.yaml").write_text(LIST.replace("[alice, bob]", "[]"))
    with pytest.raises(
        Guarded, match=r"2 of 2 members of level viewer would be removed \(alice, bob\): more than a third"
    ):
        kube_iam(applied, "apply", "--yes")
    assert applied.directory.group_members[GROUP] == {"alice", "bob"}
    assert kube_iam(applied, "apply", "--yes", "--force") == 0
    assert applied.directory.group_members[GROUP] == set()


def test_a_user_that_does_not_exist_stops_apply_before_any_change(applied: FakeAccount, tmp_path: Path) -> None:
    (tmp_path / "access.yaml").write_text(LIST.replace("[alice, bob]", "[alice, bob, carol, dave]"))
    writes = applied.world.writes
    with pytest.raises(WouldFail, match=r"access.yaml, line 9: members of level viewer: there is no IAM user dave"):
        kube_iam(applied, "apply", "--yes", "--force")
    assert applied.world.writes == writes


def test_the_plan_names_joining_and_leaving_users_in_one_line_each(
    applied: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    applied.directory.group_members[GROUP] = {"alice", "carol"}
    capsys.readouterr()
    kube_iam(applied, "plan")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == ["+ member bob in prod-viewer (viewer)", "- member carol in prod-viewer (viewer)"]


@pytest.mark.parametrize("command", ["grant", "revoke"])
def test_grant_and_revoke_name_the_line_that_lists_the_members(applied: FakeAccount, command: str) -> None:
    user, edit, way = {"grant": ("carol", "add", "--for"), "revoke": ("alice", "remove", "--now")}[command]
    with pytest.raises(UsageError, match=r"^access.yaml, line 9, lists the members of level viewer") as caught:
        kube_iam(applied, command, user, "viewer")
    assert caught.value.hint.startswith(f"{edit} {user} there, and run `kube-iam apply`")
    assert way in caught.value.hint
    assert applied.directory.group_members[GROUP] == {"alice", "bob"}


def test_grant_asks_for_those_alone_who_are_not_listed(applied: FakeAccount) -> None:
    for users, edit in ((["bob", "carol"], "add carol there, and run"), (["bob"], "already there: bob; run")):
        with pytest.raises(UsageError) as caught:
            kube_iam(applied, "grant", *users, "viewer")
        assert caught.value.hint.startswith(f"{edit} `kube-iam apply`")


def test_temporary_access_does_not_change_the_list_and_survives_apply(
    applied: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kube_iam(applied, "grant", "carol", "viewer", "--for", "2h") == 0
    assert applied.directory.group_members[GROUP] == {"alice", "bob"}
    capsys.readouterr()
    kube_iam(applied, "plan")
    assert "Nothing to change" in capsys.readouterr().out
    assert kube_iam(applied, "revoke", "carol", "viewer") == 0
    assert all(not entry.temporary for entry in applied.store.all_entries)


def test_revoke_removes_an_unlisted_member(applied: FakeAccount) -> None:
    applied.directory.group_members[GROUP].add("carol")
    assert kube_iam(applied, "revoke", "carol", "viewer") == 0
    assert applied.directory.group_members[GROUP] == {"alice", "bob"}


def test_who_shows_the_file_and_what_differs_in_iam(applied: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    applied.directory.group_members[GROUP] = {"alice", "carol"}
    capsys.readouterr()
    kube_iam(applied, "who", "viewer")
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "LEVEL    IAM GROUP     USER    STATE",
        "viewer   prod-viewer   alice",
        "viewer   prod-viewer   carol   not in the file",
        "viewer   prod-viewer   bob     in the file, not in IAM",
    ]
    assert (
        "note: access.yaml, line 9, lists the members of level viewer; what differs in IAM is changed by the next `kube-iam apply`"
        in shown.err
    )
    kube_iam(applied, "who", "--by-user")
    assert "carol   viewer (not in the file)" in capsys.readouterr().out
    kube_iam(applied, "who", "-o", "json")
    admin, viewer = json.loads(capsys.readouterr().out)
    assert (viewer["managedIn"], viewer["notInFile"], viewer["notInIam"]) == ("file", ["carol"], ["bob"])
    assert admin["managedIn"] == "iam"
    assert "notInFile" not in admin


def test_the_plan_warns_of_a_joining_user_who_is_denied(
    applied: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    applied.directory.group_members[GROUP] = {"alice"}
    denial = denial_of("bob", until=LATER, reason="left", actor="root", at=0.0)
    capsys.readouterr()
    kube_iam(applied, "plan", kube=denying(denial))
    assert "warning: bob in level viewer is denied until" in capsys.readouterr().err


def test_apply_records_who_joined_and_left(applied: FakeAccount) -> None:
    memory = ApiInMemory()
    applied.directory.group_members[GROUP] = {"alice", "carol"}
    kube_iam(applied, "apply", "--yes", "--force", kube=memory.api("https://api.prod.example.com"))
    assert [(each.action, each.subject, each.level) for each in audit_events(memory)] == [
        (Action.APPLIED, "prod", ""),
        (Action.GRANTED, "bob", "viewer"),
        (Action.REVOKED, "carol", "viewer"),
    ]


OTHER_CASE = LIST.replace("[alice, bob]", "[Alice, bob]")


@pytest.fixture
def misspelled(applied: FakeAccount, tmp_path: Path) -> FakeAccount:
    """Return an account that is as the file says, but for a member in another letter case."""
    (tmp_path / "access.yaml").write_text(OTHER_CASE)
    return applied


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("flags", [(), ("--yes",), ("--force", "--adopt", "--yes"), ("plan.json",)], ids=str)
def test_apply_fails_for_what_would_fail_though_nothing_changes(
    misspelled: FakeAccount, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], output: str
) -> None:
    api = ApiInMemory().api("https://api.prod.example.com")
    kube_iam(misspelled, "plan", "--out", "plan.json", kube=api)
    assert "would fail: access.yaml, line 9: members" in capsys.readouterr().out
    writes = misspelled.world.writes
    with pytest.raises(WouldFail, match="the IAM user is written alice, not Alice; write alice"):
        kube_iam(misspelled, "apply", *flags, "-o", output, kube=api)
    assert misspelled.world.writes == writes
    out = capsys.readouterr().out
    if output == "json":
        data = json.loads(out)
        assert (data["changes"], data["complete"], len(data["wouldFail"])) == ([], False, 1)
    else:
        assert "is as the file says" not in out


def test_plan_says_that_the_file_has_members_who_cannot_be_added(
    misspelled: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kube_iam(misspelled, "plan") == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("Nothing to change: cluster prod.example.com")
    assert "is not as the file says, and apply would fail" in first
    assert rest[-1].startswith("would fail: ")


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("words", ["plan --detailed-exitcode", "drift"])
def test_exit_codes_of_plan_and_drift_do_not_call_what_would_fail_unchanged(
    misspelled: FakeAccount, capsys: pytest.CaptureFixture[str], words: str, output: str
) -> None:
    with pytest.raises(WouldFail, match="the IAM user is written alice"):
        kube_iam(misspelled, *words.split(), "-o", output)
    assert "is as the file says" not in capsys.readouterr().out


def test_drift_that_ends_with_an_error_writes_no_textfile(misspelled: FakeAccount, tmp_path: Path) -> None:
    with pytest.raises(WouldFail):
        kube_iam(misspelled, "drift", "--textfile", str(tmp_path / "kube-iam.prom"))
    assert not (tmp_path / "kube-iam.prom").exists()


def test_a_dry_run_shows_what_would_fail(misspelled: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert kube_iam(misspelled, "apply", "--dry-run", "-o", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["dryRun"], data["complete"], len(data["wouldFail"])) == (True, False, 1)
