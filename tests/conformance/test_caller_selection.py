"""Which caller signs: environments and configuration files, generated and from the corpus, read by both programs side by side.

What is compared is the access key id, the session token, and the STS host of the token. The reference is a process; ours runs in this
process, with the same files and variables.
"""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from tally import Tally

from kube_iam.aws.kept_tokens import SignIn
from kube_iam.aws.sign_in import sign_in
from kube_iam.aws.variables import normalize
from kube_iam.errors import KubeIamError

pytestmark = [pytest.mark.reference, pytest.mark.xdist_group("conformance")]

CASES = 60
# Identifiers that tell where they came from.
NAMES = ("alice", "bob", "default")


class Caller(NamedTuple):
    """Who signed. An empty access key id: there is no token."""

    access_key_id: str = ""
    session_token: str = ""
    host: str = ""


@dataclass(frozen=True)
class Machine:
    """A home directory with files in it, and the variables of a shell."""

    variables: Mapping[str, str] = field(default_factory=dict)
    config: str | bytes | None = None
    credentials: str | bytes | None = None


def keys(mark: str, *, token: str = "") -> str:
    """The settings of a static key."""
    settings = f"aws_access_key_id = AKIA{mark.upper()}\naws_secret_access_key = secret{mark}\n"
    return settings + (f"aws_session_token = {token}\n" if token else "")


def caller_of(token: str) -> Caller:
    body = token.removeprefix("k8s-aws-v1.")
    url = urlsplit(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode())
    query = parse_qs(url.query)
    return Caller(
        query["X-Amz-Credential"][0].partition("/")[0], query.get("X-Amz-Security-Token", [""])[0], url.netloc
    )


