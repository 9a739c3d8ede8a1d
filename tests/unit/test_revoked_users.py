"""`revoke` without --now: it waits until kube-apiserver refuses the users, where our server is its authorizer, and else says so."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from access_commands import account, kube_iam
from api_in_memory import ACCESS_REVIEWS, ApiInMemory
from fake_account import FakeAccount

from kube_iam.core.reasons import Reason
from kube_iam.denylist.propagation import Clock

__all__ = ["account"]
NOT_MEMBER = f"{Reason.NOT_MEMBER.sentence} (request 0123abcd)"


@dataclass
class Authorizer:
    """Our server as kube-apiserver's authorizer, which reads the groups anew at `reads_at`."""

    reads_at: float = 0.0
    now: float = 100.0
    asked: list[dict[str, Any]] = field(default_factory=list)

    def denied(self, _host: str, spec: dict[str, Any]) -> str:
        self.asked.append(spec)
        probe = spec["extra"]["arn"][0].rpartition("/")[2].startswith("kube-iam-probe-")
        return NOT_MEMBER if probe or self.now >= self.reads_at else ""

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def revoke(self, account: FakeAccount, *options: str, denied: Any = None, status: int = 0) -> int:
        memory = ApiInMemory()
        memory.denied = denied or self.denied
        if status:
            memory.status["POST", ACCESS_REVIEWS] = status
        api = memory.api("https://api.prod.example.com")
        clock = Clock(lambda: self.now, self.sleep)
        return kube_iam(account, "revoke", "alice", "viewer", *options, kube=api, clock=clock)


@pytest.fixture(autouse=True)
def member(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert kube_iam(account, "apply", "--yes") == 0
    assert kube_iam(account, "grant", "alice", "viewer") == 0
    capsys.readouterr()


def test_command_ends_once_kube_apiserver_refuses(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    authorizer = Authorizer(reads_at=104.0)
    assert authorizer.revoke(account) == 0
    out = capsys.readouterr().out
    assert out.startswith("alice: revoked viewer\nalice is out of viewer after 4.")
    assert out.endswith(" s (1 API server asked: kube-apiserver refuses known tokens too).\n")
    user = authorizer.asked[-1]
    assert (user["user"], user["groups"]) == ("awsiam:alice", ["kube-iam:viewer"])
    assert user["extra"]["principalId"] == ["AROAPRODVIEWER"]
    assert user["extra"]["arn"] == ["arn:aws:sts::123456789012:assumed-role/prod-viewer/alice"]


def test_result_for_programs_has_the_measured_seconds(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert Authorizer(reads_at=103.0).revoke(account, "-o", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["knownTokensRefused"] is True
    assert 3 <= data["knownTokensRefusedAfterSeconds"] < 4
    assert data["knownTokensNotChecked"] is None


def test_user_is_reported_as_in_where_the_server_reads_nothing(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Authorizer(reads_at=1e9).revoke(account) == 0
    assert "alice is not out of viewer yet (after 6" in capsys.readouterr().out


def test_no_wait_asks_once(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    authorizer = Authorizer(reads_at=104.0)
    assert authorizer.revoke(account, "--no-wait") == 0
    assert "alice is not out of viewer yet (after 0.0 s)" in capsys.readouterr().out


@pytest.mark.parametrize("reason", ["", "RBAC: nobody may", Reason.ROLE_SUSPENDED.sentence])
def test_without_the_authorizer_the_cache_is_named(
    reason: str, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Authorizer().revoke(account, denied=lambda host, spec: "" if not reason.startswith("RBAC") else reason) == 0
    out = capsys.readouterr().out
    assert "is out as soon as the server has read the IAM group again" in out
    assert "kube-apiserver" in out
    assert "is out of viewer after" not in out


def test_missing_right_is_a_note(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert Authorizer().revoke(account, status=403) == 0
    out, err = capsys.readouterr()
    assert "note: whether kube-apiserver refuses tokens that it has cached was not checked: " in err
    assert "is out of viewer after" not in out
