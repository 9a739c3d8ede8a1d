"""Cached sessions and tokens end with the identity they were made for: by its key, by a bound, by AWS's word, and by `logout`."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import offered
from ruamel.yaml import YAML
from tls_sts import TlsSts

from kube_iam.aws.botocore_chain import BotocoreChain
from kube_iam.aws.logins import cached_logins, of_role
from kube_iam.aws.profile_sources import CACHED_WITHOUT_EXPIRATION
from kube_iam.cli.main import main
from kube_iam.core.credentials import Credentials

ROLE = "arn:aws:iam::123456789012:role/shop-admin"
OTHER = "arn:aws:iam::123456789012:role/shop-viewer"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s"}
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: shop, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: shop-viewer, context: {cluster: shop, user: me}}]
users: [{name: me, user: {exec: {command: kube-iam, args: [token, -i, shop, -r, "%s"]}}}]
"""
ACCESS = """
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: shop, name: shop}
account: "123456789012"
region: eu-central-1
mapping: {file: mapping.yaml}
levels: [{name: admin, groups: [admins]}, {name: reader, method: group, groups: [readers]}]
"""


class Machine:
    """A home directory with commands that run in this process, and a credential tool that answers for one person or another."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.patch = patch
        self.capture = capture
        self.err = ""

    def variables(self, **values: str) -> None:
        for name, value in values.items():
            self.patch.setenv(name, value)

    def file(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def tool_for(self, key_id: str, expiration: float | None = None) -> None:
        """Write the keys to a file that the tool's command does not name, so that nothing shows that its answer changes."""
        answer = {"Version": 1, "AccessKeyId": key_id, "SecretAccessKey": "s", "SessionToken": "t"}
        if expiration is not None:
            answer["Expiration"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expiration))
        self.file("answer", json.dumps(answer))
        program = self.home / "tool.sh"
        if not program.exists():
            self.file("tool.sh", '#!/bin/sh\ncat "${0%tool.sh}answer"\n').chmod(0o700)

    def at(self, seconds: float) -> None:
        self.patch.setattr("time.time", lambda: seconds)

    def run(self, *arguments: str) -> str:
        self.patch.setattr(sys, "argv", ["/bin/kube-iam", *arguments])
        self.code = main()
        captured = self.capture.readouterr()
        self.err = captured.err
        return captured.out

    def token(self, role: str = ROLE, *more: str) -> str:
        out = self.run("token", "-i", "shop", "-r", role, "-s", "alice", *more)
        assert (self.code, self.err) == (0, "")
        return out

    def files(self, kind: str) -> list[Path]:
        directory = self.home / ".cache" / "kube-iam" / kind
        return sorted(directory.iterdir()) if directory.exists() else []


@pytest.fixture
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsSts]:
    with TlsSts(tmp_path_factory.mktemp("sts")).serving() as serving:
        yield serving


