"""One run at a time makes a session; nothing that goes wrong with the lock keeps anybody from signing in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kube_iam.aws.token_cache import SessionCache
from kube_iam.files import FileLock

HOLD = """
import sys
from kube_iam.files import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_waits_for_the_first(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "key"
    with holder(path) as first:
        second = subprocess.Popen(
            [sys.executable, "-c", HOLD, path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert second.poll() is None
        assert first.stdin is not None
        first.stdin.write("\n")
        first.stdin.flush()
        assert second.communicate(timeout=30)[0] == "held\n"


def test_a_run_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "key"
    with holder(path) as first:
        first.kill()
    with FileLock(str(path)):
        pass


def test_patience_ends(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "key"
    with holder(path) as first:
        with FileLock(str(path), patience=0.1):
            pass
        first.kill()


def test_where_nothing_can_be_written_there_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (str(tmp_path / "file" / "locks" / "key"), SessionCache("").lock_of("key")):
        with FileLock(path):
            pass
    assert SessionCache("").lock_of("key") == ""


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    path = str(tmp_path / "key")
    try:
        with FileLock(path):
            raise KeyError
    except KeyError:
        with FileLock(path, patience=0):
            pass
