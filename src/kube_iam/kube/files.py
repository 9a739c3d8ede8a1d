"""Edits of a text file that never leave half a file and never lose what someone else wrote in between."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kube_iam.errors import ConfigError, Conflict, KubeIamError, Problem

try:
    import fcntl
except ImportError:  # Windows has no flock; comparing before the replacement is left
    fcntl = None  # type: ignore[assignment]

ATTEMPTS = 20


def read_text(path: Path) -> str | None:
    """The file's text with its line ends as they are, None where there is no file. Raises ConfigError when it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [Problem("", "is not UTF-8 text")]) from error
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"cannot be read: {error.strerror or error}")]) from error


def edit_text(path: Path, edit: Callable[[str | None], str | None], new_mode: int = 0o600) -> None:
    """Replace the file's text by what `edit` makes of it (None: there is no file; an answer of None: leave it).

    The replacement is atomic and keeps mode and owner; a symbolic link stays one. When the text changes while `edit` works, the
    edit is made again on the new text. Raises Conflict when that never ends, KubeIamError when the file cannot be written.
    """
    path = Path(os.path.realpath(path))
    try:
        for _ in range(ATTEMPTS):
            before = read_text(path)
            after = edit(before)
            if after is None or after == before:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path.parent):
                if read_text(path) == before:
                    _replace(path, after, new_mode)
                    return
    except OSError as error:
        raise KubeIamError(f"cannot write {path}: {error.strerror or error}") from error
    raise Conflict(f"{path} keeps changing while it is edited", "find out what else writes it, and repeat the command")


def check_edit(path: Path, edit: Callable[[str | None], str | None]) -> None:
    """Make the edit without writing it. Raises what `edit` raises, and KubeIamError where the file could not be replaced.

    A replacement needs the directory alone; directories that are missing would be created.
    """
    path = Path(os.path.realpath(path))
    before = read_text(path)
    after = edit(before)
    directory = next(each for each in path.parents if each.exists())
    if after is None or after == before or (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
        return
    raise KubeIamError(f"cannot write {path}: {directory} is not a directory that you may write to")


def _replace(path: Path, text: str, new_mode: int) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
            _dress_like(path, file.fileno(), new_mode)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _dress_like(path: Path, descriptor: int, new_mode: int) -> None:
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


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory's advisory lock, so that two of us do not compare and replace at once."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