@dataclass(frozen=True)
class Both:
    """Both programs on one machine after another."""

    reference: Path
    home: Path
    patch: pytest.MonkeyPatch

    def callers(self, machine: Machine) -> tuple[Caller, Caller]:
        """The caller that the reference signs as, and ours."""
        directory = self.home / ".aws"
        directory.mkdir(exist_ok=True)
        for name, text in (("config", machine.config), ("credentials", machine.credentials)):
            (directory / name).unlink(missing_ok=True)
            if text is not None:
                (directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "AWS_EC2_METADATA_DISABLED": "true",
            **machine.variables,
        }
        return self._theirs(environ), self._ours(environ)

    def _theirs(self, environ: dict[str, str]) -> Caller:
        done = subprocess.run(
            [self.reference, "token", "-i", "shop"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return caller_of(json.loads(done.stdout)["status"]["token"]) if done.returncode == 0 else Caller()

    def _ours(self, environ: dict[str, str]) -> Caller:
        with self.patch.context() as patch:
            for name in list(os.environ):
                patch.delenv(name)
            for name, value in environ.items():
                patch.setenv(name, value)
            normalize(os.environ)
            try:
                return caller_of(sign_in(SignIn("shop"), os.environ, time.time).token)
            except KubeIamError:
                return Caller()


@pytest.fixture
def both(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Both:
    return Both(reference, tmp_path, monkeypatch)


def generated(chance: random.Random) -> Machine:
    """Any selection of variables, each absent, empty or set, over profiles with keys in either file or in both."""
    variables: dict[str, str] = {}
    for name, values in {
        "AWS_PROFILE": ("", *NAMES, "missing"),
        "AWS_DEFAULT_PROFILE": ("", *NAMES),
        "AWS_SESSION_TOKEN": ("", "environment-session"),
        "AWS_REGION": ("", "eu-north-1"),
        "AWS_DEFAULT_REGION": ("", "eu-south-1"),
        "AWS_CONFIG_FILE": ("",),
        "AWS_SHARED_CREDENTIALS_FILE": ("",),
        "AWS_WEB_IDENTITY_TOKEN_FILE": ("",),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": ("",),
        "AWS_MAX_ATTEMPTS": ("",),
    }.items():
        if chance.random() < 0.6:
            variables[name] = chance.choice(values)
    names = chance.choice(
        [
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            ("AWS_ACCESS_KEY", "AWS_SECRET_KEY"),
            ("AWS_SECRET_ACCESS_KEY",),
            (),
            (),
            (),
        ]
    )
    variables.update({name: chance.choice(["AKIAENVIRONMENT", "AKIAENVIRONMENT", ""]) for name in names})
    if not variables.get("AWS_SECRET_ACCESS_KEY") and not variables.get("AWS_SECRET_KEY"):
        variables.update({name: "" for name in ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY") if name in variables})
    files = {}
    # A profile with a token in the config file has one in the credentials file too: see T20.
    with_token: set[str] = set()
    for file in ("config", "credentials"):
        text = ""
        for name in chance.sample(NAMES, chance.randint(0, 3)):
            header = f"profile {name}" if file == "config" and name != "default" else name
            region = "region = ap-south-1\n" if chance.random() < 0.3 else ""
            token = f"{file}-session" if name in with_token or chance.random() < 0.3 else ""
            with_token.update({name} if token else ())
            old = "aws_security_token = old-token\n" if token and chance.random() < 0.5 else ""
            with_keys = keys(f"{name}{file}", token=token) + old if chance.random() < 0.7 else ""
            text += f"[{header}]\n{region}{with_keys}"
        files[file] = text if chance.random() < 0.9 else None
    return Machine(variables, files["config"], files["credentials"])


def test_generated_environments_and_files_select_the_same_caller(both: Both, tally: Tally) -> None:
    seed = int(os.environ.get("KUBE_IAM_CONFORMANCE_SEED") or random.SystemRandom().randrange(2**32))
    tally.notes.append(f"seed of the generated environments: {seed}")
    chance = random.Random(seed)
    signed = 0
    for _ in range(CASES):
        machine = generated(chance)
        theirs, ours = both.callers(machine)
        if _default_profile_is_missing(machine):
            assert ours == Caller(), (seed, machine)
            tally.shown("T18")
            continue
        assert ours == theirs, (seed, machine)
        signed += bool(theirs.access_key_id)
        tally.same()
    assert signed > CASES / 4


def _default_profile_is_missing(machine: Machine) -> bool:
    name = not machine.variables.get("AWS_PROFILE") and machine.variables.get("AWS_DEFAULT_PROFILE")
    text = f"{machine.config!r}{machine.credentials!r}"
    return bool(name) and f"[{name}]" not in text and f"[profile {name}]" not in text


PROFILES = "".join(f"[{name}]\n{keys(name)}" for name in NAMES)
SAME = {
    "AWS_PROFILE beside AWS_DEFAULT_PROFILE": Machine(
        {"AWS_PROFILE": "alice", "AWS_DEFAULT_PROFILE": "bob"}, None, PROFILES
    ),
    "an AWS_DEFAULT_PROFILE that does not exist": Machine(
        {"AWS_PROFILE": "alice", "AWS_DEFAULT_PROFILE": "missing"}, None, PROFILES
    ),
    "both profile variables empty": Machine({"AWS_PROFILE": "", "AWS_DEFAULT_PROFILE": ""}, None, PROFILES),
    "a profile that does not exist, with keys": Machine(
        {"AWS_PROFILE": "missing", "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"}, None, PROFILES
    ),
    "keys in the environment beside AWS_PROFILE": Machine(
        {"AWS_PROFILE": "bob", "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"}, None, PROFILES
    ),
    "both token variables": Machine(
        {
            "AWS_ACCESS_KEY_ID": "AKIAENV",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_SESSION_TOKEN": "current",
            "AWS_SECURITY_TOKEN": "old",
        }
    ),
    "both token settings": Machine({}, None, f"[default]\n{keys('a', token='current')}aws_security_token = old\n"),
    "both token settings of a slow profile": Machine(
        {}, None, f"[default]\n{keys('a', token='current')}aws_security_token = old\nunknown = 1\n"
    ),
    "empty file variables": Machine(
        {"AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": "", "AWS_PROFILE": "alice"}, None, PROFILES
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_both_select_the_same_caller(name: str, both: Both, tally: Tally) -> None:
    theirs, ours = both.callers(SAME[name])
    assert ours == theirs
    tally.same()


DIFFERENT = {
    "half a key in the environment": ("T17", Machine({"AWS_ACCESS_KEY_ID": "AKIAENV"}, None, PROFILES), Caller()),
    "an AWS_DEFAULT_PROFILE that does not exist": (
        "T18",
        Machine(
            {"AWS_DEFAULT_PROFILE": "missing", "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"},
            None,
            PROFILES,
        ),
        Caller(),
    ),
    "a token in the config file beside keys in the credentials file": (
        "T20",
        Machine({}, f"[default]\n{keys('config', token='config-session')}", f"[default]\n{keys('credentials')}"),
        Caller("AKIACREDENTIALS", "", "sts.us-east-1.amazonaws.com"),
    ),
    "AWS_SECURITY_TOKEN alone": (
        "T19",
        Machine({"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SECURITY_TOKEN": "old"}),
        Caller("AKIAENV", "old", "sts.us-east-1.amazonaws.com"),
    ),
    "aws_security_token alone": (
        "T19",
        Machine({}, None, f"[default]\n{keys('a')}aws_security_token = old\n"),
        Caller("AKIAA", "old", "sts.us-east-1.amazonaws.com"),
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_deliberate_difference_in_who_signs_has_a_row(name: str, both: Both, tally: Tally) -> None:
    row, machine, expected = DIFFERENT[name]
    theirs, ours = both.callers(machine)
    assert ours == expected
    assert theirs not in (ours, Caller())
    tally.shown(row)
