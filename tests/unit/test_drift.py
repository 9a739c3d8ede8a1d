"""`drift`: the plan as a check, with exit codes, differences for people and programs, and a textfile for node_exporter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_commands import FILE, kube_iam
from access_commands import account as account
from fake_account import FakeAccount
from levels_for_tests import access as levels
from ruamel.yaml import YAML

from kube_iam.access.apply import apply_plan
from kube_iam.access.changes import Change, Field, Kind, TemporaryRemoval, Verb, added, removed
from kube_iam.access.desired import desired_entry
from kube_iam.access.drift import State, differences
from kube_iam.access.mapping import MappingSource
from kube_iam.access.plan import plan_apply
from kube_iam.access.ports import Preflight
from kube_iam.cli.drift_textfile import DriftMetrics
from kube_iam.config.access import load_access
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import NotOwned, Unreachable, UsageError

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def applied(account: FakeAccount, capsys: Capture) -> FakeAccount:
    """Return the account after `apply`."""
    assert kube_iam(account, "apply", "--yes") == 0
    capsys.readouterr()
    return account


def change_role(account: FakeAccount, name: str, **values: Any) -> None:
    states = account.directory.role_states
    key = next(key for key, role in states.items() if role.name == name)
    states[key] = replace(states[key], **values)


def drift_data(account: FakeAccount, capsys: Capture) -> dict[str, Any]:
    kube_iam(account, "drift", "-o", "json")
    data = json.loads(capsys.readouterr().out)
    assert isinstance(data, dict)
    return data


def test_there_is_no_drift_after_apply(applied: FakeAccount, capsys: Capture) -> None:
    assert kube_iam(applied, "drift") == 0
    out = capsys.readouterr().out
    assert out == "No drift: cluster prod.example.com, AWS account 123456789012, is as the file says.\n"


def test_drift_names_the_value_that_is_there_and_that_of_the_file(applied: FakeAccount, capsys: Capture) -> None:
    change_role(applied, "prod-admin", max_session_seconds=7200, description="by hand")
    writes = applied.world.writes
    assert kube_iam(applied, "drift") == 2
    head, line = capsys.readouterr().out.splitlines()
    assert head.endswith(": 1 difference from the file")
    assert line.startswith(
        "role prod-admin (admin): maxSessionDuration 7200, file says 3600; description by hand, file says "
    )
    assert applied.world.writes == writes


def test_what_is_missing_and_what_the_file_lacks_is_named(applied: FakeAccount, capsys: Capture) -> None:
    Path("access.yaml").write_text(FILE.replace("name: viewer", "name: reader"))
    assert kube_iam(applied, "drift") == 2
    lines = capsys.readouterr().out.splitlines()
    assert "role prod-reader (reader): missing" in lines
    assert "role prod-viewer (viewer): not in the file" in lines
    assert not any("(admin)" in line for line in lines)


def test_a_changed_document_is_shown_as_a_difference(applied: FakeAccount, capsys: Capture) -> None:
    change_role(applied, "prod-admin", trust={"Version": "2012-10-17", "Statement": []})
    assert kube_iam(applied, "drift") == 2
    out = capsys.readouterr().out
    assert "role prod-admin (admin): trust is not the file's\n    trust, - is there, + is in the file:\n" in out
    assert '\n      -  "Statement": [],\n' in out


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_drift_is_data_for_programs(applied: FakeAccount, capsys: Capture, output: str) -> None:
    change_role(applied, "prod-admin", max_session_seconds=7200)
    assert kube_iam(applied, "drift", "-o", output) == 2
    data = YAML(typ="safe", pure=True).load(capsys.readouterr().out)
    assert data["drift"] is True
    assert data["account"] == "123456789012"
    assert data["differences"] == [
        {
            "state": "different",
            "kind": "role",
            "name": "prod-admin",
            "level": "admin",
            "fields": {"maxSessionDuration": {"actual": 7200, "file": 3600}},
        }
    ]


def test_no_change_is_tried_in_a_dry_run(account: FakeAccount) -> None:
    access, ports = load_access("access.yaml"), account.ports

    class Forbidden:
        def __getattr__(self, name: str) -> Any:
            raise Unreachable("the API server takes no dry run")

    forbidden: Any = Forbidden()
    strict = replace(ports, preflight=Preflight(forbidden, forbidden, MappingSource))
    with pytest.raises(Unreachable):
        plan_apply(access, strict)
    assert plan_apply(access, strict, dry_run=False).changes


def test_resources_of_others_are_an_error_and_not_drift(account: FakeAccount) -> None:
    plan = plan_apply(load_access("access.yaml"), account.ports)
    apply_plan(plan, account.ports, lambda _: None)
    change_role(account, "prod-admin", tags={})
    with pytest.raises(NotOwned):
        kube_iam(account, "drift")


def test_a_directory_of_files_is_checked_as_one(applied: FakeAccount, tmp_path: Path) -> None:
    folder = tmp_path / "access.d"
    folder.mkdir()
    (folder / "prod.yaml").write_text(FILE)
    assert kube_iam(applied, "drift", "-f", str(folder)) == 0
    more = "apiVersion: kube-iam.dev/v1alpha1\nkind: ClusterAccess\nlevels: [{name: ops}]\n"
    (folder / "ops.yaml").write_text(more)
    assert kube_iam(applied, "drift", "-f", str(folder)) == 2


def test_changes_of_one_thing_in_two_steps_are_one_difference() -> None:
    steps = [(("a",), ("a", "b")), (("a", "b"), ("b",))]
    changes = [Change(Verb.UPDATE, Kind.BINDING, "x", "admin", (Field("groups", *step),)) for step in steps]
    (found,) = differences(changes)
    assert (found.state, found.fields) == (State.DIFFERENT, (Field("groups", ("a",), ("b",)),))


def test_a_role_that_moves_to_another_path_is_one_difference() -> None:
    old = Change(Verb.DELETE, Kind.ROLE, "x", "admin", removed({"path": "/a/"}))
    new = Change(Verb.CREATE, Kind.ROLE, "x", "admin", added([("path", "/b/")]))
    (found,) = differences([old, new])
    assert found.as_data()["fields"] == {"path": {"actual": "/a/", "file": "/b/"}}


def test_temporary_access_that_is_over_is_told_from_access_that_the_file_lacks() -> None:
    entry = desired_entry(levels(), levels().levels[0])
    grant = TemporaryGrant("alice", "AIDAalice", "2026-01-01T00:00:00Z")
    for only, state in ((grant, State.EXPIRED), (None, State.EXTRA)):
        item = TemporaryRemoval(entry, "alice", "", only)
        change = Change(Verb.DELETE, Kind.TEMPORARY, "alice in admin", "admin", (), item)
        assert differences([change])[0].state is state


def samples(text: str) -> dict[str, float]:
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[:1] != "#"}


def test_the_textfile_has_a_number_per_level_and_kind_and_the_time(applied: FakeAccount, tmp_path: Path) -> None:
    file = tmp_path / "kube-iam.prom"
    assert kube_iam(applied, "drift", "--textfile", str(file)) == 0
    text = file.read_text()
    role = 'kube_iam_drift_differences{cluster="prod.example.com",level="admin",kind="role"}'
    found = samples(text)
    assert found[role] == 0
    assert found['kube_iam_drift_last_success_timestamp_seconds{cluster="prod.example.com"}'] > 1_700_000_000
    assert len(found) == 2 * len(Kind) + 1
    for metric in DriftMetrics().all():
        assert f"# HELP {metric.name} {metric.text}\n# TYPE {metric.name} gauge\n" in text
    assert file.stat().st_mode & 0o777 == 0o644
    change_role(applied, "prod-admin", max_session_seconds=7200)
    assert kube_iam(applied, "drift", "--textfile", str(file)) == 2
    assert samples(file.read_text())[role] == 1


def test_after_an_error_the_textfile_is_the_old_one(applied: FakeAccount, tmp_path: Path) -> None:
    file = tmp_path / "kube-iam.prom"
    assert kube_iam(applied, "drift", "--textfile", str(file)) == 0
    before = file.read_bytes()
    applied.world.errors["groups"] = Unreachable("IAM does not answer")
    with pytest.raises(Unreachable):
        kube_iam(applied, "drift", "--textfile", str(file))
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [FILE, "", "# HELP other_metric x\n"])
def test_no_other_file_is_replaced_by_the_textfile(applied: FakeAccount, tmp_path: Path, content: str) -> None:
    file = tmp_path / "other"
    file.write_text(content)
    with pytest.raises(UsageError, match="is no textfile of `kube-iam drift`"):
        kube_iam(applied, "drift", "--textfile", str(file))
    assert file.read_text() == content
