"""The one atomic write, the one lock, and private cache files of one user. On the `token` path.

A file is written beside its place and renamed into it: a reader sees the old content or the new one, never a part. Locks
end with the process that holds them. `FileLock` is for work that must not be done twice; readers never need one.
"""

import os
import time
from stat import S_ISDIR, S_ISREG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 64 * 1024
"""The most that is read of a private file, in bytes."""
_HEX = "0123456789abcdef"
# Windows has no owners and modes in this sense; a directory made with mode 0700 is the user's alone there too (since Python 3.11.10).
_POSIX = os.name == "posix"
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_POLL_SECONDS = 0.02


def write_file(
    path: "str | os.PathLike[str]",
    data: bytes,
    mode: int = 0o600,
    *,
    durable: bool = True,
    prepare: "Callable[[int], None] | None" = None,
) -> None:
    """Put the content at the path in one step. Raises OSError; nothing is left behind then.

    A device, pipe, socket or directory at the path, or behind a link there, is never replaced: that raises OSError too.
    The file has exactly `mode`, or what `prepare` gives its descriptor. Windows has no such modes: there a file is as private as its
    directory. `durable`: the content is on the disk before it replaces the old one.
    """
    _check_replaceable(path)
    directory, name = os.path.split(path)
    # `_is_ours` knows these names. The leading dot hides the file from programs that read a whole directory.
    aside = os.path.join(directory, f".{name}.{os.getpid()}.{os.urandom(6).hex()}")  # noqa: PTH118  (pathlib is too dear here)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if prepare is not None:
                prepare(descriptor)
            elif hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode)
            if durable:
                file.flush()
                os.fsync(descriptor)
        os.replace(aside, path)  # noqa: PTH105
    except BaseException:
        _remove(aside)
        raise


def _check_replaceable(path: "str | os.PathLike[str]") -> None:
    """Raise OSError where something other than a regular file is at the path. A rename would destroy a device node."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError:
        return
    if not S_ISREG(mode):
        from errno import EINVAL  # the `token` path does without it

        raise OSError(EINVAL, "it is not a regular file, and was not replaced")


class FileLock:
    """Lock of a file, which is made where there is none, or of a directory. `with FileLock(path):` holds it.

    Others wait for `patience` seconds and then go on without it. So does a process that cannot open or lock the path: Windows locks
    no directories, and some file systems lock nothing.
    """

    __slots__ = ("_descriptor", "_path", "_patience")

    def __init__(self, path: "str | os.PathLike[str]", patience: float = float("inf")) -> None:
        self._path = path
        self._patience = patience
        self._descriptor = -1

    def __enter__(self) -> None:
        try:
            self._descriptor = self._open()
        except OSError:
            return
        try:
            deadline = time.monotonic() + self._patience
            while not _locked(self._descriptor) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        if os.path.isdir(self._path):  # noqa: PTH112
            return os.open(self._path, os.O_RDONLY)
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
        return os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _locked(descriptor: int) -> bool:
    """Return whether the lock is held now, or cannot be held at all."""
    try:
        import fcntl
    except ImportError:
        return _locked_on_windows(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _locked_on_windows(descriptor: int) -> bool:
    try:
        import msvcrt
    except ImportError:
        return True
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


class PrivateFiles:
    """Private files in one directory. Only `names` raises: a directory that cannot be used counts as empty.

    `complaint` tells, after `read`, that a file was refused since others could have read or changed it.
    """

    __slots__ = ("complaint", "directory", "what")

    def __init__(self, directory: str, what: str) -> None:
        self.directory = directory
        self.what = what
        self.complaint = ""

    def read(self, name: str) -> bytes:
        """Return the file's content; empty where there is no file that only this user can have written and read."""
        if not self.directory or not _is_private_directory(self.directory):
            return b""
        path = self.path(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | _FLAGS | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return b""
        try:
            if not _is_private_file(os.fstat(descriptor)):
                self.complaint = f"the cached {self.what} {path} is not used: others could read or change it"
                return b""
            return os.read(descriptor, MAX_BYTES)
        except OSError:
            return b""
        finally:
            os.close(descriptor)

    def write(self, name: str, data: bytes, stale: float) -> bool:
        """Write the content; return False where that is not possible.

        Also removes files of ours that were last written before `stale` (unix seconds).
        """
        if not self.directory:
            return False
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)  # noqa: PTH103
            if not _is_private_directory(self.directory):
                return False
            self._remove_older(stale)
            write_file(self.path(name), data, durable=False)
        except OSError:
            return False
        return True

    def names(self) -> list[str]:
        """Return the names of our files in the directory, in no order. Raises OSError for one that cannot be listed."""
        if not self.directory:
            return []
        try:
            with os.scandir(self.directory) as entries:
                return [entry.name for entry in entries if _is_ours(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def path(self, name: str) -> str:
        """Return the path of the file of that name."""
        return os.path.join(self.directory, name)  # noqa: PTH118

    def _remove_older(self, stale: float) -> None:
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if _is_ours(entry.name) and _modified(entry) < stale:
                    _remove(entry.path)


def _is_private_file(status: os.stat_result) -> bool:
    if not S_ISREG(status.st_mode):
        return False
    return not _POSIX or (status.st_uid == os.geteuid() and not status.st_mode & 0o077)


def _is_private_directory(path: str) -> bool:
    """Return whether the directory is this user's alone. One of ours with a laxer mode is corrected first."""
    try:
        status = os.lstat(path)
        if not S_ISDIR(status.st_mode):
            return False
        if not _POSIX:
            return True
        if status.st_uid != os.geteuid():
            return False
        if status.st_mode & 0o077:
            os.chmod(path, 0o700)  # noqa: PTH101
    except OSError:
        return False
    return True


def _is_ours(name: str) -> bool:
    """Return whether `write` makes such names: a digest, or one beside it. The user may keep other files in the directory."""
    key, *aside = name.removeprefix(".").split(".")
    if (name[:1] == ".") != bool(aside) or len(key) != 40 or key.strip(_HEX):
        return False
    if not aside:
        return True
    return len(aside) == 2 and aside[0].isdigit() and len(aside[1]) == 12 and not aside[1].strip(_HEX)


def _modified(entry: os.DirEntry[str]) -> float:
    """Return the time when a file was last written. A file that another run has just renamed away is not old."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return float("inf")


def _remove(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        return
