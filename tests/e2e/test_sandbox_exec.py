"""`kube-iam sandbox exec`: a command as a user of the sandbox, with that user's settings alone, in place of the program itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from whole_sandbox import BIN, Sandbox

import forks
from kube_iam.sandbox.processes import wait_until

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]

OWN = {
    "AWS_PROFILE": "mine",
    "AWS_SESSION_TOKEN": "mine",
    "AWS_ENDPOINT_URL_IAM": "https://mine.example.com",
    "KUBECONFIG": "/nowhere",
    "KUBE_IAM_ACCESS": "/nowhere",
    "EDITOR": "vi",
}


def line(sandbox: Sandbox, *words: str) -> list[str]:
    return [str(BIN / "kube-iam"), "sandbox", "exec", "--dir", str(sandbox.home.root), *words]


def run(sandbox: Sandbox, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(sandbox.home.root), **OWN}
    return forks.run(line(sandbox, *words)[1:], environ, text=stdin)


def test_kubectl_runs_as_the_user(levels: Sandbox) -> None:
    levels.member("elsa", "viewer")
    done = run(levels, "elsa", "--", "kubectl", "auth", "whoami", "-o", "json")
    assert json.loads(done.stdout)["status"]["userInfo"]["username"] == "awsiam:elsa", done.stderr
    assert done.stderr == ""


def test_command_has_the_users_settings_and_no_others(levels: Sandbox) -> None:
    credentials = levels.person("emil").credentials
    found = dict(each.split("=", 1) for each in run(levels, "emil", "--", "env").stdout.splitlines())
    assert found["AWS_ACCESS_KEY_ID"] == credentials.access_key_id
    assert found["EDITOR"] == "vi"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_IAM", "KUBE_IAM_ACCESS"} & set(found)
    assert Path(found["KUBECONFIG"]).is_relative_to(levels.home.root)
    files = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
    assert not any(Path(found[name]).exists() for name in files)


def test_level_is_chosen_by_option_then_current_context_then_membership(levels: Sandbox) -> None:
    current = ("--", "kubectl", "config", "current-context")
    assert "enno is in no level" in run(levels, "enno", *current).stderr
    for level in ("viewer", "developer"):
        levels.administrator.works("kube-iam", "grant", "enno", level)
        if level == "viewer":
            assert run(levels, "enno", *current).stdout == "sandbox-viewer\n"
    assert run(levels, "enno", "--", "kubectl", "config", "use-context", "sandbox-developer").returncode == 0
    assert run(levels, "enno", *current).stdout == "sandbox-developer\n"
    assert run(levels, "enno", "--level", "admin", *current).stdout == "sandbox-admin\n"
    assert run(levels, "enno", *current).stdout == "sandbox-developer\n"
    refused = run(levels, "enno", "--level", "amdin", *current)
    assert (refused.returncode, "levels: admin, developer, viewer" in refused.stderr) == (1, True)


def test_administrator_has_the_clusters_own_kubeconfig(levels: Sandbox) -> None:
    assert run(levels, "administrator", "--", "kubectl", "auth", "can-i", "*", "*").stdout == "yes\n"


@pytest.mark.parametrize(
    ("words", "code"), [(("sh", "-c", "exit 7"), 7), (("no-such-program",), 127), (("/etc/hostname",), 126)]
)
def test_exit_code_is_the_commands(words: tuple[str, ...], code: int, levels: Sandbox) -> None:
    assert run(levels, "emil", "--", *words).returncode == code


def test_input_and_output_are_the_commands(levels: Sandbox) -> None:
    assert run(levels, "emil", "--", "cat", stdin="\x1b[31m raw").stdout == "\x1b[31m raw"
    assert run(levels, "emil", "--", "sh", "-c", "yes | head -1; echo ${PIPESTATUS}").stdout.startswith("y\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_command(number: signal.Signals, levels: Sandbox, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    # A shell cannot trap a signal that was ignored when it began, as SIGINT is in a test run in the background.
    script = (
        "import os, pathlib, signal, sys\n"
        f"signal.signal({int(number)}, lambda *_: os._exit(42))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "while True: signal.pause()\n"
    )
    words = line(levels, "emil", "--", sys.executable, "-c", script)
    process = subprocess.Popen(words, env={"PATH": "/usr/bin:/bin"})
    assert wait_until(ready.exists, 60)
    process.send_signal(number)
    assert process.wait(60) == 42


def test_a_command_that_writes_to_a_closed_pipe_ends(levels: Sandbox) -> None:
    process = subprocess.Popen(
        line(levels, "emil", "--", "yes"), env={"PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 2)
    process.stdout.close()
    assert process.wait(60) == -signal.SIGPIPE


def test_options_of_the_command_need_no_quotes(levels: Sandbox) -> None:
    assert run(levels, "emil", "--", "echo", "--level", "-n", "--dir").stdout == "--level -n --dir\n"
