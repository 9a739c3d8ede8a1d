"""Sessions of assumed roles, kept on disk between runs, so that a warm `token` makes no network call. On the `token` path.

One small text file per session, readable by its owner alone. A file that others could have read or written, that is damaged or
whose session has ended is no session. Concurrent runs are safe: files are written aside and renamed into place.
"""

from __future__ import annotations

import os
import stat

from kube_iam.core.credentials import Credentials
from kube_iam.core.sigv4 import sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER = "kube-iam session 1"
MAX_BYTES = 64 * 1024
# A clock that was set back makes a session look younger than now; beyond this many seconds its times cannot be trusted.
_CLOCK_TOLERANCE = 300
# Sessions last 36 hours at most (GetSessionToken), so an older file has ended for certain.
_STALE_SECONDS = 36 * 3600 + 600
# Windows has no owners and modes in this sense; a directory made with mode 0700 is the user's alone there too (since Python 3.11.10).
_POSIX = os.name == "posix"
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class CachedSession:
    """A session with the time (unix seconds) at which it was made."""

    __slots__ = ("credentials", "expires", "issued")

    def __init__(self, credentials: Credentials, issued: float, expires: float) -> None:
        self.credentials = credentials
        self.issued = issued
        self.expires = expires

    def is_alive(self, now: float) -> bool:
        """Whether the session can be used at all."""
        return self.issued - _CLOCK_TOLERANCE <= now < self.expires

    def is_fresh(self, now: float) -> bool:
        """Whether at least a quarter of its time is left, so that there is no need to make a new one yet."""
        return self.is_alive(now) and self.expires - now >= (self.expires - self.issued) / 4


def cache_directory(environ: Mapping[str, str]) -> str:
    """Where sessions are kept; empty where there is no home directory to keep them in."""
    own = environ.get("KUBE_IAM_CACHE_DIR", "")
    if own:
        return os.path.join(os.path.abspath(own), "sessions")  # noqa: PTH100, PTH118  (pathlib is too dear here)
    base = environ.get("LOCALAPPDATA", "") if os.name == "nt" else environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # noqa: PTH117  (the XDG specification: a relative path is to be ignored)
        base = os.path.expanduser("~/.cache")  # noqa: PTH111
    return os.path.join(base, "kube-iam", "sessions") if os.path.isabs(base) else ""  # noqa: PTH117, PTH118


def cache_key(*parts: str) -> str:
    """The name of a session's file: a hash over everything that decides which session it is."""
    return sha256_hex("\0".join(f"{len(part)}:{part}" for part in parts).encode())[:40]


class SessionCache:
    """The sessions in one directory. Nothing here raises: a cache that cannot be used is an empty one.

    `complaint` says, after `load`, that a file was refused since others could have read or changed it.
    """

    __slots__ = ("complaint", "directory")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.complaint = ""

    def load(self, key: str, now: float) -> CachedSession | None:
        """The session of that key, if there is a private, undamaged file and the session has not ended."""
        path = self._path(key)
        if not self.directory or not _is_private_directory(self.directory):
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY | _FLAGS | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return None
        try:
            if not _is_private_file(os.fstat(descriptor)):
                self.complaint = f"the cached session {path} is not used: others could read or change it"
                return None
            data = os.read(descriptor, MAX_BYTES)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        session = decode(data)
        return session if session is not None and session.is_alive(now) else None

    def store(self, key: str, session: CachedSession) -> bool:
        """Keep the session; False where that is not possible. Also removes files of sessions that ended long ago."""
        if not self.directory:
            return False
        temporary = f"{self._path(key)}.{os.getpid()}.{os.urandom(6).hex()}"
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)  # noqa: PTH103
            if not _is_private_directory(self.directory):
                return False
            self._remove_stale(session.issued)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        except OSError:
            return False
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(encode(session))
            os.replace(temporary, self._path(key))  # noqa: PTH105
        except OSError:
            _remove(temporary)
            return False
        return True

    def lock_of(self, key: str) -> str:
        """The file to lock while a session of that key is being made; empty where there is no place for one."""
        base = os.path.dirname(self.directory)  # noqa: PTH120
        return os.path.join(base, "locks", key) if self.directory else ""  # noqa: PTH118

    def _path(self, key: str) -> str:
        return os.path.join(self.directory, key)  # noqa: PTH118

    def _remove_stale(self, now: float) -> None:
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if _modified(entry) < now - _STALE_SECONDS:
                    _remove(entry.path)


def encode(session: CachedSession) -> bytes:
    """The file's content: a line for each value, and a checksum over them."""
    keys = session.credentials
    lines = (HEADER, str(int(session.issued)), str(int(session.expires)), keys.access_key_id, keys.secret_access_key)
    body = "\n".join((*lines, keys.session_token, ""))
    return f"{body}{sha256_hex(body.encode())}\n".encode()


def decode(data: bytes) -> CachedSession | None:
    """The session in a file's content; None for anything that `encode` did not write."""
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError:
        return None
    if len(lines) != 8 or lines[0] != HEADER or lines[7]:
        return None
    body = "\n".join((*lines[:6], ""))
    if lines[6] != sha256_hex(body.encode()):
        return None
    issued, expires, key_id, secret, token = lines[1:6]
    if not (issued.isdigit() and expires.isdigit() and key_id and secret and token):
        return None
    end = float(expires)
    return CachedSession(Credentials(key_id, secret, token, end), float(issued), end)


def _is_private_file(status: os.stat_result) -> bool:
    if not stat.S_ISREG(status.st_mode):
        return False
    return not _POSIX or (status.st_uid == os.geteuid() and not status.st_mode & 0o077)


def _is_private_directory(path: str) -> bool:
    """A directory of ours that nobody else may enter. One of ours with a laxer mode is put right."""
    try:
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode):
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
