"""Files that commands edit: which may be opened at all, how they are replaced, and where they are written in place."""

from __future__ import annotations

import errno
import io
import os
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kube_iam.errors import ConfigError, KubeIamError
from kube_iam.kube.files import check_edit, edit_text, read_text
from required import not_applicable

NEW = "b: 2\n"


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "a directory": (Path.mkdir, "a directory"),
    "a named pipe": (os.mkfifo, "a named pipe"),
    "a socket": (make_socket, "a socket"),
    # Device 240:0 is reserved for local use, with no driver behind it: nothing happens should it be opened.
    "a character device": (lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(240, 0)), "a character device"),
    "a block device": (lambda path: os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(240, 0)), "a block device"),
}


def special(kind: str, path: Path) -> Path:
    make, _ = SPECIAL[kind]
    try:
        make(path)
    except PermissionError:
        not_applicable("device nodes can be made by root alone")
    return path


@pytest.mark.parametrize("linked", [False, True], ids=["itself", "behind a link"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused_before_it_is_opened(
    kind: str, linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", None)
    monkeypatch.setattr(io, "open", None)
    path = target = special(kind, tmp_path / "target")
    if linked:
        path = tmp_path / "link"
        path.symlink_to(target)
    before = target.stat()
    actions: list[Callable[[], object]] = [
        lambda: read_text(path),
        lambda: edit_text(path, lambda _: NEW),
        lambda: check_edit(path, lambda _: NEW),
    ]
    for action in actions:
        with pytest.raises(ConfigError, match=f"{SPECIAL[kind][1]}, not a regular file"):
            action()
    after = target.stat()
    assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted({path.name, target.name})


def test_a_regular_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("a: 1\n")
    before = path.stat().st_ino
    edit_text(path, lambda _: NEW)
    assert path.read_text() == NEW
    assert path.stat().st_ino != before


def test_a_hard_linked_file_keeps_its_other_names(tmp_path: Path) -> None:
    path, other = tmp_path / "config", tmp_path / "dotfiles"
    path.write_text("a: 1\nand: more than will be written\n")
    other.hardlink_to(path)
    edit_text(path, lambda _: NEW)
    assert other.read_text() == NEW
    assert path.samefile(other)


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES])
def test_a_file_that_nothing_can_replace_is_written_in_place(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config"
    path.write_text("a: 1\nand: more than will be written\n")
    path.chmod(0o640)
    before = path.stat().st_ino

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("kube_iam.files.os.replace", refuse)
    edit_text(path, lambda _: NEW)
    assert path.read_text() == NEW
    assert (path.stat().st_ino, stat.S_IMODE(path.stat().st_mode)) == (before, 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_another_error_of_the_replacement_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    path.write_text("a: 1\n")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("kube_iam.files.os.replace", refuse)
    with pytest.raises(KubeIamError, match=f"cannot write {path}: No space left on device"):
        edit_text(path, lambda _: NEW)
    assert path.read_text() == "a: 1\n"
    assert list(tmp_path.iterdir()) == [path]


EDIT = """
import sys
from pathlib import Path
from kube_iam.kube.files import check_edit, edit_text
check_edit(Path(sys.argv[1]), lambda _: "b: 2\\n")
edit_text(Path(sys.argv[1]), lambda _: "b: 2\\n")
"""
BIND = 'mount --bind "$1/file" "$1/mounted/config"'
READ_ONLY = f'mount --bind "$1/mounted" "$1/mounted" && mount -o remount,bind,ro "$1/mounted" && {BIND}'


@pytest.mark.parametrize("mounts", [BIND, READ_ONLY], ids=["a bind mount", "a bind mount in a read-only directory"])
def test_a_bind_mounted_file_is_written_in_place(mounts: str, tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "config").touch()
    (tmp_path / "file").write_text("a: 1\nand: more than will be written\n")
    script = f'({mounts}) || exit 99; exec "$2" -c "$3" "$1/mounted/config"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, EDIT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        not_applicable("there is no unshare")
    if "unshare failed" in done.stderr or done.returncode == 99:
        not_applicable("mounts cannot be made here")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "file").read_text() == NEW


def test_a_failed_write_in_place_puts_the_old_text_back(tmp_path: Path) -> None:
    path, other = tmp_path / "config", tmp_path / "dotfiles"
    path.write_text("a: 1\n")
    other.hardlink_to(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(KubeIamError, match=f"cannot write {path}: File too large"):
            edit_text(path, lambda _: NEW * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "a: 1\n"
