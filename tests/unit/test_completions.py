"""Completion: what bash, zsh and fish are offered by `kube-iam`, and kubectl by `kubectl_complete-iam`."""

from __future__ import annotations

import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest
from access_commands import FILE
from api_in_memory import ApiInMemory
from click.shell_completion import get_completion_class
from command_line import offered
from fake_account import FakeAccount
from prepared_session import PreparedSession

from kube_iam.cli import completion_values
from kube_iam.cli.completion import complete_for_kubectl, kubectl_lines
from kube_iam.cli.root import make_root
from kube_iam.cli.session import DENY_LIST
from kube_iam.denylist.denial import denial_of
from kube_iam.denylist.entry import format_denial
from kube_iam.errors import CredentialsError, KubeError
from kube_iam.kube.client import KubeApi

KUBECONFIG = "contexts:\n- name: prod-admin\n  context: {}\n- name: stage\n  context: {}\n"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAccount:
    account = FakeAccount()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    (tmp_path / "access.yaml").write_text(FILE)
    (tmp_path / "stage.yaml").write_text(FILE.replace("name: admin", "name: operator"))
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    (tmp_path / "config").write_text("[default]\n[profile work]\nregion = x\n[profile 'two words']\n[sso-session s]\n")
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = x\n[keys]\n")
    return account


class Session(PreparedSession):
    """A session in which the API server's name is that of the context."""

    def __init__(self, account: FakeAccount, memory: ApiInMemory | None = None) -> None:
        super().__init__(account)
        self._memory = memory or ApiInMemory()

    def _open_kube(self) -> KubeApi:
        return self._memory.api(f"https://{self.connection.context or 'current'}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("kubeconfig ", ["admin", "viewer"]),
        ("kubeconfig v", ["viewer"]),
        ("kubeconfig -f stage.yaml ", ["operator", "viewer"]),
        ("kubeconfig --file=stage.yaml o", ["operator"]),
        ("who a", ["admin"]),
        ("grant al", ["alice"]),
        ("grant alice adm", ["admin"]),
        ("grant alice b", ["bob"]),
        ("revoke bob v", ["viewer"]),
        ("explain al", ["alice"]),
        ("explain alice adm", ["admin"]),
        ("deny al", ["alice"]),
        ("plan --context ", ["prod-admin", "stage"]),
        ("deny --context st", ["stage"]),
        ("plan --profile ", ["default", "keys", "two words", "work"]),
        ("kubeconfig admin --profile w", ["work"]),
        ("plan -f ac", ["<file>"]),
        ("plan --kubeconfig k", ["<file>"]),
        ("server -c ", ["<file>"]),
        ("plan -o ", ["table", "json", "yaml"]),
        ("gr", ["grant"]),
        ("gr ", []),
        ("sandbox u", ["up"]),
        ("sandbox unknown ", []),
        ("add r", ["role"]),
        ("add unknown ", []),
    ],
)
def test_words_are_offered(words: str, expected: list[str], account: FakeAccount) -> None:
    assert offered(words, Session(account)) == expected


