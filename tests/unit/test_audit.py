"""The audit: what each command says that it did, once it is done, and that nothing ever waits for it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from api_in_memory import EVENTS
from audit_in_memory import AuditEvent, audit_events
from deny_commands import FILE, ROLE, Cluster, applied, kube_iam
from fake_account import FakeAccount
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.cli.session import DENY_LIST
from kube_iam.denylist.denial import denial_of
from kube_iam.denylist.entry import format_denial
from kube_iam.denylist.propagation import Clock, Propagation
from kube_iam.errors import NotFound, Throttled
from kube_iam.kube.events import Action, AuditRecord


@dataclass
class Written:
    """The events that were written into the cluster. `ignored` is the number of those that are not looked at."""

    cluster: Cluster
    ignored: int = 0

    @property
    def records(self) -> list[AuditEvent]:
        return audit_events(self.cluster.memory)[self.ignored :]

    @property
    def brief(self) -> list[tuple[Action, str, str]]:
        return [(each.action, each.subject, each.level) for each in self.records]

    def clear(self) -> None:
        self.ignored = len(self.cluster.memory.events)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def account(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAccount:
    account = cluster.account = FakeAccount()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (tmp_path / "access.yaml").write_text(FILE)
    return account


@pytest.fixture
def audit(account: FakeAccount, cluster: Cluster) -> Written:
    """Return the audit events after the file was applied and admin granted to alice, without those of that."""
    written = Written(cluster)
    applied(cluster, "alice")
    assert written.brief == [(Action.APPLIED, "prod", ""), (Action.GRANTED, "alice", "admin")]
    assert "(6 created)" in written.records[0].message
    written.clear()
    return written


def test_what_changes_nothing_is_not_recorded(audit: Written) -> None:
    for command in (
        ("plan",),
        ("drift",),
        ("who",),
        ("apply", "--yes"),
        ("grant", "alice", "admin"),
        ("grant", "bob", "admin", "--dry-run"),
        ("grant", "bob", "admin", "--for", "1h", "--dry-run"),
        ("revoke", "alice", "admin", "--now", "--dry-run"),
        ("revoke", "bob", "admin"),
        ("destroy", "--dry-run"),
        ("deny", "--list"),
    ):
        kube_iam(audit.cluster, *command)
    assert audit.records == []


def test_every_action_is_recorded_with_subject_level_end_and_reason(audit: Written) -> None:
    kube_iam(audit.cluster, "grant", "bob", "admin", "--for", "1h", "--reason", "on call")
    (granted,) = audit.records
    assert (granted.action, granted.subject, granted.level, granted.reason) == (
        Action.GRANTED,
        "bob",
        "admin",
        "on call",
    )
    assert granted.until.endswith("Z")
    audit.clear()
    kube_iam(audit.cluster, "revoke", "alice", "admin", "--now", "--no-wait", "--reason", "left")
    assert audit.brief == [(Action.REVOKED, "alice", "admin"), (Action.DENIED, "alice", "admin")]
    assert {each.reason for each in audit.records} == {"left"}
    assert audit.records[1].until.endswith("Z")
    audit.clear()
    kube_iam(audit.cluster, "deny", "carol", "--no-wait", "--reason", "lost laptop")
    kube_iam(audit.cluster, "destroy", "--yes")
    assert audit.brief == [(Action.DENIED, "carol", ""), (Action.DESTROYED, "prod", "")]
    assert "(7 deleted)" in audit.records[1].message  # bob's too


def test_a_denial_that_is_removed_is_recorded(audit: Written) -> None:
    later = time.time() + 3600
    for role, command in (
        ("", ("undeny", "alice")),
        (ROLE, ("grant", "alice", "admin")),
        (ROLE, ("grant", "alice", "admin", "--for", "1h")),
    ):
        denial = denial_of("alice", role=role, until=later)
        audit.cluster.memory.put_config_map(DENY_LIST, {denial.name: format_denial(denial)})
        kube_iam(audit.cluster, *command)
    removed = [(Action.DENIAL_REMOVED, "alice", "admin")] * 2
    assert audit.brief == [(Action.DENIAL_REMOVED, "alice", ""), *removed]


def test_an_audit_event_that_cannot_be_written_is_a_warning_and_changes_nothing_else(
    audit: Written, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kube_iam(audit.cluster, "revoke", "alice", "admin", "-o", "json") == 0
    said = capsys.readouterr().out
    kube_iam(audit.cluster, "grant", "alice", "admin")
    capsys.readouterr()
    audit.cluster.memory.status["POST", EVENTS] = 403
    assert kube_iam(audit.cluster, "revoke", "alice", "admin", "-o", "json") == 0
    out, err = capsys.readouterr()
    assert out == said
    assert json.loads(out)["users"] == [{"name": "alice", "result": "revoked"}]
    assert "warning: done, but not written as an event into the cluster: cannot write an event: " in err
    assert kube_iam(audit.cluster, "who", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)[0]["users"] == []


def test_what_was_done_before_an_error_is_recorded(audit: Written, account: FakeAccount) -> None:
    account.world.errors["remove_member"] = Throttled("slow down")
    with pytest.raises(Throttled):
        kube_iam(audit.cluster, "revoke", "alice", "admin")
    assert audit.records == []
    with pytest.raises(Throttled):
        kube_iam(audit.cluster, "revoke", "alice", "admin", "--now")
    assert audit.brief == [(Action.DENIED, "alice", "admin")]
    audit.clear()
    with pytest.raises(NotFound):
        kube_iam(audit.cluster, "revoke", "alicia", "admin", "--now")
    assert audit.brief == [(Action.DENIED, "alicia", "admin")]


def test_an_apply_that_stops_half_way_says_so_in_its_audit_event(audit: Written, account: FakeAccount) -> None:
    account.world.errors["delete_group"] = Throttled("slow down")
    with pytest.raises(Throttled):
        kube_iam(audit.cluster, "destroy", "--yes")
    (record,) = audit.records
    assert record.action is Action.DESTROYED
    assert "(4 of 7 changes, then an error)" in record.message


def test_audit_events_are_written_before_anybody_waits_for_the_cache(audit: Written) -> None:
    when: list[int] = []
    audit.cluster.clock = Clock(iter(range(100)).__next__, lambda _: when.append(len(audit.records)))
    audit.cluster.closed = Propagation(0.1, servers={"1"}, cached_for=3.0)
    kube_iam(audit.cluster, "revoke", "alice", "admin", "--now")
    kube_iam(audit.cluster, "deny", "bob")
    assert when
    assert when[0] == 2
    assert when[-1] == 3


anything = st.text(max_size=30)


@given(st.builds(AuditRecord, st.sampled_from(Action), anything, anything, anything, anything, anything), anything)
def test_no_text_breaks_the_line_or_moves_a_cursor(record: AuditRecord, by: str) -> None:
    assert record.sentence(by).isprintable()


def test_a_sentence_names_actor_subject_action_end_and_reason() -> None:
    record = AuditRecord(Action.DENIED, "alice", "admin", "2026-11-24T14:00:00Z", "left", "alice-12")
    assert record.sentence("root") == "root denied alice admin until 2026-11-24T14:00:00Z (alice-12): left"
    assert AuditRecord(Action.DENIAL_REMOVED, "alice").sentence("") == "somebody removed the denial of alice"