@pytest.fixture
def machine(
    sts: TlsSts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Machine:
    for name in list(os.environ):
        if name.startswith(("AWS_", "KUBE", "XDG_", "DEFAULT_ROLE")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    made = Machine(tmp_path, monkeypatch, capsys)
    made.variables(HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED="true", AWS_REGION="eu-central-1")
    made.variables(**sts.environment())
    return made


def assumed(sts: TlsSts) -> int:
    return sts.actions().count("AssumeRole")


def test_a_session_of_a_tool_serves_until_the_tools_expiration(machine: Machine, sts: TlsSts) -> None:
    machine.file(".aws/config", f"[default]\ncredential_process = {machine.home}/tool.sh\n")
    now = float(int(time.time()))
    machine.tool_for("ASIAALICE", now + 1800)
    first = machine.token()
    assert sts.signers[-1] == "ASIAALICE"
    machine.tool_for("ASIABOB", now + 7200)
    assert machine.token() == first, "what was made with an answer serves as long as that answer"
    machine.at(now + 1801)
    machine.token()
    assert sts.signers[-1] == "ASIABOB"


@pytest.mark.parametrize("profile", ["tool", "through"])
def test_a_session_of_a_tool_without_expiration_serves_for_a_quarter_of_an_hour(
    profile: str, machine: Machine, sts: TlsSts
) -> None:
    machine.file(
        ".aws/config",
        f"[profile tool]\ncredential_process = {machine.home}/tool.sh\n"
        f"[profile through]\nrole_arn = {OTHER}\nsource_profile = tool\n",
    )
    machine.variables(AWS_PROFILE=profile)
    now = float(int(time.time()))
    machine.at(now)
    machine.tool_for("ASIAALICE")
    machine.token()
    machine.tool_for("ASIABOB")
    machine.at(now + CACHED_WITHOUT_EXPIRATION)
    machine.token()
    assert "ASIABOB" in sts.signers
    expires = {login.expires for login in cached_logins(os.environ) if login.kind == "session"}
    assert expires == {now + 2 * CACHED_WITHOUT_EXPIRATION}


def test_another_person_behind_a_tool_signs_in_after_logout(machine: Machine, sts: TlsSts) -> None:
    machine.file(".aws/config", f"[default]\ncredential_process = {machine.home}/tool.sh\n")
    machine.tool_for("ASIAALICE", time.time() + 3600)
    machine.token()
    machine.tool_for("ASIABOB", time.time() + 3600)
    machine.run("logout")
    machine.token()
    assert sts.signers[-1] == "ASIABOB"


def test_another_web_identity_gets_another_session(machine: Machine, sts: TlsSts) -> None:
    jwt = machine.file("jwt", "a.b.c")
    machine.variables(AWS_WEB_IDENTITY_TOKEN_FILE=str(jwt), AWS_ROLE_ARN=OTHER, AWS_ROLE_SESSION_NAME="build")
    first = machine.token()
    assert machine.token() == first
    jwt.write_text("a.d.c")
    assert machine.token() != first
    assert assumed(sts) == 2


def test_nothing_is_kept_where_the_identity_changed_meanwhile(
    machine: Machine, sts: TlsSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    jwt = machine.file("jwt", "a.b.c")
    machine.variables(AWS_WEB_IDENTITY_TOKEN_FILE=str(jwt), AWS_ROLE_ARN=OTHER, AWS_ROLE_SESSION_NAME="build")
    find = BotocoreChain.credentials

    def replaced_meanwhile(chain: BotocoreChain, region: str) -> Credentials:
        jwt.write_text("a.d.c")
        return find(chain, region)

    monkeypatch.setattr(BotocoreChain, "credentials", replaced_meanwhile)
    machine.token()
    assert machine.files("sessions") + machine.files("tokens") == []


def test_a_role_that_was_created_again_ends_what_is_cached_of_the_former(machine: Machine, sts: TlsSts) -> None:
    machine.variables(**KEYS)
    sts.role_id = "AROAFORMER"
    machine.token(ROLE, "-e", "one")
    machine.token(OTHER)
    former = set(machine.files("sessions") + machine.files("tokens"))
    assert len(former) == 4
    machine.token(ROLE, "-e", "two")
    assert former < set(machine.files("sessions") + machine.files("tokens")), "the same role ends nothing"
    sts.role_id = "AROANEW"
    machine.token(ROLE, "-e", "three")
    left = cached_logins(os.environ)
    assert [login.role_id for login in of_role(left, ROLE) if login.kind == "session"] == ["AROANEW"]
    assert len([login for login in left if login.role == OTHER]) == 2, "another role's are left alone"
    assert len([login for login in left if login.kind == "token" and login.role == ROLE]) == 1


@pytest.fixture
def signed_in(machine: Machine) -> Machine:
    """Signed in to two levels."""
    machine.variables(**KEYS)
    machine.token(ROLE)
    machine.token(OTHER)
    return machine


def roles(machine: Machine) -> list[str]:
    return sorted({login.role for login in cached_logins(os.environ)})


def test_logout_removes_sessions_and_tokens_and_says_so(signed_in: Machine) -> None:
    (signed_in.home / ".cache/kube-iam/sessions/notes.txt").write_text("mine")
    assert signed_in.run("logout") == (
        f"Removed 1 session and 1 token of {ROLE}.\nRemoved 1 session and 1 token of {OTHER}.\n"
        "Tokens that were issued stay valid for 15 minutes at most.\n"
    )
    assert signed_in.code == 0
    assert [path.name for path in signed_in.files("sessions")] == ["notes.txt"]
    assert signed_in.files("tokens") == []
    assert signed_in.run("logout", "--all") == "Nothing is cached.\n"


@pytest.mark.parametrize("level", ["admin", ROLE, "arn:aws:iam::123456789012:role/a/path/Shop-Admin"])
def test_logout_of_a_level_leaves_the_others(level: str, signed_in: Machine) -> None:
    signed_in.file("access.yaml", ACCESS)
    signed_in.run("logout", level)
    assert (signed_in.code, signed_in.err) == (0, "")
    assert roles(signed_in) == [OTHER]


@pytest.mark.parametrize("level", ["viewer", "shop-viewer", "me"])
def test_logout_finds_a_level_in_the_kubeconfig(level: str, signed_in: Machine) -> None:
    signed_in.file(".kube/config", KUBECONFIG % OTHER)
    signed_in.run("logout", level)
    assert (signed_in.code, signed_in.err) == (0, "")
    assert roles(signed_in) == [ROLE]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["admn"], "admin"),
        (["reader"], "no level with a role"),
        (["arn:aws:iam::123456789012:user/alice"], "not the ARN of an IAM role"),
        (["admin", "--all"], "exclude each other"),
    ],
)
def test_logout_of_what_is_no_level_removes_nothing(arguments: list[str], says: str, signed_in: Machine) -> None:
    signed_in.file("access.yaml", ACCESS)
    assert signed_in.run("logout", *arguments) == ""
    assert signed_in.code == 2
    assert says in signed_in.err
    assert roles(signed_in) == [ROLE, OTHER]


