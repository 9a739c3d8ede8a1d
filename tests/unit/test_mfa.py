"""MFA codes: asked for on the terminal (a real pseudo terminal here), once per session, and never where nobody sits."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import AssumeRoleProvider
from botocore.session import Session
from tls_sts import TlsSts

import forks
from kube_iam.aws.mfa import check_device
from kube_iam.aws.token_cache import CachedSession, decode_session, encode_session
from kube_iam.errors import UsageError

pytestmark = pytest.mark.process

ROLE = "arn:aws:iam::123456789012:role/shop-admin"
DEVICE = "arn:aws:iam::123456789012:mfa/alice"
CODE = "314159"
EXEC_INFO = '{{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{{"interactive":{}}}}}'
TOKEN = ("token", "-i", "shop", "-r", ROLE)


@dataclass
class Ran:
    code: int
    out: str
    err: str
    shown: str  # on the terminal


@dataclass
class Person:
    """Somebody with a home directory, AWS keys and, unless told otherwise, a terminal on which `types` is the answer."""

    home: Path
    environ: dict[str, str]
    types: str = CODE

    def config(self, text: str) -> Person:
        (self.home / ".aws").mkdir(exist_ok=True)
        (self.home / ".aws" / "config").write_text(text)
        return self

    def run(self, *arguments: str, terminal: bool = True, **environ: str) -> Ran:
        master, slave = pty.openpty()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = forks.start(
                arguments,
                {**self.environ, **environ},
                stdin=slave if terminal else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                new_session=True,
            )
            os.close(slave)
            shown: list[bytes] = []
            typist = threading.Thread(target=self._answer, args=(master, shown))
            typist.start()
            code = process.wait(60)
            os.close(master)
            typist.join()
            for file in (out, err):
                file.seek(0)
            return Ran(code, out.read().decode(), err.read().decode(), b"".join(shown).decode())

    def _answer(self, master: int, shown: list[bytes]) -> None:
        with contextlib.suppress(OSError):  # a terminal without anybody on the other side
            while piece := os.read(master, 1024):
                shown.append(piece)
                if piece.endswith(b": "):
                    os.write(master, self.types.encode() + b"\n")


@pytest.fixture
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsSts]:
    with TlsSts(tmp_path_factory.mktemp("sts")).serving() as serving:
        serving.mfa = (DEVICE, CODE)
        yield serving


@pytest.fixture
def alice(tmp_path: Path, sts: TlsSts) -> Person:
    """Her keys are in a profile."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        **sts.environment(),
    }
    return Person(tmp_path, environ).config(
        f"[default]\naws_access_key_id = AKIDALICE\naws_secret_access_key = s\nmfa_serial = {DEVICE}\n"
    )


def assumed(sts: TlsSts) -> list[str | None]:
    return [call.get("TokenCode") for call in sts.asked if call["Action"] == "AssumeRole"]


def test_mfa_code_is_requested_on_the_terminal_once_per_session_after_a_denial(alice: Person, sts: TlsSts) -> None:
    ran = alice.run(*TOKEN)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith('{"kind":"ExecCredential"')
    assert f"Enter MFA code for {DEVICE}: " in ran.shown
    assert CODE not in ran.shown, "no echo"
    assert assumed(sts) == [None, CODE]
    again = alice.run(*TOKEN, terminal=False, KUBERNETES_EXEC_INFO=EXEC_INFO.format("false"))
    assert (again.code, again.err) == (0, "")
    assert len(assumed(sts)) == 2
    kept = b"".join(path.read_bytes() for path in alice.home.rglob("*") if path.is_file())
    assert CODE.encode() not in kept


def test_runs_at_the_same_time_ask_for_one_code(alice: Person, sts: TlsSts) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: alice.run(*TOKEN), range(4)))
    assert [ran.code for ran in runs] == [0] * 4
    assert sum("MFA code" in ran.shown for ran in runs) == 1
    assert assumed(sts).count(CODE) == 1


def test_a_role_that_wants_no_code_asks_for_none(alice: Person, sts: TlsSts) -> None:
    sts.mfa = None
    ran = alice.run(*TOKEN)
    assert (ran.code, ran.shown) == (0, "")
    assert assumed(sts) == [None]


def test_a_device_named_by_flag_is_asked_for_at_once(alice: Person, sts: TlsSts) -> None:
    alice.types = CODE[:3] + " " + CODE[3:]
    assert alice.run(*TOKEN, "--mfa-serial", DEVICE, AWS_ACCESS_KEY_ID="AKIDENV", AWS_SECRET_ACCESS_KEY="s").code == 0
    assert assumed(sts) == [CODE]


def test_a_device_named_in_the_environment_belongs_to_the_keys_there(alice: Person, sts: TlsSts) -> None:
    keys: dict[str, Any] = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s"}
    ran = alice.run(*TOKEN, **keys)
    assert (ran.code, ran.shown) == (1, "")
    assert "--mfa-serial" in ran.err
    assert alice.run(*TOKEN, **keys, AWS_MFA_SERIAL=DEVICE).code == 0


