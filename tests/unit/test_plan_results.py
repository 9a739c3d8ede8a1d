"""`apply` and `destroy` for programs: one document on stdout that says of each change what came of it, however the command ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from access_commands import FILE
from access_commands import account as account
from command_line import Run
from command_line import run as run
from fake_account import FakeAccount
from prepared_session import PreparedSession, Terminal
from ruamel.yaml import YAML

from kube_iam.access.mapping import MappingEntry
from kube_iam.access.ports import RoleState, Subject
from kube_iam.errors import AccessDenied

OUTPUTS = pytest.mark.parametrize("output", ["json", "yaml"])


def read(out: str) -> dict[str, object]:
    data = YAML(typ="safe", pure=True).load(out)
    assert isinstance(data, dict)
    return data


def results(data: dict[str, object]) -> list[str]:
    changes = data["changes"]
    assert isinstance(changes, list)
    return [change["result"] for change in changes]


@OUTPUTS
def test_apply_and_destroy_state_each_change_in_the_order_in_which_it_was_made(
    run: Run, account: FakeAccount, output: str
) -> None:
    planned = json.loads(run("plan", "-o", "json")[1])
    code, out, err = run("apply", "--yes", "-o", output)
    data = read(out)
    assert (code, data["complete"], data["dryRun"], results(data)) == (0, True, False, ["created"] * 12)
    changes = data["changes"]
    assert isinstance(changes, list)
    assert [{**change, "result": ""} for change in changes] == [
        {**change, "result": ""} for change in planned["changes"]
    ]
    assert data["digest"] == planned["digest"]
    assert "[12/12] " in err
    again = read(run("apply", "--yes", "-o", output)[1])
    assert (again["complete"], again["changes"]) == (True, [])
    code, out, _ = run("destroy", "--yes", "-o", output)
    data = read(out)
    assert (code, data["complete"], set(results(data))) == (0, True, {"deleted"})
    code, out, err = run("destroy", "--yes", "-o", output)
    assert (code, read(out)["changes"], err) == (0, [], "")


@OUTPUTS
def test_a_failure_half_way_states_what_is_done_failed_and_not_tried(
    run: Run, account: FakeAccount, output: str
) -> None:
    account.world.errors["attach"] = AccessDenied("cannot attach a policy: iam:AttachGroupPolicy is not allowed")
    code, out, err = run("apply", "--yes", "-o", output)
    data = read(out)
    assert (code, data["complete"]) == (1, False)
    assert results(data) == ["created"] * 3 + ["failed"] + ["notTried"] * 8
    changes = data["changes"]
    assert isinstance(changes, list)
    assert changes[3]["error"] == "cannot attach a policy: iam:AttachGroupPolicy is not allowed"
    assert "3 of 12 changes are done; stopped at: + attachment" in err
    account.world.errors.clear()
    assert results(read(run("apply", "--yes", "-o", output)[1])) == ["created"] * 9
    account.world.errors["delete_group"] = AccessDenied("no")
    code, out, _ = run("destroy", "--yes", "-o", output)
    found = results(read(out))
    assert (code, found.count("failed")) == (1, 1)
    assert found == sorted(found, key=["deleted", "failed", "notTried"].index)


@pytest.mark.parametrize(("command", "method"), [("apply", "create_group"), ("destroy", "delete_group")])
def test_ctrl_c_half_way_states_the_change_whose_result_is_not_known(
    run: Run, account: FakeAccount, monkeypatch: pytest.MonkeyPatch, command: str, method: str
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if command == "destroy":
        run("apply", "--yes")
    monkeypatch.setattr(account.directory, method, interrupt)
    code, out, err = run(command, "--yes", "-o", "json")
    data = json.loads(out)
    assert (code, data["complete"], results(data).count("unknown")) == (130, False, 1)
    assert data["changes"][results(data).index("unknown")]["kind"] == "group"
    assert results(data)[-1] == "notTried"
    assert err.splitlines()[-1].startswith("kube-iam: stopped: ")


@pytest.mark.parametrize("command", ["apply", "destroy"])
def test_a_dry_run_states_what_is_planned_and_changes_nothing(run: Run, account: FakeAccount, command: str) -> None:
    if command == "destroy":
        run("apply", "--yes")
    account.world.writes = 0
    code, out, err = run(command, "--dry-run", "-o", "json")
    data = json.loads(out)
    assert (code, data["dryRun"], data["complete"], set(results(data))) == (0, True, False, {"planned"})
    assert (err, account.world.writes) == ("", 0)


def test_a_plan_that_is_refused_is_stated_with_nothing_tried(run: Run, account: FakeAccount) -> None:
    run("apply", "--yes")
    account.cluster.subject = Subject("awsiam:alice", (), "arn:aws:iam::123456789012:role/prod-admin")
    Path("access.yaml").write_text(FILE.replace("{name: admin", "{name: admin, username: x"))
    account.world.writes = 0
    code, out, err = run("apply", "--yes", "-o", "json")
    data = json.loads(out)
    assert (code, set(results(data)), len(data["needsForce"])) == (1, {"notTried"}, 1)
    assert "you are signed in through" in err
    assert account.world.writes == 0


def test_without_yes_and_without_a_terminal_nothing_is_changed(run: Run, account: FakeAccount) -> None:
    code, out, err = run("apply", "-o", "json")
    assert (code, set(results(json.loads(out)))) == (2, {"notTried"})
    assert "add --yes" in err
    assert account.world.writes == 0


@pytest.mark.parametrize(
    ("answer", "code", "result"), [("y\n", 0, "created"), ("n\n", 1, "notTried"), ("", 1, "notTried")]
)
def test_the_plan_and_the_question_go_to_stderr(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, code: int, result: str
) -> None:  # fmt: skip
    from kube_iam.cli.main import main

    monkeypatch.setattr(sys, "argv", ["kube-iam", "apply", "-o", "json"])
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(PreparedSession(account)) == code
    out, err = capsys.readouterr()
    assert set(results(json.loads(out))) == {result}
    assert "+ role prod-admin (admin)" in err
    assert "Apply these changes to cluster prod.example.com, AWS account 123456789012?" in err


def test_destroy_states_what_it_leaves_alone(run: Run, account: FakeAccount) -> None:
    arn = "arn:aws:iam::123456789012:role/prod-viewer"
    account.directory.role_states["prod-viewer"] = RoleState(arn, "prod-viewer", "/", {})
    account.store.all_entries = [MappingEntry(arn, "root", ("system:masters",))]
    code, out, err = run("destroy", "--yes", "-o", "json")
    data = json.loads(out)
    assert (code, err, data["changes"]) == (1, "", [])
    assert f"mapping {arn}" in " ".join(data["leftAlone"])
