"""`write_file` replaces a file in one step, with exactly the mode that was asked for, and leaves nothing behind when it fails."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from kube_iam.files import write_file


@pytest.mark.parametrize("mode", [0o600, 0o644])
@pytest.mark.parametrize("durable", [True, False])
def test_the_file_has_the_content_and_exactly_the_mode(mode: int, durable: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o666)
    before = path.stat().st_ino
    umask = os.umask(0o777)
    try:
        write_file(path, b"new", mode, durable=durable)
    finally:
        os.umask(umask)
    assert path.read_bytes() == b"new"
    assert (path.stat().st_ino != before, stat.S_IMODE(path.stat().st_mode)) == (True, mode)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["os.replace", "os.fsync"])
def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"kube_iam.files.{call}", fail)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("make", [os.mkfifo, make_socket, os.mkdir], ids=["pipe", "socket", "directory"])
def test_only_a_regular_file_is_replaced(
    make: Callable[[Path], None], linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    odd = Path("odd")
    make(odd)
    before = odd.lstat()
    path = Path("link") if linked else odd
    if linked:
        path.symlink_to(odd)
    with pytest.raises(OSError, match="not a regular file"):
        write_file(path, b"new")
    assert odd.lstat() == before
    assert path.is_symlink() == linked
    assert {each.name for each in tmp_path.iterdir()} == {odd.name, path.name}
