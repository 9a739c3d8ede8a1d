"""Files that no crash leaves half written, and small private ones of one user. On the `token` path."""

import os
from stat import S_ISDIR, S_ISREG

MAX_BYTES = 64 * 1024
_HEX = "0123456789abcdef"
# Windows has no owners and modes in this sense; a directory made with mode 0700 is the user's alone there too (since Python 3.11.10).
_POSIX = os.name == "posix"
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class PrivateFiles:
    """The files in one directory. Nothing here raises: a directory that cannot be used is an empty one.

    `complaint` says, after `read`, that a file was refused since others could have read or changed it.
    """

    __slots__ = ("complaint", "directory", "what")

    def __init__(self, directory: str, what: str) -> None:
        self.directory = directory
        self.what = what
        self.complaint = ""

    def read(self, name: str) -> bytes:
        """The file's content; empty where there is no file that only we could have written and read."""
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
        """Keep the content; False where that is not possible. Also removes our files that were last written before `stale`."""
        if not self.directory:
            return False
        temporary = f"{self.path(name)}.{os.getpid()}.{os.urandom(6).hex()}"  # as `_is_ours` knows them
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)  # noqa: PTH103
            if not _is_private_directory(self.directory):
                return False
            self._remove_older(stale)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        except OSError:
            return False
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(temporary, self.path(name))  # noqa: PTH105
        except OSError:
            _remove(temporary)
            return False
        return True

    def names(self) -> list[str]:
        """The names of our files in the directory, in no order. Raises OSError for one that cannot be listed."""
        if not self.directory:
            return []
        try:
            with os.scandir(self.directory) as entries:
                return [entry.name for entry in entries if _is_ours(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def path(self, name: str) -> str:
        """Where the file of that name is."""
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
    """A directory of ours that nobody else may enter. One of ours with a laxer mode is put right."""
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
    """Whether `write` makes such names: `digest_of`'s, or one aside of it. Our directory may be one that the user keeps more in."""
    key, *aside = name.split(".")
    if len(key) != 40 or key.strip(_HEX):
        return False
    if not aside:
        return True
    return len(aside) == 2 and aside[0].isdigit() and len(aside[1]) == 12 and not aside[1].strip(_HEX)


def _modified(entry: os.DirEntry[str]) -> float:
    """When a file was last written. One that another run has just renamed away is not old."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return float("inf")


def _remove(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        return
