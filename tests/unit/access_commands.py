"""The commands about access in this process: an access file, a fake account behind it, and a call of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from api_in_memory import ApiInMemory
from fake_account import FakeAccount
from prepared_session import PreparedSession

from kube_iam.aws.iam_calls import PERMISSIONS
from kube_iam.cli.permissions import DIRECTORY_METHODS
from kube_iam.cli.root import run_command
from kube_iam.cli.session import DENY_LIST
from kube_iam.denylist.denial import Denial
from kube_iam.denylist.entry import format_denial
from kube_iam.denylist.propagation import Clock
from kube_iam.errors import KubeIamError
from kube_iam.kube.client import KubeApi

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
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (tmp_path / "access.yaml").write_text(FILE)
    return account


def kube_iam(
    account: FakeAccount,
    *arguments: str,
    kube: KubeApi | None = None,
    unreachable: KubeIamError | None = None,
    clock: Clock | None = None,
) -> int:
    """Run a command with a `PreparedSession`, and return its exit code. Raises what the command raises.

    The permissions that an error names as those of the command are those of `DIRECTORY_METHODS`: no other method may be called.
    """
    session = PreparedSession(account, kube, unreachable=unreachable, clock=clock)
    before = len(account.world.log)
    try:
        return run_command("kube-iam", arguments, {}, session)
    finally:
        called = set(account.world.log[before:]) & PERMISSIONS.keys()
        unlisted = called - set(DIRECTORY_METHODS.get(arguments[0], ()))
        assert not unlisted, f"add {unlisted} to DIRECTORY_METHODS of {arguments[0]} (cli/permissions.py)"


def denying(*denials: Denial, answer: Callable[[str, str], str] = lambda host, token: "") -> KubeApi:
    """Return the API of a cluster whose deny list has these entries, as `kube` of `kube_iam`.

    `answer` is what its kube-iam server answers to a token of a TokenReview.
    """
    memory = ApiInMemory()
    memory.answer = answer
    memory.put_config_map(DENY_LIST, {each.name: format_denial(each) for each in denials})
    return memory.api("https://api.prod.example.com")


LATER = 4_000_000_000.0
