"""The key of cached sessions and tokens changes with everything that decides who signs, and with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kube_iam.aws import environment as module
from kube_iam.aws.environment import caller_key

ROLE = "arn:aws:iam::123456789012:role/ci"
SSO = "[profile s]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\n[sso-session corp]\nsso_region = x\n"


class Machine:
    """A home directory, and the environment of a command."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ: dict[str, str] = {}

    def file(self, name: str, text: str) -> str:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def names(self, variable: str, name: str, text: str) -> None:
        """Set a variable that names a file."""
        self.environ[variable] = self.file(name, text)

    def config(self, text: str) -> str:
        return self.file(".aws/config", text)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    return Machine(tmp_path)


Step = Callable[[Machine], object]
CHANGES: dict[str, tuple[Step, Step]] = {
    "a profile is edited": (lambda m: m.config("[default]\n"), lambda m: m.config("[default]\nregion = x\n")),
    "another config file": (
        lambda m: m.names("AWS_CONFIG_FILE", "a", "[default]\n"),
        lambda m: m.names("AWS_CONFIG_FILE", "b", "[default]\n"),
    ),
    "a config file named by a variable": (
        lambda m: m.environ.update(AWS_CONFIG_FILE="$ELSEWHERE/config"),
        lambda m: m.file("elsewhere/config", "[default]\n"),
    ),
    "another credentials file": (
        lambda m: m.names("AWS_SHARED_CREDENTIALS_FILE", "a", "[default]\n"),
        lambda m: m.names("AWS_SHARED_CREDENTIALS_FILE", "b", "[default]\n"),
    ),
    "another profile": (lambda m: m.environ.update(AWS_PROFILE="dev"), lambda m: m.environ.update(AWS_PROFILE="Dev")),
    "another session token": (
        lambda m: m.environ.update(AWS_SESSION_TOKEN="a"),
        lambda m: m.environ.update(AWS_SESSION_TOKEN="b"),
    ),
    "aws sso login as somebody else": (
        lambda m: (m.config(SSO), m.file(".aws/sso/cache/0123.json", '{"accessToken": "alice"}')),
        lambda m: m.file(".aws/sso/cache/0123.json", '{"accessToken": "bobby"}'),
    ),
    "aws sso logout": (
        lambda m: (m.config(SSO), m.file(".aws/sso/cache/0123.json", "{}")),
        lambda m: (m.home / ".aws/sso/cache/0123.json").unlink(),
    ),
    "aws login as somebody else": (
        lambda m: (m.config("[default]\nlogin_session = x\n"), m.file(".aws/login/cache/0123.json", "alice")),
        lambda m: m.file(".aws/login/cache/0123.json", "bobby"),
    ),
    "aws login in another directory": (
        lambda m: (
            m.config("[default]\nlogin_session = x\n"),
            m.environ.update(AWS_LOGIN_CACHE_DIRECTORY=str(Path(m.file("logins/0.json", "alice")).parent)),
        ),
        lambda m: m.file("logins/0.json", "bobby"),
    ),
    "another service account's token": (
        lambda m: m.names("AWS_WEB_IDENTITY_TOKEN_FILE", "jwt", "a.b.c"),
        lambda m: m.file("jwt", "a.d.c"),
    ),
    "a token with a relative name": (
        lambda m: (m.file("jwt", "a.b.c"), m.environ.update(AWS_WEB_IDENTITY_TOKEN_FILE="jwt")),
        lambda m: m.file("jwt", "a.d.c"),
    ),
    "a token with a dollar in its name": (
        lambda m: (m.file("$HOME", "a.b.c"), m.environ.update(AWS_WEB_IDENTITY_TOKEN_FILE="$HOME")),
        lambda m: m.file("$HOME", "a.d.c"),
    ),
    "a profile's token, with blanks in its name": (
        lambda m: m.config(f"[default]\nrole_arn = {ROLE}\nWEB_IDENTITY_TOKEN_FILE : {m.file('my own jwt', 'a')}\n"),
        lambda m: m.file("my own jwt", "b"),
    ),
    "another container": (
        lambda m: m.environ.update(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/a"),
        lambda m: m.environ.update(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/b"),
    ),
    "another container authorization": (
        lambda m: m.environ.update(AWS_CONTAINER_AUTHORIZATION_TOKEN="a"),
        lambda m: m.environ.update(AWS_CONTAINER_AUTHORIZATION_TOKEN="b"),
    ),
    "another pod identity": (
        lambda m: m.names("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "pod", "a"),
        lambda m: m.file("pod", "b"),
    ),
    "another credential tool": (
        lambda m: m.config(f"[default]\ncredential_process = {m.file('tool', 'echo a')}\n"),
        lambda m: m.file("tool", "echo b"),
    ),
    "another file for the credential tool": (
        lambda m: m.config(
            f"[default]\nsource_profile = p\n[profile p]\ncredential_process = cat {m.file('keys', 'a')}\n"
        ),
        lambda m: m.file("keys", "b"),
    ),
    "another file for a quoted tool": (
        lambda m: m.config(f'[default]\n  credential_process = "{m.file("my tool", "a")}" --user x\n'),
        lambda m: m.file("my tool", "b"),
    ),
    "another file on a continued line": (
        lambda m: m.config(f"[default]\ncredential_process = cat\n  --keys={m.file('keys', 'a')}\n"),
        lambda m: m.file("keys", "b"),
    ),
    "a big credential tool": (
        lambda m: m.config(f"[default]\ncredential_process = {m.file('tool', 'a' * 70000)}\n"),
        lambda m: m.file("tool", "b" * 70001),
    ),
    "keys of boto": (lambda m: m.file(".boto", "a"), lambda m: m.file(".boto", "b")),
    "another file of boto": (lambda m: m.names("BOTO_CONFIG", "boto", "a"), lambda m: m.file("boto", "b")),
    "a file of keys": (lambda m: m.names("AWS_CREDENTIAL_FILE", "keys", "a"), lambda m: m.file("keys", "b")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_key_changes_with_what_decides_who_signs(name: str, machine: Machine) -> None:
    before, after = CHANGES[name]
    before(machine)
    key = caller_key(machine.environ)
    assert len(key) == 40
    assert caller_key(machine.environ) == key
    after(machine)
    assert caller_key(machine.environ) != key
    if name not in ("a big credential tool", "a config file named by a variable"):
        before(machine)
        assert caller_key(machine.environ) == key


def test_the_key_changes_with_the_machines_start(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BOOT_ID", machine.file("boot_id", "one"))
    key, without = caller_key({}), caller_key({"AWS_EC2_METADATA_DISABLED": "true"})
    machine.file("boot_id", "two")
    assert caller_key({}) != key
    assert caller_key({"AWS_EC2_METADATA_DISABLED": "true"}) == without, "no instance can be asked"


def test_the_key_stays_where_other_things_change(machine: Machine) -> None:
    machine.config("[default]\nregion = x\n")
    key = caller_key(machine.environ)
    machine.file(".aws/sso/cache/0123.json", "of a profile that is not there")
    machine.file("notes", "x")
    machine.environ["SHLVL"] = "2"
    assert caller_key(machine.environ) == key


def test_the_key_is_the_same_in_every_process(machine: Machine) -> None:
    machine.config(f"{SSO}[default]\ncredential_process = cat '{machine.file('a', 'x')}' {machine.file('b', 'y')}\n")
    program = "from kube_iam.aws.environment import caller_key; print(caller_key({}))"
    environ = {"HOME": str(machine.home), "PATH": os.environ["PATH"]}
    keys = {
        subprocess.run(
            [sys.executable, "-c", program], env={**environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(keys) == 1


def test_nothing_may_be_cached_where_the_configuration_cannot_be_read(machine: Machine) -> None:
    machine.config("#" * (1024 * 1024 + 1))
    assert caller_key(machine.environ) == ""
