"""Plans, questions and data name the API server with its context, and the AWS account."""

from __future__ import annotations

import json
import sys

import pytest
from access_commands import account as account
from access_commands import denying, kube_iam
from fake_account import FakeAccount
from prepared_session import PreparedSession, Terminal

from kube_iam.cli.main import main
from kube_iam.cli.session import Destination

PLACE = "https://api.prod.example.com (context prod)"
WHERE = f"cluster prod.example.com at {PLACE}, AWS account 123456789012"
DATA = {"account": "123456789012", "apiServer": "https://api.prod.example.com", "context": "prod"}


def test_plan_names_api_server_context_and_account(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert kube_iam(account, "plan", kube=denying()) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Cluster prod.example.com at {PLACE}, AWS account 123456789012, mapping in ")
    kube_iam(account, "apply", "--yes", kube=denying())
    capsys.readouterr()
    kube_iam(account, "plan", kube=denying())
    assert f"Nothing to change: {WHERE}, is as the file says.\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        "plan",
        "apply --dry-run",
        "apply --yes",
        "destroy --yes",
        "destroy --dry-run",
        "grant alice viewer --dry-run",
        "revoke alice viewer",
        "grant alice viewer --for 2h",
    ],
)
def test_data_names_api_server_context_and_account(
    words: str, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    if not words.startswith(("plan", "apply")):
        kube_iam(account, "apply", "--yes")
    capsys.readouterr()
    kube_iam(account, *words.split(), "-o", "json", kube=denying())
    data = json.loads(capsys.readouterr().out)
    assert {key: data[key] for key in DATA} == DATA


def test_digest_is_that_of_the_changes_alone(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    digests = set()
    for kube in (denying(), None):
        kube_iam(account, "plan", "-o", "json", kube=kube)
        digests.add(json.loads(capsys.readouterr().out)["digest"])
    assert len(digests) == 1


@pytest.mark.parametrize("words", ["grant alice viewer --dry-run", "grant alice viewer --for 2h --dry-run"])
def test_dry_run_of_a_grant_names_them(words: str, account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    kube_iam(account, "apply", "--yes")
    kube_iam(account, *words.split(), kube=denying())
    assert f"Nothing is changed in {WHERE}: this is a dry run.\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "question"),
    [
        ("apply", f"Apply these changes to {WHERE}?"),
        ("destroy", f"Type the cluster's name, prod, to make these changes to {WHERE}:"),
        ("deny nobody-knows", f"Deny it all the same at {PLACE}?"),
    ],
)
def test_questions_name_them(
    words: str,
    question: str,
    account: FakeAccount,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if words == "destroy":
        kube_iam(account, "apply", "--yes")
    monkeypatch.setattr(sys, "argv", ["kube-iam", *words.split()])
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert main(PreparedSession(account, denying())) == 1
    assert question in capsys.readouterr().err


def test_destroy_of_iam_alone_names_no_api_server(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    kube_iam(account, "apply", "--yes")
    capsys.readouterr()
    kube_iam(account, "destroy", "--iam-only", "--dry-run", "-o", "json", kube=denying())
    data = json.loads(capsys.readouterr().out)
    assert {key: data[key] for key in DATA} == {**DATA, "apiServer": None, "context": None}


def test_secrets_in_the_url_are_not_shown(account: FakeAccount) -> None:
    from api_in_memory import ApiInMemory

    session = PreparedSession(account, ApiInMemory().api("https://user:secret@api.prod.example.com"))
    assert "secret" not in session.cluster_destination.place


def test_a_cluster_that_is_not_known_is_left_out(account: FakeAccount) -> None:
    assert PreparedSession(account).destination == Destination(account="123456789012")
