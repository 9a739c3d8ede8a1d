"""`report`: the page, JSON and CSV, where they are written, and hostile names in each."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from access_commands import LATER, denying, kube_iam
from access_commands import account as account
from fake_account import ACCOUNT, FakeAccount
from organization import HOSTILE, hostile_organization, organization, read_report, with_faults
from prepared_session import PreparedSession

from kube_iam.cli import report as module
from kube_iam.cli.root import run_command
from kube_iam.core.rbac import GROUP, Rbac, RbacBinding, RbacSubject, RoleKey, Rule
from kube_iam.denylist.denial import Denial
from kube_iam.errors import KubeError, UsageError
from kube_iam.report.access_page import access_page
from kube_iam.report.access_report_data import csv_cell, findings_csv, people_csv, report_data

Capture = pytest.CaptureFixture[str]


class FakeRbac:
    def __init__(self) -> None:
        admin = RoleKey("ClusterRole", "cluster-admin")
        bound = RbacBinding("admins", admin, (RbacSubject(GROUP, "kube-iam:admin"),))
        self.rbac = Rbac({admin: (Rule(("*",), ("*",), ("*",)),)}, (bound,))
        self.asked: list[str] = []

    def read(self, namespace: str) -> Rbac:
        self.asked.append(namespace)
        return self.rbac


class Session(PreparedSession):
    def __init__(self, account: FakeAccount, **more: Any) -> None:
        super().__init__(account, more.pop("kube", None) or denying(), **more)
        self.rbac: Any = FakeRbac()


def run(account: FakeAccount, *words: str, **more: Any) -> int:
    return run_command("kube-iam", ["report", *words], {}, Session(account, **more))


@pytest.fixture
def applied(account: FakeAccount, capsys: Capture) -> FakeAccount:
    """Return an account with the levels of FILE, in which alice is an admin."""
    assert kube_iam(account, "apply", "--yes") == 0
    account.directory.group_members["prod-admin"].add("alice")
    capsys.readouterr()
    return account


def page_of(made: Any, **facts: str) -> str:
    return access_page(read_report(made), facts or {"Time": "now"})


class Texts(HTMLParser):
    """All texts of a page, its elements, and the values of its attributes. Void elements end themselves."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_is_the_default_and_goes_to_standard_output(applied: FakeAccount, capsys: Capture) -> None:
    assert run(applied) == 0
    said = capsys.readouterr()
    assert said.out.startswith("<!doctype html>\n<html lang=")
    assert said.out.endswith("</html>\n")
    assert "alice" in said.out
    assert said.err == "findings: 1 high\n"


def test_roles_and_bindings_of_every_namespace_are_read(applied: FakeAccount) -> None:
    session = Session(applied)
    assert run_command("kube-iam", ["report", "-o", "json"], {}, session) == 0
    assert session.rbac.asked == ["*"]


def test_a_terminal_gets_no_page(applied: FakeAccount, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(UsageError, match="HTML is not for a terminal"):
        run(applied)
    assert run(applied, "-o", "csv") == 0


def test_a_file_is_readable_for_its_owner_alone_and_replaces_an_earlier_report(
    applied: FakeAccount, capsys: Capture
) -> None:
    out = Path("report.html")
    for words in ((), (), ("-o", "json"), ("-o", "yaml"), ("-o", "csv"), ("-o", "csv", "--table", "findings"), ()):
        assert run(applied, "--out", str(out), *words) == 0
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
    said = capsys.readouterr()
    assert said.out == ""
    assert "wrote report.html: findings: 1 high" in said.err
    assert out.read_text().startswith("<!doctype html>")


def test_a_file_of_other_content_or_a_pipe_is_not_replaced(applied: FakeAccount) -> None:
    Path("notes.txt").write_text("mine")
    os.mkfifo("pipe")
    for name in ("notes.txt", "pipe", "."):
        with pytest.raises(UsageError):
            run(applied, "--out", name)
    assert Path("notes.txt").read_text() == "mine"
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)


def test_a_table_is_chosen_for_csv_alone(applied: FakeAccount) -> None:
    with pytest.raises(UsageError, match="-o csv"):
        run(applied, "--table", "findings")


