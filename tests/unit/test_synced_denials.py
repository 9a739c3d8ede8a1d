"""`deny`, `revoke --now` and `undeny` where bindings name the members of levels, with and without a server."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from access_texts import HEAD
from api_in_memory import SLICES, ApiInMemory, endpoint_slice
from fake_account import FakeAccount
from prepared_session import PreparedSession

from kube_iam.cli.root import run_command
from kube_iam.denylist.entry import parse_entry
from kube_iam.denylist.propagation import Clock
from kube_iam.denylist.status_query import IN_FORCE, StatusAnswer, parse_question
from kube_iam.errors import KubeIamError

RBAC = "membershipCheck: rbac\n"
LEVELS = "levels:\n  - {name: ops, bind: [{clusterRole: view}]}\n  - {name: audit, bind: [{clusterRole: view}]}\n"
MIXED = """\
levels:
  - {name: ops, membershipCheck: rbac, bind: [{clusterRole: view}]}
  - {name: audit, bind: [{clusterRole: view}]}
"""
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
LIST = "kube-system/kube-iam-denied"
ROLE = "arn:aws:iam::123456789012:role/prod-ops"
NO_SERVER = "Sign-ins go on, without rights of synced levels: no kube-iam server with a deny list answers"


class Site:
    """A cluster whose bindings name members of the levels ops and audit. Its clock stands, except for waits."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "access.yaml"
        self.write(RBAC + LEVELS)
        self.account = FakeAccount()
        self.memory = ApiInMemory()
        self.memory.empty |= {BINDINGS, BINDINGS.replace("cluster", "")}
        self.memory.objects[f"{SLICES}/kubernetes"] = endpoint_slice("10.0.0.1")
        self.time = 0.0
        self.put("ops", "alice", "bob")
        self.put("audit", "alice")

    def write(self, levels: str) -> None:
        self.file.write_text(HEAD + levels)

    def put(self, level: str, *users: str) -> None:
        name, kind = f"kube-iam:{level}:view", "rbac.authorization.k8s.io"
        self.memory.objects[f"{BINDINGS}/{name}"] = {
            "metadata": {
                "name": name,
                "resourceVersion": "1",
                "labels": {
                    "app.kubernetes.io/managed-by": "kube-iam",
                    "kube-iam.dev/cluster": "prod",
                    "kube-iam.dev/level": level,
                },
                "annotations": {
                    "kube-iam.dev/iam-group": f"prod-{level}",
                    "kube-iam.dev/role-arn": f"arn:aws:iam::123456789012:role/prod-{level}",
                    "kube-iam.dev/username": f"awsiam:{level}:{{{{SessionNameRaw}}}}",
                },
            },
            "roleRef": {"kind": "ClusterRole", "name": "view", "apiGroup": kind},
            "subjects": [{"kind": "User", "name": f"awsiam:{level}:{user}", "apiGroup": kind} for user in users],
        }

    def users(self, level: str) -> list[str]:
        found = self.memory.objects[f"{BINDINGS}/kube-iam:{level}:view"]["subjects"]
        return [each["name"].rpartition(":")[2] for each in found]

    def serve(self) -> None:
        """Let a server confirm each denial."""

        def answer(host: str, token: str) -> str:
            question = parse_question(token)
            return StatusAnswer(question.nonce, "c0ffee", IN_FORCE, 1e12, 300.0, True).text if question else ""

        self.memory.answer = answer

    def refuse(self, method: str, level: str = "") -> None:
        """Let the caller lack the right."""
        self.memory.status[method, f"{BINDINGS}/kube-iam:{level}:view" if level else BINDINGS] = 403

    @property
    def denied(self) -> list[str]:
        found = (each for name, text in self.memory.data(LIST).items() for each in parse_entry(name, text).denials)
        return [each.value for each in found if each.until > time.time()]

    def run(self, *arguments: str) -> int:
        api = self.memory.api("https://api.prod.example.com")
        session = PreparedSession(self.account, api, clock=Clock(lambda: self.time, self._sleep))
        return run_command("kube-iam", arguments, {}, session)

    def _sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    return Site(tmp_path)


