"""The session of a command: one kubeconfig, one client and one access file, however many of its parts need them."""

import contextlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from access_commands import FILE
from fake_account import FakeAccount
from prepared_session import PreparedSession

from kube_iam.cli.session import AdminSession, Connection
from kube_iam.errors import KubeError, UsageError
from kube_iam.kube import client, context

KUBECONFIG = """\
clusters: [{name: a, cluster: {server: 'https://api.prod.example.com'}}, {name: b, cluster: {server: 'https://b'}}]
contexts: [{name: a, context: {cluster: a, user: a}}, {name: b, context: {cluster: b, user: a}}]
current-context: a
users: [{name: a, user: {token: t}}]
"""


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """Return the context names for which a kubeconfig was read."""
    found: list[object] = []
    read = context.load_context

    def load_context(kubeconfig: str, name: str, environ: object) -> object:
        found.append(name)
        return read(kubeconfig, name, os.environ)

    monkeypatch.setattr(client, "load_context", load_context)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    (tmp_path / "access.yaml").write_text(FILE)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    return found


def test_all_parts_share_one_kubeconfig_and_one_access_file(loads: list[object], tmp_path: Path) -> None:
    session = AdminSession()
    access = session.access
    (tmp_path / "access.yaml").unlink()
    assert session.cluster is not None
    assert session.mapping_store is session.mapping_store
    assert session.checked_kube is session.kube
    assert session.audit is session.audit
    assert session.access is access
    assert loads == [""]


def test_iam_of_a_region_that_was_chosen_needs_no_access_file(loads: list[object], tmp_path: Path) -> None:
    (tmp_path / "access.yaml").unlink()
    session = AdminSession(connection=Connection(region="eu-west-1"))
    assert session._client_maker() is not None  # as `new` calls IAM
    with pytest.raises(UsageError, match=r"there is no access\.yaml"):
        session._client_maker()("eks")


def test_threads_share_one_kubeconfig(loads: list[object]) -> None:
    session = AdminSession()
    start = threading.Barrier(8)

    def use() -> tuple[object, str]:
        start.wait()
        return session.kube, session.kube.server

    with ThreadPoolExecutor(8) as pool:
        found = {each.result() for each in [pool.submit(use) for _ in range(8)]}
    assert len(found) == 1
    assert loads == [""]


def test_a_current_context_of_another_cluster_is_refused_and_a_chosen_one_is_not(
    loads: list[object], tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG.replace("current-context: a", "current-context: b"))
    with pytest.raises(UsageError, match="leads to https://b"):
        _ = AdminSession().cluster
    assert AdminSession(connection=Connection(context="b")).cluster is not None
    assert AdminSession().kube.server == "https://b"


def test_a_part_that_could_not_be_opened_is_tried_again(loads: list[object], tmp_path: Path) -> None:
    session = AdminSession()
    (tmp_path / "kubeconfig").unlink()
    with pytest.raises(KubeError):
        _ = session.cluster
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    assert session.cluster is not None


def test_a_prepared_session_takes_the_place_of_the_commands_own() -> None:
    account = FakeAccount()
    session = PreparedSession(account)
    assert session.iam is account.directory
    with pytest.raises(KubeError, match="no API server"):
        _ = session.kube


class Logins:
    """Credentials of an exec plugin: `now` are those in force."""

    now = object()

    def status(self) -> object:
        return self.now


class FakeClient:
    closed = False

    def close(self) -> None:
        self.closed = True


class Connections(client.KubeApi):
    """An API whose clients are objects that know whether they were closed. `entered` is met by threads that connect at once."""

    def __init__(self) -> None:
        super().__init__(environ={})
        self._login = Logins()  # type: ignore[assignment]
        self.entered = threading.Barrier(2)

    def _connect(self, status: object) -> FakeClient:  # type: ignore[override]
        with contextlib.suppress(threading.BrokenBarrierError):
            self.entered.wait(0.2)
        return FakeClient()


def test_threads_that_connect_at_once_share_one_open_client() -> None:
    api = Connections()
    with ThreadPoolExecutor(2) as pool:
        one, other = (each.result() for each in [pool.submit(api.client) for _ in range(2)])
    assert one is other
    assert not one.closed  # type: ignore[attr-defined]


def test_new_credentials_do_not_end_the_requests_of_other_threads() -> None:
    api = Connections()
    before = api.client()
    api._login.now = object()  # type: ignore[attr-defined]
    assert api.client() is not before
    assert not before.closed  # type: ignore[attr-defined]


@pytest.mark.process
def test_lightkube_is_imported_before_threads_can_share_an_api() -> None:
    # Two threads that import parts of it first would wait for each other: the parts import each other.
    code = """if True:
        import sys
        from kube_iam.kube.client import KubeApi
        KubeApi(environ={})
        print("lightkube.resources.core_v1" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