def test_a_dry_run_of_logout_removes_nothing(signed_in: Machine) -> None:
    assert signed_in.run("logout", ROLE, "--dry-run", "-o", "table").startswith(
        f"Would remove 1 session and 1 token of {ROLE}.\n"
    )
    assert roles(signed_in) == [ROLE, OTHER]


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_logout_answers_programs_without_a_secret(signed_in: Machine, output: str) -> None:
    kept = {str(path) for kind in ("sessions", "tokens") for path in signed_in.files(kind)}
    out = signed_in.run("logout", "-o", output)
    answer = YAML(typ="safe", pure=True).load(out)
    assert {item["file"] for item in answer["removed"]} == kept
    assert {item["kind"] for item in answer["removed"]} == {"session", "token"}
    assert answer["dryRun"] is False
    assert "very-secret" not in out
    assert "k8s-aws-v1" not in out


def test_logout_removes_damaged_files_and_abandoned_ones(signed_in: Machine) -> None:
    for path in signed_in.files("sessions"):
        path.write_text("damaged")
    (signed_in.home / f".cache/kube-iam/tokens/.{'0' * 40}.4711.0123456789ab").write_text("abandoned")
    signed_in.run("logout")
    assert signed_in.files("sessions") + signed_in.files("tokens") == []


def test_logout_without_a_cache_is_no_error(machine: Machine) -> None:
    assert machine.run("logout") == "Nothing is cached.\n"
    assert machine.code == 0
    assert not (machine.home / ".cache").exists()


def test_logout_names_a_file_that_cannot_be_removed(signed_in: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "unlink", refuse)
    signed_in.run("logout")
    assert signed_in.code == 1
    assert "cannot be removed: Permission denied" in signed_in.err
    assert ".cache/kube-iam/sessions/" in signed_in.err


def test_names_of_levels_are_offered_to_the_shell(signed_in: Machine) -> None:
    signed_in.file("access.yaml", ACCESS)
    signed_in.file(".kube/config", KUBECONFIG % OTHER)
    assert offered("logout ") == ["admin", "me", "shop-viewer", "viewer"]
    signed_in.file("other.yaml", ACCESS.replace("name: admin", "name: auditor"))
    assert offered("logout -f other.yaml a") == ["auditor"]
    assert offered("logout -f - ") == ["me", "shop-viewer", "viewer"]
    assert offered("logout -f ot") == ["<file>"]
    signed_in.file("access.yaml", "levels: [")
    signed_in.file(".kube/config", "contexts: [")
    assert offered("logout ") == []


def test_logout_takes_the_access_file_from_standard_input(signed_in: Machine) -> None:
    signed_in.patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ACCESS.encode())))
    signed_in.run("logout", "admin", "-f", "-")
    assert (signed_in.code, signed_in.err) == (0, "")
    assert roles(signed_in) == [OTHER]
    signed_in.patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ACCESS.encode())))
    signed_in.run("logout", "nobody", "-f", "-")
    assert "in standard input or your kubeconfig" in signed_in.err