def output(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("who", ["alice", "arn:aws:iam::123456789012:user/alice", "ALICE"])
def test_denied_user_is_out_of_all_bindings_without_a_server(
    site: Site, capsys: pytest.CaptureFixture[str], who: str
) -> None:
    assert site.run("deny", who, "--yes") == 0
    assert (site.users("ops"), site.users("audit"), site.denied) == (["bob"], [], [who])
    out = capsys.readouterr().out
    assert "removed from 2 bindings after 0.0 s: ClusterRoleBinding kube-iam:audit:view, ClusterRoleBinding" in out
    assert "The denial ends " in out
    assert NO_SERVER in out


def test_denied_role_loses_its_level_alone(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.run("deny", ROLE, "--yes") == 0
    assert (site.users("ops"), site.users("audit")) == ([], ["alice"])
    assert f"every session of {ROLE} is removed from 1 binding" in capsys.readouterr().out


def test_server_and_bindings_are_both_reported(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.serve()
    assert site.run("deny", "alice", "--yes") == 0
    out = capsys.readouterr().out
    assert site.users("ops") == ["bob"]
    assert "alice is out (1 of 1 servers confirmed)" in out
    assert "alice is removed from 2 bindings" in out
    assert NO_SERVER not in out


def test_user_in_no_binding_is_said_to_be_in_none(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.run("deny", "carl", "--yes") == 0
    assert capsys.readouterr().out.startswith("carl is in no binding of a synced level. The denial ends ")
    assert site.denied == ["carl"]


@pytest.mark.parametrize("who", ["AKIA0000000000000001", "AIDA0000000000000001"])
def test_denial_that_bindings_cannot_follow_is_not_claimed(
    site: Site, capsys: pytest.CaptureFixture[str], who: str
) -> None:
    with pytest.raises(KubeIamError, match=f"not known: .*bindings show no access keys or unique ids: {who}") as raised:
        site.run("deny", "alice", who, "--yes")
    assert raised.value.hint == "deny the name of the user"
    assert "alice is removed from 2 bindings" in capsys.readouterr().out
    assert site.denied == ["alice", who]


@pytest.mark.parametrize("output", ["table", "json"])
def test_bindings_that_may_not_be_read_are_an_error_without_a_server(site: Site, output: str) -> None:
    site.refuse("GET")
    with pytest.raises(
        KubeIamError, match="written, but whether it is in force is not known: cannot list RBAC bindings"
    ):
        site.run("deny", "alice", "--yes", "-o", output)
    assert site.denied == ["alice"]


def test_lacking_rights_are_an_error_while_the_user_stays(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.refuse("PATCH", "ops")
    with pytest.raises(
        KubeIamError, match="awsiam:ops:alice: still in ClusterRoleBinding kube-iam:ops:view: "
    ) as raised:
        site.run("deny", "alice", "--yes")
    assert "manifest rbac --for operator" in (raised.value.hint or "")
    assert "alice is removed from 1 binding after" in capsys.readouterr().out


def test_removal_by_the_sync_counts_where_rights_are_lacking(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.refuse("PATCH", "ops")

    def sync(seconds: float) -> None:
        site.time += seconds
        site.put("ops", "bob")

    monkeypatch.setattr(site, "_sleep", sync)
    assert site.run("deny", "alice", "--yes") == 0
    assert "alice is removed from 2 bindings after 0.2 s" in capsys.readouterr().out


def test_lacking_rights_are_a_note_where_a_server_confirms(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.serve()
    site.refuse("GET")
    assert site.run("deny", "alice", "--yes") == 0
    out, err = capsys.readouterr()
    assert out.startswith("alice is out (1 of 1 servers confirmed)")
    assert "removed" not in out
    assert "note: bindings of synced levels were not changed, which is left to `kube-iam sync`" in err


def test_levels_that_need_a_server_keep_the_error_after_the_removal(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(MIXED)
    with pytest.raises(KubeIamError, match="not known: no kube-iam server with a deny list answers"):
        site.run("deny", "alice", "--yes")
    assert site.users("ops") == ["bob"]
    assert "alice is removed from 2 bindings" in capsys.readouterr().out


def test_one_api_server_without_a_server_is_an_error_where_another_has_one(site: Site) -> None:
    site.serve()
    answer = site.memory.answer
    site.memory.answer = lambda host, token: "" if host.startswith("10.") else answer(host, token)
    with pytest.raises(
        KubeIamError, match=r"not known: no kube-iam server with a deny list answers behind .*10\.0\.0\.1"
    ):
        site.run("deny", "alice", "--yes")
    assert site.users("ops") == ["bob"]


def test_bindings_are_left_alone_where_no_level_is_synced(site: Site) -> None:
    site.write(LEVELS)
    with pytest.raises(KubeIamError, match="no kube-iam server with a deny list answers"):
        site.run("deny", "alice", "--yes")
    assert site.users("ops") == ["alice", "bob"]


def test_programs_read_what_was_removed_and_checked(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.run("deny", "alice", "--yes", "-o", "json") == 0
    data = output(capsys)
    assert data["lastSignInSecondsAgo"] is None
    assert (data["inForce"], data["serverAnswers"], data["syncedBindings"]["checked"]) == (False, False, True)
    assert data["syncedBindings"]["removedFrom"] == [
        {"name": f"kube-iam:{level}:view", "namespace": None, "level": level, "users": [f"awsiam:{level}:alice"]}
        for level in ("audit", "ops")
    ]


@pytest.mark.parametrize("served", [False, True])
def test_immediate_revocation_changes_the_bindings_of_its_level(
    site: Site, capsys: pytest.CaptureFixture[str], served: bool
) -> None:
    if served:
        site.serve()
    assert site.run("apply", "--yes") == 0
    site.account.directory.add_member("prod-ops", "alice")
    capsys.readouterr()
    assert site.run("revoke", "alice", "ops", "--now") == 0
    out = capsys.readouterr().out
    assert (site.users("ops"), site.users("audit")) == (["bob"], ["alice"])
    assert "alice is removed from 1 binding after 0.0 s: ClusterRoleBinding kube-iam:ops:view." in out
    assert ("alice is out of ops" in out, NO_SERVER in out) == (served, not served)


def test_undeny_leaves_the_bindings_to_the_sync(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.run("deny", "alice", "--yes")
    assert site.run("undeny", "alice") == 0
    assert "note: `kube-iam sync` adds the users to the bindings of synced levels again" in capsys.readouterr().err
    assert (site.users("ops"), site.denied) == (["bob"], [])


def test_denial_on_eks_that_nothing_reads_asks_the_cluster_address_alone(site: Site) -> None:
    head = HEAD.replace("id: prod.example.com", "id: prod")
    site.file.write_text(f"{head}mapping: {{accessEntries: {{}}}}\nmembershipCheck: assumeRole\n{LEVELS}")
    with pytest.raises(
        KubeIamError, match="written, and sign-ins go on: EKS's authenticator reads no deny list"
    ) as caught:
        site.run("deny", "alice", "--yes")
    assert "membershipCheck: rbac" in caught.value.hint
    assert not any("10.0.0.1" in host for host, _ in site.memory.asked)
    assert site.users("ops") == ["alice", "bob"]


def test_denial_on_eks_empties_synced_levels_beside_levels_that_are_not_synced(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    head, levels = (
        HEAD.replace("id: prod.example.com", "id: prod"),
        MIXED.replace("audit,", "audit, membershipCheck: assumeRole,"),
    )
    site.file.write_text(f"{head}mapping: {{accessEntries: {{}}}}\n{levels}")
    with pytest.raises(KubeIamError, match="sign-ins go on: EKS's authenticator reads no deny list"):
        site.run("deny", "alice", "--yes")
    assert "alice is removed from" in capsys.readouterr().out
    assert site.users("ops") == ["bob"]
