"""Sessions of assumed roles, kept on disk between runs, so that a warm `token` makes no network call. On the `token` path.

One small text file per session (`files`). One that is damaged or whose session has ended is no session.
"""

import os

from kube_iam.aws.files import PrivateFiles
from kube_iam.core.credentials import Credentials
from kube_iam.core.sha256 import sha256_hex

HEADER = "kube-iam session 2"
# A clock that was set back makes a session look younger than now; beyond this many seconds its times cannot be trusted.
CLOCK_TOLERANCE = 300
# Sessions last 36 hours at most (GetSessionToken), so an older file has ended for certain.
_STALE_SECONDS = 36 * 3600 + 600


class CachedSession:
    """A session with the time (unix seconds) at which it was made.

    `expires` is its own end, or the time until which it may be cached where that comes first. `role` is the ARN of the assumed role
    and `role_id` the role's unique id (`AROA…`, another one for a role that was deleted and created again); both are empty for the
    caller's own session.
    """

    __slots__ = ("credentials", "expires", "issued", "role", "role_id")

    def __init__(
        self, credentials: Credentials, issued: float, expires: float, role: str = "", role_id: str = ""
    ) -> None:
        self.credentials = credentials
        self.issued = issued
        self.expires = expires
        self.role = role
        self.role_id = role_id

    def is_alive(self, now: float) -> bool:
        """Whether the session can be used at all."""
        return self.issued - CLOCK_TOLERANCE <= now < self.expires

    def is_fresh(self, now: float) -> bool:
        """Whether at least a quarter of its time is left, so that there is no need to make a new one yet."""
        return self.is_alive(now) and self.expires - now >= (self.expires - self.issued) / 4


class SessionCache:
    """The sessions in one directory. Nothing here raises: a cache that cannot be used is an empty one."""

    __slots__ = ("_files",)

    def __init__(self, directory: str) -> None:
        self._files = PrivateFiles(directory, "session")

    @property
    def directory(self) -> str:
        """Where they are kept; empty where there is no place for them."""
        return self._files.directory

    @property
    def complaint(self) -> str:
        """Says, after `load`, that a file was refused since others could have read or changed it."""
        return self._files.complaint

    def load(self, key: str, now: float) -> CachedSession | None:
        """The session of that key, if there is a private, undamaged file and the session has not ended. None for an empty key."""
        session = decode(key, self._files.read(key)) if key else None
        return session if session is not None and session.is_alive(now) else None

    def store(self, key: str, session: CachedSession) -> bool:
        """Keep the session; False where that is not possible. Also removes files of sessions that ended long ago."""
        return bool(key) and self._files.write(key, encode(key, session), session.issued - _STALE_SECONDS)

    def lock_of(self, key: str) -> str:
        """The file to lock while a session of that key is being made; empty where there is no place for one."""
        base = os.path.dirname(self.directory)  # noqa: PTH120
        return os.path.join(base, "locks", key) if self.directory and key else ""  # noqa: PTH118


def encode(key: str, session: CachedSession) -> bytes:
    """The file's content: a line for each value, and a checksum over them. Under another name it is worth nothing."""
    keys = session.credentials
    lines = (HEADER, key, session.role, session.role_id, str(int(session.issued)), str(int(session.expires)))
    body = "\n".join((*lines, keys.access_key_id, keys.secret_access_key, keys.session_token, ""))
    return f"{body}{sha256_hex(body.encode())}\n".encode()


def decode(key: str, data: bytes) -> CachedSession | None:
    """The session in a file's content; None for anything that `encode` did not write for that key."""
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError:
        return None
    if len(lines) != 11 or lines[0] != HEADER or lines[1] != key or lines[10]:
        return None
    body = "\n".join((*lines[:9], ""))
    if lines[9] != sha256_hex(body.encode()):
        return None
    role, role_id, issued, expires, key_id, secret, token = lines[2:9]
    if not (issued.isdigit() and expires.isdigit() and key_id and secret and token):
        return None
    end = float(expires)
    return CachedSession(Credentials(key_id, secret, token, end), float(issued), end, role, role_id)
