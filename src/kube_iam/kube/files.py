"""Edits of a text file that leave no incomplete file and lose no edit of another program."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from kube_iam.errors import ConfigError, Conflict, KubeIamError, Problem
from kube_iam.files import FileLock, write_file

ATTEMPTS = 20
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)
_NOT_REPLACEABLE = frozenset((errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS))
"""Errors of a rename onto a mount point, and of creating a file in a directory that is read-only or belongs to others."""


def read_text(path: Path) -> str | None:
    """Return the file's text with its line ends as they are, or None without a file.

    Raises ConfigError when it cannot be read. Only regular files are opened: a read of a named pipe waits for ever, and opening a
    device can change it.
    """
    try:
        _check_regular(path)
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [Problem("", "is not UTF-8 text")]) from error
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"cannot be read: {error.strerror or error}")]) from error


def _check_regular(path: Path) -> None:
    """Raise ConfigError unless the path is a regular file or a link to one, OSError where that cannot be checked."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        what = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise ConfigError(str(path), [Problem("", f"is {what}, not a regular file", "it was not opened; name a file")])


def edit_text(path: Path, edit: Callable[[str | None], str | None], new_mode: int = 0o600) -> None:
    """Replace the file's text by the result of `edit`, which gets None without a file and may return None for no change.

    The replacement is atomic and keeps mode and owner. A symbolic link stays one. A file that cannot be replaced (bind mounts,
    read-only directories) or must not be (hard links) is written in place. When the text changes during `edit`, the edit is made again
    on the new text. Raises Conflict after 20 attempts, ConfigError for a path that is no regular file, KubeIamError when the file
    cannot be written.
    """
    path = Path(os.path.realpath(path))
    try:
        for _ in range(ATTEMPTS):
            before = read_text(path)
            after = edit(before)
            if after is None or after == before:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.parent):  # two of us must not compare and replace at once
                if read_text(path) == before:
                    _replace(path, after, new_mode)
                    return
    except OSError as error:
        raise KubeIamError(f"cannot write {path}: {error.strerror or error}") from error
    raise Conflict(f"{path} keeps changing while it is edited", "find out what else writes it, and repeat the command")


def check_edit(path: Path, edit: Callable[[str | None], str | None]) -> None:
    """Compute the edit without writing it. Raises what `edit` raises, and KubeIamError where the file could not be written.

    A replacement needs a writable directory, a write in place a writable file. Missing directories would be created.
    """
    path = Path(os.path.realpath(path))
    before = read_text(path)
    after = edit(before)
    directory = next(each for each in path.parents if each.exists())
    if after is None or after == before or (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
        return
    if before is not None and os.access(path, os.W_OK):
        return
    raise KubeIamError(f"cannot write {path}: {directory} is not a directory that you may write to")


def _replace(path: Path, text: str, new_mode: int) -> None:
    data = text.encode("utf-8")
    exists = path.exists()
    if exists and path.stat().st_nlink > 1:
        _overwrite(path, data)
        return
    try:
        write_file(path, data, prepare=lambda descriptor: _copy_mode_and_owner(path, descriptor, new_mode))
    except OSError as error:
        if not exists or error.errno not in _NOT_REPLACEABLE:
            raise
        _overwrite(path, data)


def _overwrite(path: Path, data: bytes) -> None:
    """Write into the file itself. Readers may see an incomplete file. After an error the old content is restored."""
    with path.open("r+b", buffering=0) as file:
        before = file.readall()
        try:
            _fill(file, data)
        except BaseException:
            _fill(file, before)
            raise


def _fill(file: FileIO, data: bytes) -> None:
    file.seek(0)
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    file.truncate(len(data))
    os.fsync(file.fileno())


def _copy_mode_and_owner(path: Path, descriptor: int, new_mode: int) -> None:
    """Give the new file the mode and owner of the old one."""
    if not hasattr(os, "fchmod"):
        return
    try:
        old = path.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, new_mode)
        return
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