def test_temporary_keys_are_not_asked_for_a_code_that_cannot_help(alice: Person) -> None:
    ran = alice.run(
        *TOKEN, AWS_ACCESS_KEY_ID="ASIA", AWS_SECRET_ACCESS_KEY="s", AWS_SESSION_TOKEN="t", AWS_MFA_SERIAL=DEVICE
    )
    assert (ran.code, ran.shown) == (1, "")
    assert "may not assume" in ran.err


@pytest.mark.parametrize(
    ("terminal", "exec_info"),
    [(True, EXEC_INFO.format("false")), (False, EXEC_INFO.format("true")), (False, "")],
    ids=["kubectl says no", "no terminal", "no terminal, not kubectl"],
)
def test_where_nobody_can_be_asked_the_line_says_what_to_do(alice: Person, terminal: bool, exec_info: str) -> None:
    ran = alice.run(*TOKEN, terminal=terminal, KUBERNETES_EXEC_INFO=exec_info)
    assert (ran.code, ran.out, ran.shown) == (1, "", "")
    assert ran.err.count("\n") == 1
    assert DEVICE in ran.err
    assert "once in a terminal" in ran.err


@pytest.mark.parametrize("types", ["", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666", "\x04"])
def test_what_is_no_code_is_not_sent(types: str, alice: Person, sts: TlsSts) -> None:
    alice.types = types
    ran = alice.run(*TOKEN)
    assert (ran.code, ran.out) == (1, "")
    assert "MFA code" in ran.err
    assert assumed(sts) == [None]


def test_a_wrong_code_is_told_as_such(alice: Person) -> None:
    alice.types = "000000"
    ran = alice.run(*TOKEN)
    assert (ran.code, ran.out) == (1, "")
    assert "does not take the MFA code" in ran.err
    assert "group" not in ran.err


def test_a_profile_whose_role_wants_a_code_asks_the_same_way_and_keeps_the_session(alice: Person, sts: TlsSts) -> None:
    alice.config(
        "[profile base]\naws_access_key_id = AKIDALICE\naws_secret_access_key = s\n"
        f"[profile ops]\nrole_arn = {ROLE}\nsource_profile = base\nmfa_serial = {DEVICE}\n"
    )
    refused = alice.run("token", "-i", "shop", AWS_PROFILE="ops", KUBERNETES_EXEC_INFO=EXEC_INFO.format("false"))
    assert (refused.code, refused.out, refused.shown) == (1, "", "")
    assert "once in a terminal" in refused.err
    ran = alice.run("token", "-i", "shop", AWS_PROFILE="ops")
    assert (ran.code, ran.err) == (0, "")
    assert f"Enter MFA code for {DEVICE}: " in ran.shown
    again = alice.run("token", "-i", "shop", AWS_PROFILE="ops", terminal=False)
    assert (again.code, again.err) == (0, "")
    assert assumed(sts) == [CODE]


def age(home: Path) -> None:
    """Make the kept session look as if it were nearly over."""
    (path,) = (home / ".cache" / "kube-iam" / "sessions").iterdir()
    session = decode_session(path.name, path.read_bytes())
    assert session is not None
    path.write_bytes(
        encode_session(path.name, CachedSession(session.credentials, time.time() - 4000, time.time() + 600))
    )


@pytest.mark.parametrize("profile", ["default", "ops"])
def test_a_session_that_is_nearly_over_serves_while_nobody_can_be_asked(
    profile: str, alice: Person, sts: TlsSts
) -> None:
    alice.config(
        f"[default]\naws_access_key_id = AKIDALICE\naws_secret_access_key = s\nmfa_serial = {DEVICE}\n"
        f"[profile ops]\nrole_arn = {ROLE}\nsource_profile = default\nmfa_serial = {DEVICE}\n"
    )
    alice.environ["KUBE_IAM_TOKEN_CACHE"] = "0"
    arguments = TOKEN if profile == "default" else TOKEN[:3]
    assert alice.run(*arguments, AWS_PROFILE=profile).code == 0
    age(alice.home)
    quiet = alice.run(*arguments, terminal=False, AWS_PROFILE=profile)
    assert (quiet.code, quiet.err) == (0, "")
    assert assumed(sts).count(CODE) == 1
    asked = alice.run(*arguments, AWS_PROFILE=profile)
    assert (asked.code, assumed(sts).count(CODE)) == (0, 2)


def test_botocore_still_has_the_prompt_that_ours_replaces() -> None:
    provider: Any = AssumeRoleProvider(dict, Session().create_client, {}, "default", prompter=input)
    assert provider._prompter is input


@pytest.mark.parametrize("serial", [DEVICE, "GAHT12345678", "arn:aws-us-gov:iam::123456789012:mfa/a.b@c"])
def test_serial_numbers_of_devices_are_taken(serial: str) -> None:
    check_device(serial)


@pytest.mark.parametrize("serial", ["x", "a b c d e f", "arn:aws:iam::123456789012:u2f/user/alice/key", "x" * 257])
def test_what_no_code_can_come_from_is_refused(serial: str, alice: Person, sts: TlsSts) -> None:
    with pytest.raises(UsageError):
        check_device(serial)
    assert alice.run(*TOKEN, "--mfa-serial", serial).code == 1
    assert sts.asked == []
