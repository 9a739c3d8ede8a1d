"""The caller that signs: environments and configuration files, generated and from the corpus, read by both programs side by side.

What is compared is the access key id, the session token, and the STS host of the token. The reference is a process; ours runs in this
process, with the same files and variables.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from tally import Tally
from tls_sts import TlsSts

from examples import examples
from kube_iam.aws.credential_provider import issue_token
from kube_iam.aws.environment import normalize
from kube_iam.aws.token_cache import TokenRequest
from kube_iam.errors import KubeIamError

pytestmark = pytest.mark.reference

CASES = examples(60)
# Identifiers that tell where they came from.
NAMES = ("alice", "bob", "default")
TOOL_OUTPUT = json.dumps({"Version": 1, "AccessKeyId": "ASIATOOL", "SecretAccessKey": "s", "SessionToken": "tool"})


class Caller(NamedTuple):
    """The caller that signed. An empty access key id: there is no token."""

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
    """Return the settings of a static key."""
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

    def callers(self, machine: Machine, only: str = "") -> tuple[Caller, Caller]:
        """Return the caller that the reference signs as, and ours. With `only`, the other one is not run."""
        directory = self.home / ".aws"
        directory.mkdir(exist_ok=True)
        (self.home / "keys.json").write_text(TOOL_OUTPUT)
        (self.home / "boto").write_text("[Credentials]\naws_access_key_id = AKIABOTO\naws_secret_access_key = s\n")
        for name, text in (("config", machine.config), ("credentials", machine.credentials)):
            (directory / name).unlink(missing_ok=True)
            if text is not None:
                written = text if isinstance(text, bytes) else text.format(HOME=self.home).encode()
                (directory / name).write_bytes(written)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "AWS_EC2_METADATA_DISABLED": "true",
            **{name: value.format(HOME=self.home) for name, value in machine.variables.items()},
        }
        theirs = self._theirs(environ) if only != "ours" else Caller()
        return theirs, self._ours(environ) if only != "reference" else Caller()

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
            normalize(environ)  # here, since `patch` would not remove what this adds
            for name, value in environ.items():
                patch.setenv(name, value)
            try:
                return caller_of(issue_token(TokenRequest("shop", interactive=False), os.environ, time.time).token)
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


def _with_tool(command: str) -> Machine:
    return Machine({}, f"[default]\ncredential_process = {command}\n", None)


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
    "a comment behind the region": Machine({}, "[default]\nregion = eu-west-1 # Ireland\n", PROFILES),
    "a comment with a semicolon": Machine({}, "[default]\nregion = eu-west-1\t; Ireland\n", PROFILES),
    "a region in quotes": Machine({}, '[default]\nregion = "eu-west-1"\n', PROFILES),
    "a region in single quotes": Machine({}, "[default]\nregion = 'eu-west-1'\n", PROFILES),
    "a section twice": Machine({}, None, f"[default]\n{keys('first')}[default]\n{keys('second')}"),
    "a section twice, each with a part": Machine(
        {}, f"[default]\nregion = eu-west-1\n[default]\noutput = json\n{keys('a')}", None
    ),
    "a setting twice": Machine({}, None, f"[default]\n{keys('first')}aws_access_key_id = AKIASECOND\n"),
    "[default] and [profile default]": Machine({}, f"[profile default]\n{keys('p')}[default]\n{keys('d')}", None),
    "[profile default] and [default]": Machine({}, f"[default]\n{keys('d')}[profile default]\n{keys('p')}", None),
    "a byte order mark": Machine({}, b"\xef\xbb\xbf# mine\n[default]\nregion = eu-west-1\n", PROFILES),
    "a byte order mark before keys": Machine({}, None, b"\xef\xbb\xbf# mine\n[default]\n" + keys("a").encode()),
    "a profile with a blank in its name": Machine({"AWS_PROFILE": "a b"}, f"[profile a b]\n{keys('two')}", None),
    "carriage returns": Machine({}, None, PROFILES.replace("\n", "\r\n")),
    "blanks behind values": Machine({}, None, PROFILES.replace("\n", "  \t\n")),
    "colons": Machine({}, None, f"[default]\n{keys('a')}".replace(" = ", ": ")),
    "capitals": Machine({}, None, f"[default]\n{keys('a')}".replace("aws_", "AWS_")),
    "a comment behind a header": Machine({}, None, f"[default] # mine\n{keys('a')}"),
    "an indented section": Machine({}, None, "[default]\n  " + keys("a").replace("\n", "\n  ").rstrip(" ")),
    "a section named DEFAULT": Machine({}, None, f"[DEFAULT]\n{keys('a')}"),
    "keys beside a failing tool": Machine({}, f"[default]\ncredential_process = false\n{keys('a')}", None),
    "keys beside a tool": Machine({}, f"[default]\ncredential_process = cat {{HOME}}/keys.json\n{keys('a')}", None),
    "keys beside IAM Identity Center": Machine(
        {}, f"[default]\nsso_account_id = 123456789012\nsso_role_name = Dev\n{keys('a')}", None
    ),
    "keys in a file of boto": Machine({"BOTO_CONFIG": "{HOME}/boto"}, None, None),
    "a tool": _with_tool("cat {HOME}/keys.json"),
    "a tool with a comment behind it": _with_tool("cat {HOME}/keys.json # mine"),
    "a tool in the home directory": _with_tool("cat ~/keys.json"),
    "a tool by a variable": _with_tool('cat "$HOME/keys.json"'),
    "a tool behind an assignment": _with_tool("X=1 cat {HOME}/keys.json"),
    "a tool behind a pipe": _with_tool("cat {HOME}/keys.json | cat"),
    "a tool behind a command": _with_tool("true; cat {HOME}/keys.json"),
    "a tool in quotes": _with_tool("cat '{HOME}/keys.json'"),
    "a tool with messages": _with_tool("echo sign in at https://example.com >&2; cat {HOME}/keys.json"),
    "a tool that fails": _with_tool("cat {HOME}/keys.json; exit 3"),
    "a tool that does not exist": _with_tool("/nonexistent/tool"),
    "a tool that prints nothing": _with_tool("true"),
    "a tool that prints a list": _with_tool("echo []"),
    "a tool that prints no object": _with_tool("echo 1"),
    "a tool that prints an error": _with_tool("echo '{{\"Version\":2}}'"),
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
    "an access key id with a comment behind it": (
        "T21",
        Machine({}, None, f"[default]\n{keys('a')}".replace("AKIAA", "AKIAA # mine")),
        Caller(),
    ),
    "an access key id in quotes": (
        "T21",
        Machine({}, None, f"[default]\n{keys('a')}".replace("AKIAA", '"AKIAA"')),
        Caller(),
    ),
    "a secret access key in quotes": (
        "T21",
        Machine({}, None, f"[default]\n{keys('a')}".replace("secreta", "'secreta'")),
        Caller(),
    ),
    "a variable with a blank behind the key": (
        "T21",
        Machine({"AWS_ACCESS_KEY_ID": "AKIAENV ", "AWS_SECRET_ACCESS_KEY": "s"}),
        Caller(),
    ),
    "a line that is no setting": ("T22", Machine({}, "[default]\ngarbage\n", PROFILES), Caller()),
    "a setting before the first section": ("T22", Machine({}, "region = eu-west-1\n", PROFILES), Caller()),
    "a header without its bracket": ("T22", Machine({}, "[default\nregion = eu-west-1\n", PROFILES), Caller()),
    "keys that have ended": (
        "T23",
        Machine(
            {
                "AWS_ACCESS_KEY_ID": "AKIAENV",
                "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_CREDENTIAL_EXPIRATION": "2001-01-01T00:00:00Z",
            }
        ),
        Caller(),
    ),
    "a tool whose credentials have ended": (
        "T23",
        _with_tool(
            'echo \'{{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"2001-01-01T00:00:00Z"}}\''
        ),
        Caller(),
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


TAKEN = {
    "a profile's name in quotes": (
        "T24",
        Machine({"AWS_PROFILE": "a b"}, f'[profile "a b"]\n{keys("two")}', None),
        "AKIATWO",
    ),
    "a number that is not one": ("T25", Machine({"AWS_MAX_ATTEMPTS": "abc"}, None, PROFILES), "AKIADEFAULT"),
    "a CA file that does not exist": ("T25", Machine({"AWS_CA_BUNDLE": "/nonexistent"}, None, PROFILES), "AKIADEFAULT"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_only_we_sign_in_with_has_a_row(name: str, both: Both, tally: Tally) -> None:
    row, machine, expected = TAKEN[name]
    theirs, ours = both.callers(machine)
    assert (theirs, ours.access_key_id) == (Caller(), expected)
    tally.shown(row)


CORPUS = Path(__file__).parents[1] / "corpus" / "aws"
PEOPLE = f"[people]\n{keys('people')}"


def _corpus() -> list[tuple[str, str]]:
    found = []
    for path in sorted(CORPUS.glob("*.ini")):
        headers = re.findall(r"^\[(?:profile )?([^\]]+)\]", path.read_text(), re.MULTILINE)
        found += [
            (path.name, name.strip('"'))
            for name in headers
            if not name.startswith(("sso-session", "services", "plugins"))
        ]
    return found


@pytest.mark.parametrize(("file", "profile"), _corpus())
def test_files_as_people_write_them_select_the_same_caller(file: str, profile: str, both: Both, tally: Tally) -> None:
    """Roles are assumed at a stand-in for STS: the roles, external ids and signers of the calls are compared too."""
    (both.home / "sts").mkdir()
    with TlsSts(both.home / "sts").serving() as sts:
        text = (CORPUS / file).read_text().replace("@DIR@", str(both.home))
        text = text.replace("@AKID@", "AKIACORPUS").replace("@SECRET@", "secret").replace("{", "{{").replace("}", "}}")
        _tool_and_token(both.home)
        machine = Machine({"AWS_PROFILE": profile, **sts.environment()}, text, PEOPLE)
        sts.asked.clear()
        theirs, _ = both.callers(machine, only="reference")
        their_calls, their_signers = _calls(sts)
        _, ours = both.callers(machine, only="ours")
        our_calls, our_signers = _calls(sts)
    if theirs == Caller() and file == "08-keys-in-config-odd-names.ini":
        assert ours.access_key_id, "its name is in quotes"
        tally.shown("T24")
        return
    assert (our_calls, our_signers) == (their_calls, their_signers)
    assert (ours.access_key_id[:4], ours.host) == (theirs.access_key_id[:4], theirs.host)
    if not our_calls:
        assert ours == theirs
    tally.same()


def _tool_and_token(home: Path) -> None:
    (home / "my tools").mkdir(exist_ok=True)
    (home / "my tools" / "give keys.sh").write_text(f"cat <<'END'\n{TOOL_OUTPUT}\nEND\n")
    (home / "ci-token").write_text("the.web.identity")


def _calls(sts: TlsSts) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return the requests since the last call, with their callers."""
    calls = [(call["Action"], call.get("RoleArn", ""), call.get("ExternalId", "")) for call in sts.asked]
    signers = [signer[:4] for signer in sts.signers]
    sts.asked.clear()
    sts.signers.clear()
    return calls, signers
