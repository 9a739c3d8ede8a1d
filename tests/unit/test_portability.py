"""Windows and macOS: nothing is used that only some systems have, unless there is another way beside it.

Linux is where these tests run; `simulated_windows.py` takes away what Windows lacks and says what it cannot show.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import simulated_windows
from simulated_windows import MODULES, OS_NAMES, SIGNALS, SOCKET_NAMES

import kube_iam
from kube_iam.aws import mfa
from kube_iam.aws.environment import cache_directory
from required import missing

SOURCE = Path(kube_iam.__file__).parent
POSIX_ONLY = {
    *(f"os.{name}" for name in OS_NAMES),
    *(f"signal.{name}" for name in SIGNALS),
    *(f"socket.{name}" for name in (*SOCKET_NAMES, "AF_UNIX")),
}
# Where it stands all the same, and what makes that safe.
WITH_A_COUNTERPART = {
    "kube/files.py": "only where os.fchmod exists",
    "server/certificates.py": "only where os.getegid exists",
    "server/certificate_rotation.py": "only where os.fchmod exists",
    "server/process.py": "only where os.getuid exists",
    "server/listening.py": "only where resource could be imported, and where socket.SO_REUSEPORT exists",
    "aws/environment.py": "COMPUTERNAME where os.uname does not exist",
    "files.py": "msvcrt where fcntl cannot be imported; os.fchmod where it exists; owners only where os.name is posix",
}


def uses(path: Path) -> set[str]:
    """Return the POSIX-only names and modules that a file of ours uses by name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & (POSIX_ONLY | set(MODULES))


@pytest.mark.slow
def test_what_only_posix_has_is_used_only_where_there_is_another_way() -> None:
    offenders = {}
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith("sandbox/") and name not in WITH_A_COUNTERPART and (found := uses(path) - {"uvloop"}):
            offenders[name] = found
    assert offenders == {}
    assert all(uses(SOURCE / name) for name in WITH_A_COUNTERPART), "a reason that is no longer needed"


@pytest.mark.process
def test_everything_but_the_sandbox_works_without_what_windows_lacks() -> None:
    ran = subprocess.run(
        [sys.executable, simulated_windows.__file__], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.split()[0]) > 100


def test_the_sandbox_says_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from kube_iam.cli.root import run_command
    from kube_iam.errors import SandboxError

    monkeypatch.setattr("kube_iam.cli.sandbox.os.name", "nt")
    with pytest.raises(SandboxError, match="Linux and macOS"):
        run_command("kube-iam", ["sandbox", "down"], {})


def test_sessions_are_kept_where_windows_keeps_what_belongs_to_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube_iam.aws.environment.os", WindowsOs())
    assert cache_directory({"LOCALAPPDATA": "C:\\Users\\a\\AppData\\Local", "XDG_CACHE_HOME": "/x"}, "sessions") == (
        "C:\\Users\\a\\AppData\\Local\\kube-iam\\sessions"
    )
    assert cache_directory({"KUBE_IAM_CACHE_DIR": "D:\\kept"}, "sessions") == "D:\\kept\\sessions"


class WindowsOs:
    """The part of `os` that names the cache directory, with Windows' paths."""

    import ntpath as path

    name = "nt"


def test_a_console_is_looked_for_under_the_systems_own_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mfa, "_TERMINAL", str(tmp_path / "none"))
    assert not mfa.has_terminal()
    monkeypatch.setattr(mfa, "_TERMINAL", os.devnull)
    assert mfa.has_terminal()


def test_processes_are_known_by_ps_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    from kube_iam.sandbox import running

    if shutil.which("ps") is None:
        missing("ps", "install procps")
    monkeypatch.setattr(running, "_PROC", Path("/no/proc"))
    mine = running.look_at(os.getpid())
    assert mine is not None
    assert running.look_at(os.getpid()) == mine
    assert mine.uid == os.geteuid()
    assert mine.runs_in(Path(mine.command.split()[0]))
    assert not mine.runs_in(Path("/some/where/else"))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert running.look_at(gone.pid) is None
