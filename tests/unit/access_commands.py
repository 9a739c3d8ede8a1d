"""The commands about access in this process: an access file, a fake account behind it, and a call of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_account import FakeAccount

from kube_iam.cli import access_session
from kube_iam.cli.root import run_command
from kube_iam.denylist.denial import Denial

FILE = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod, endpoint: "https://api.prod.example.com"}
account: "123456789012"
region: eu-central-1
levels:
  - {name: admin, bind: [{clusterRole: cluster-admin}], iam: {role: prod-admin}}
  - {name: viewer, bind: [{clusterRole: view}], sessionDuration: 2h}
"""


Run = Callable[..., int]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAccount:
    account = FakeAccount()
    monkeypatch.setattr(access_session, "open_ports", lambda access, where, waiting: account.ports)
    monkeypatch.setattr(access_session, "open_directory", lambda access, where, waiting: account.directory)
    monkeypatch.setattr(access_session, "open_store", lambda access, where: account.store)
    monkeypatch.setattr(access_session, "open_cluster", lambda access, where: account.cluster)
    monkeypatch.setattr(access_session, "on_terminal", lambda: False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (tmp_path / "access.yaml").write_text(FILE)
    return account


def kube_iam(*arguments: str) -> int:
    return run_command("kube-iam", arguments, {})


def denials(monkeypatch: pytest.MonkeyPatch, *found: Denial) -> None:
    """Make these the deny list of the cluster."""
    from kube_iam.cli import deny_session, server_status

    monkeypatch.setattr(server_status, "warn_of_server", lambda *_: None)
    monkeypatch.setattr(access_session, "open_api", lambda access, where: None)
    monkeypatch.setattr(deny_session, "read_denials", lambda api, deny_list: list(found))


LATER = 4_000_000_000.0