def test_json_has_people_findings_and_what_was_not_seen(applied: FakeAccount, capsys: Capture) -> None:
    assert run(applied, "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["complete"], found["account"], found["cluster"]) == (True, ACCOUNT, "prod.example.com")
    (alice,) = found["people"]
    assert (alice["person"], alice["level"], alice["through"]) == ("alice", "admin", "IAM group prod-admin")
    assert alice["permissions"] == ["cluster-admin in the whole cluster"]
    assert alice["privileges"] == ["cluster-admin"]
    (finding,) = found["findings"]
    assert (finding["code"], finding["severity"]) == ("cluster_admin", "high")
    assert [level["users"] for level in found["levels"]] == [["alice"], []]
    assert found["drift"]["drift"] is False
    assert any("hidden creator" in each for each in found["notCovered"])


def test_an_unread_cluster_makes_the_report_incomplete(applied: FakeAccount, capsys: Capture) -> None:
    class Broken(FakeRbac):
        def read(self, namespace: str) -> Rbac:
            raise KubeError("the API server cannot be reached")

    session = Session(applied)
    session.rbac = Broken()
    assert run_command("kube-iam", ["report", "-o", "json"], {}, session) == module.INCOMPLETE
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["complete"] is False
    assert found["notRead"] == {"RBAC": ["the API server cannot be reached"]}
    assert {each["state"] for each in found["checks"] if each["code"] in ("cluster_admin", "secrets_access")} == {
        "not checked"
    }
    assert found["people"][0]["permissions"] is None
    assert "incomplete, not read: RBAC" in said.err


def test_a_page_that_is_incomplete_says_so_at_its_top_and_beside_the_checks() -> None:
    def refused() -> Any:
        raise KubeError("secret is forbidden")

    page = access_page(read_report(organization(), rbac=refused, denials=refused, plan=refused), {})
    assert "This report is incomplete" in page.partition('id="findings"')[0]
    assert "secret is forbidden" in page
    assert "Whether somebody is denied is not known" in page
    assert "No check has a finding" not in page
    assert "<strong>not checked</strong>: RBAC" in page


def test_denials_in_force_are_listed_and_mark_people(applied: FakeAccount, capsys: Capture) -> None:
    kube = denying(Denial("d", "userName", "alice", until=LATER), Denial("old", "userName", "bob", until=1.0))
    assert run(applied, "-o", "json", kube=kube) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["of"] for each in found["denials"]] == ["alice"]
    assert found["people"][0]["denied"]["of"] == "alice"


def test_the_page_names_everything_without_scripts() -> None:
    made = with_faults(organization(users=30, levels=6))
    report = read_report(made)
    text = " ".join(Texts(access_page(report, {})).texts)
    assert report.rows is not None
    for row in report.rows:
        assert row.who in text
    for finding in report.findings:
        assert finding.item in text
        assert finding.detail in text
    for level in made.access.levels:
        assert level.name in text


def test_hostile_names_change_neither_the_elements_nor_the_attributes_of_the_page() -> None:
    page = page_of(hostile_organization(), Time=HOSTILE)
    parsed = Texts(page)
    shown = "".join(parsed.texts)
    assert parsed.tags.count("script") == 1
    assert page.count("<script") == page.count("</script>") == 1
    assert not {"img", "iframe", "object", "embed"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert "{{7*7}} {% raw %}" in shown
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "\\u202egpj\\u001b[31m" in shown


def test_the_page_refers_to_nothing_outside_and_its_policy_names_its_own_hashes() -> None:
    page = page_of(with_faults(organization()))
    parsed = Texts(page)
    links = [value for name, value in parsed.attributes if name in ("src", "href", "action", "srcset") and value]
    assert all(each.startswith("#") or each == "data:," for each in links)
    assert not [name for name, _ in parsed.attributes if name == "style"]
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = [value for name, value in parsed.attributes if name == "content" and value and "default-src" in value]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_every_reference_inside_the_page_has_its_target() -> None:
    parsed = Texts(page_of(with_faults(organization())))
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    wanted = {value[1:] for name, value in parsed.attributes if name == "href" and value and value.startswith("#")}
    wanted |= {
        value for name, value in parsed.attributes if name in ("for", "aria-labelledby", "aria-describedby") and value
    }
    assert wanted <= set(ids)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1"])
def test_a_cell_is_never_a_formula(text: str) -> None:
    assert csv_cell(text).startswith("'")


def test_a_usual_cell_stays_as_it_is() -> None:
    assert csv_cell("ada.adams") == "ada.adams"


def test_csv_of_hostile_names_has_a_line_a_row_and_no_formula() -> None:
    report = read_report(hostile_organization())
    for text in (people_csv(report), findings_csv(report)):
        head, *rows = csv.reader(io.StringIO(text))
        assert rows
        assert {len(row) for row in rows} == {len(head)}
        assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t"))]
        assert not set("\x1b\u202e") & set(text)


def test_csv_says_which_checks_were_not_made() -> None:
    def refused() -> Any:
        raise KubeError("forbidden")

    rows = list(csv.DictReader(io.StringIO(findings_csv(read_report(organization(), rbac=refused)))))
    assert {"severity": "not checked", "code": "cluster_admin"}.items() <= rows[0].items()


def test_json_of_hostile_names_parses_to_the_same_names() -> None:
    found = report_data(read_report(hostile_organization()))
    people = found["people"]
    assert isinstance(people, list)
    assert HOSTILE in {each["person"] for each in people}