def test_what_cannot_be_read_offers_nothing(
    account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account.world.errors["users"] = CredentialsError("no credentials")
    session = Session(account)
    del session.iam  # whose calls may ask for an MFA code
    assert offered("grant al", session) == []
    assert offered("grant alice ad", session) == ["admin"]
    (tmp_path / "access.yaml").write_text("levels: [")
    (tmp_path / "kubeconfig").write_bytes(b"\xff")
    (tmp_path / "config").write_bytes(b"no section\n")
    (tmp_path / "credentials").unlink()
    for words in ("kubeconfig ", "who ", "kubeconfig -f - ", "plan --context ", "plan --profile ", "plan -f none who "):
        assert offered(words, Session(account)) == []
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def cluster(account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> ApiInMemory:
    monkeypatch.setattr(completion_values, "CALL_SECONDS", 60.0)  # a busy machine takes its time
    memory = ApiInMemory()
    now = time.time()
    denials = [denial_of(name, until=now + 60) for name in ("alice", "AKIA0000000000000001")]
    entries = [*denials, denial_of("gone", until=now - 60)]
    memory.put_config_map(DENY_LIST, {each.name: format_denial(each) for each in entries} | {"odd": "{"})
    memory.put_config_map("other/list", {"x": format_denial(denial_of("bob", until=now + 60))})
    return memory


def test_undeny_is_offered_who_is_denied_in_the_cluster_of_the_context(
    account: FakeAccount, cluster: ApiInMemory
) -> None:
    assert offered("undeny A", Session(account, cluster)) == ["AKIA0000000000000001"]
    assert offered("undeny ak", Session(account, cluster)) == [denial_of("AKIA0000000000000001", until=1).name]
    assert offered("undeny al", Session(account, cluster)) == ["alice", denial_of("alice", until=1).name]
    assert offered("undeny g", Session(account, cluster)) == []
    assert offered("undeny --deny-list other/list b", Session(account, cluster))[0] == "bob"
    assert cluster.asked[-1][0] == "current"
    assert "alice" in offered("undeny --context stage bob al", Session(account, cluster))
    assert cluster.asked[-1][0] == "stage"


@pytest.mark.parametrize("error", [KubeError("no way"), TypeError("a bug"), SystemExit(1)])
def test_denials_that_cannot_be_read_offer_nothing(
    account: FakeAccount, cluster: ApiInMemory, capfd: pytest.CaptureFixture[str], error: BaseException
) -> None:
    class Failing(PreparedSession):
        def _open_kube(self) -> KubeApi:
            raise error

    assert offered("undeny ", Failing(account)) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("words", ["undeny ", "grant "])
def test_a_call_that_is_not_answered_is_given_up(
    account: FakeAccount, cluster: ApiInMemory, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    for_ever = threading.Event()

    class Waiting(PreparedSession):
        def _open_kube(self) -> KubeApi:
            for_ever.wait()
            return cluster.api()

    monkeypatch.setattr(completion_values, "CALL_SECONDS", 0.05)
    monkeypatch.setattr(account.directory, "users", for_ever.wait)
    assert offered(words, Waiting(account)) == []
    for_ever.set()


@pytest.mark.skipif(sys.platform == "win32", reason="not applicable here: the plugin is a shell script")
def test_an_exec_plugin_that_complains_and_asks_reaches_no_terminal(
    account: FakeAccount, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "plugin.sh"
    plugin.write_text(f"#!/bin/sh\necho 'sign in first' >&2\nread code; echo \"[$code]\" > {tmp_path}/asked\nexit 1\n")
    plugin.chmod(0o700)
    run = f"exec: {{apiVersion: client.authentication.k8s.io/v1, command: {plugin}, interactiveMode: IfAvailable}}"
    (tmp_path / "kubeconfig").write_text(
        "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "contexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n"
        f"users: [{{name: a, user: {{{run}}}}}]\n"
    )
    assert offered("undeny ") == []
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "asked").read_text() == "[]\n"


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["ver"], ["verify\tCheck a token as the server would, for debugging.", "version\tPrint the version.", ":4"]),
        (["kubeconfig", ""], ["admin", "viewer", ":4"]),
        (["grant", "alice", "v"], ["viewer", ":4"]),
        (["plan", "-f", ""], [":0"]),
    ],
)
def test_kubectl_is_answered_in_its_own_form(words: list[str], lines: list[str], account: FakeAccount) -> None:
    assert kubectl_lines(words) == lines


def test_kubectl_finds_the_program_that_completes(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["kubectl_complete-iam"] == "kube_iam.cli.completion:complete_for_kubectl"
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-iam", "who", "vi"])
    assert complete_for_kubectl() == 0
    assert capsys.readouterr().out == "viewer\n:4\n"


@pytest.mark.parametrize(
    ("shell", "line"),
    [("bash", "plain,viewer"), ("zsh", "plain\nviewer\n_"), ("fish", "plain,viewer")],
)
def test_every_shell_is_answered(shell: str, line: str, account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "kube-iam kubeconfig v")
    monkeypatch.setenv("COMP_CWORD", "v" if shell == "fish" else "2")
    kind = get_completion_class(shell)
    assert kind is not None
    assert kind(make_root("kube-iam"), {}, "kube-iam", "X").complete().startswith(line)


def test_users_and_levels_of_the_sandbox_are_offered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from kube_iam.sandbox.state import AUTHENTICATOR, Home, State

    home = Home(tmp_path / "box")
    home.create()
    home.save(State(1, 2, 3, keys=dict.fromkeys(("alice", "bob", AUTHENTICATOR), ("id", "secret"))))
    home.access.write_text(FILE)
    assert offered(f"sandbox exec --dir {home.root} a") == ["alice"]
    assert offered(f"sandbox exec --dir {home.root} alice --level v") == ["viewer"]
    assert offered(f"sandbox exec --dir {tmp_path / 'none'} a") == []
    assert capsys.readouterr() == ("", "")


def test_words_of_new_policy_and_manifest_are_offered() -> None:
    assert offered("policy o") == ["operator"]
    assert offered("manifest rbac --for a") == ["admin", "auditor"]
    assert offered("manifest r") == ["rbac"]
    assert offered("new a") == ["<file>"]
