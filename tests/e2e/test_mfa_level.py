"""A level that asks for MFA, on real parts: AWS wants a code, kube-iam asks for it on the terminal, and keeps the session."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session
from whole_sandbox import BIN, Person, Sandbox

from kube_iam.access.server_policy import server_document
from kube_iam.config.access import load_access
from kube_iam.sandbox.account_mfa import code_now
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import REGION
from kube_iam.sandbox.users import put_server_policy

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]
LEVEL = "  - name: vault\n    mfa: true\n    bind: [{clusterRole: view}]\n"


@dataclass(frozen=True)
class Device:
    """A virtual MFA device, and what it shows."""

    serial: str
    seed: str

    def code(self) -> str:
        return code_now(self.seed, time.time())


@pytest.fixture(scope="module")
def vault(levels: Sandbox) -> Iterator[Path]:
    """Yield the kubeconfig of a fourth level with `mfa: true`, whose member is mona. The level is deleted afterwards."""
    before = levels.home.access.read_text()
    levels.home.access.write_text(before + "\n" + LEVEL)
    levels.person("mona")
    levels.administrator.works("kube-iam", "apply", "--yes")
    put_server_policy(levels.home, levels.state, server_document(load_access(levels.home.access)))
    levels.administrator.works("kube-iam", "grant", "mona", "vault")
    yield levels.kubeconfig("vault")
    levels.home.access.write_text(before)
    levels.administrator.works("kube-iam", "apply", "--yes")


@pytest.fixture(scope="module")
def device(levels: Sandbox, vault: Path) -> Device:
    """mona's device."""
    who = levels.administrator.credentials
    iam: Any = Session().create_client(
        "iam",
        region_name=REGION,
        endpoint_url=levels.state.account_url,
        verify=str(levels.home.ca),
        aws_access_key_id=who.access_key_id,
        aws_secret_access_key=who.secret_access_key,
    )
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="mona")["VirtualMFADevice"]
    seed = made["Base32StringSeed"].decode()
    codes = {"AuthenticationCode1": "000000", "AuthenticationCode2": "000000"}
    iam.enable_mfa_device(UserName="mona", SerialNumber=made["SerialNumber"], **codes)
    return Device(made["SerialNumber"], seed)


def whoami_at_a_terminal(person: Person, kubeconfig: Path, device: Device, types: str) -> tuple[int, str, str]:
    """kubectl on a pseudo terminal, on which `types` is the answer: exit code, standard output, and what the terminal shows."""
    master, slave = pty.openpty()
    shown: list[bytes] = []

    def answer() -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(master, 1024):
                shown.append(piece)
                if piece.endswith(b": "):
                    os.write(master, types.encode() + b"\n")

    typist = threading.Thread(target=answer)
    # The terminal becomes the session's own, as a shell would have it.
    command = ["setsid", "--ctty", "--wait", "kubectl", "--kubeconfig", str(kubeconfig), "auth", "whoami", "-o", "json"]
    with subprocess.Popen(
        command,
        env={**person.environment, "AWS_MFA_SERIAL": device.serial, "PATH": f"{BIN}:/usr/bin:/bin"},
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    ) as process:
        os.close(slave)
        typist.start()
        out, _ = process.communicate(timeout=60)
    os.close(master)
    typist.join()
    return process.returncode, out, b"".join(shown).decode()


def test_sign_in_without_a_code_is_refused(levels: Sandbox, vault: Path) -> None:
    said = levels.person("mona").refused("kubectl", "--kubeconfig", vault, "auth", "whoami")
    assert "may not assume" in said


def test_sign_in_with_a_wrong_code_is_refused(levels: Sandbox, vault: Path, device: Device) -> None:
    wrong = f"{(int(device.code()) + 1) % 1_000_000:06d}"
    code, out, shown = whoami_at_a_terminal(levels.person("mona"), vault, device, wrong)
    assert (code != 0, out) == (True, "")
    assert "Enter MFA code" in shown


def test_a_code_is_asked_for_once_and_its_session_serves_from_then_on(
    levels: Sandbox, vault: Path, device: Device
) -> None:
    mona = levels.person("mona")
    typed = device.code()
    _, _, shown = whoami_at_a_terminal(mona, vault, device, typed)
    assert "Enter MFA code" in shown
    assert typed not in shown
    # The server may not have read the new level's group yet; the session is there all the same.
    assert wait_until(lambda: mona.signs_in(vault), 60)
    again = mona.works("kubectl", "--kubeconfig", vault, "auth", "whoami", "-o", "json")
    assert json.loads(again)["status"]["userInfo"]["username"] == "awsiam:mona"
    assert json.loads(again)["status"]["userInfo"]["groups"] == ["kube-iam:vault", "system:authenticated"]
    kept = b"".join(
        path.read_bytes() for path in Path(mona.environment["KUBE_IAM_CACHE_DIR"]).rglob("*") if path.is_file()
    )
    assert kept
    assert typed.encode() not in kept
    replayed = levels.person("mona")
    assert whoami_at_a_terminal(replayed, vault, device, typed)[0] != 0, "a code is good once"
