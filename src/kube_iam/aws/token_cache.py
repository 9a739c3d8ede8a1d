"""Caches on disk of tokens for roles, of sessions and of endpoints, so that a warm `token` makes no call. On the `token` path.

A cached token is found only by the same request in the same environment: the name of its file is a digest over the request and
everything that decides who signs (`caller_key`). The reasons are in docs/decisions/0007-token-cache.md. Each token and session is one
small text file (`kube_iam.files`). A damaged file, or one of a session that has ended, counts as none.
"""

import os

from kube_iam.aws.environment import cache_directory, caller_key
from kube_iam.core.tokens import LIFETIME_SECONDS, digest_of, sha256_hex
from kube_iam.files import PrivateFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kube_iam.core.credentials import Credentials

TOKENS_HEADER = "kube-iam token 2"
SESSIONS_HEADER = "kube-iam session 2"
ENDPOINTS_HEADER = "kube-iam endpoint 1"
SWITCH = "KUBE_IAM_TOKEN_CACHE"
SESSION_SWITCH = "KUBE_IAM_SESSION_CACHE"
_STALE_TOKEN_SECONDS = 2 * LIFETIME_SECONDS
# Sessions last 36 hours at most (GetSessionToken), so an older file has ended for certain.
_STALE_SESSION_SECONDS = 36 * 3600 + 600
# A clock that was set back makes a token look younger than now; beyond this many seconds its times cannot be trusted.
_CLOCK_TOLERANCE = 300


class TokenRequest:
    """Request for a token, with empty texts for what is not given.

    `cache`: sessions and tokens may be read from disk and written to it. `interactive`: the user may be asked for an MFA code.
    """

    __slots__ = ("cache", "cluster_id", "external_id", "interactive", "mfa_serial", "region", "role", "session_name")

    def __init__(
        self,
        cluster_id: str,
        *,
        role: str = "",
        external_id: str = "",
        session_name: str = "",
        mfa_serial: str = "",
        region: str = "",
        cache: bool = True,
        interactive: bool = True,
    ) -> None:
        self.cluster_id = cluster_id
        self.role = role
        self.external_id = external_id
        self.session_name = session_name
        self.mfa_serial = mfa_serial
        self.region = region
        self.cache = cache
        self.interactive = interactive


class IssuedToken:
    """A token with its validity (`issued` to `expires`, unix seconds), and a complaint for the user, mostly empty."""

    __slots__ = ("complaint", "expires", "issued", "token")

    def __init__(self, token: str, issued: float, expires: float, complaint: str = "") -> None:
        self.token = token
        self.issued = issued
        self.expires = expires
        self.complaint = complaint

    def is_reusable(self, now: float) -> bool:
        """Return whether the token may be used again: at least half of its time is left, and its times are plausible."""
        return self.issued - _CLOCK_TOLERANCE <= now <= self.expires - LIFETIME_SECONDS / 2

    def __repr__(self) -> str:
        return f"IssuedToken(issued={self.issued!r}, expires={self.expires!r})"


class TokenCache:
    """The cached token of one request in one environment. Where none may be cached, there is none and nothing is written."""

    __slots__ = ("_environ", "_files", "_key", "_request")

    def __init__(self, request: TokenRequest, environ: "Mapping[str, str]") -> None:
        self._request = request
        self._environ = environ
        allowed = request.role and request.cache and environ.get(SWITCH) != "0"
        self._key = token_key(request, environ) if allowed else ""
        self._files = PrivateFiles(cache_directory(environ, "tokens") if self._key else "", "token")

    def load(self, now: float) -> IssuedToken | None:
        """Return the token if its file is private and undamaged, and the token may be used again; else None."""
        found = decode_token(self._key, self._files.read(self._key))
        return found if found is not None and found.is_reusable(now) else None

    def store(self, token: IssuedToken) -> None:
        """Cache the token unless its session ends before it: such a session is to be renewed first.

        Nothing is cached where the caller's configuration has changed since the request: the token may be another caller's. The
        token's complaint also tells that a cached file was refused. Raises nothing.
        """
        if token.expires - token.issued >= LIFETIME_SECONDS and self._key == token_key(self._request, self._environ):
            data = encode_token(self._key, self._request.role, token)
            self._files.write(self._key, data, token.issued - _STALE_TOKEN_SECONDS)
        token.complaint = token.complaint or self._files.complaint


class EndpointCache:
    """The STS endpoint of one request in one environment, where only botocore or instance metadata can find it.

    What the endpoint depends on is in the name of the file, like the configuration files and the machine's start.
    """

    __slots__ = ("_environ", "_files", "_key", "_region")

    def __init__(self, request: TokenRequest, environ: "Mapping[str, str]") -> None:
        self._region = request.region
        self._environ = environ
        self._key = self._compute_key() if request.cache else ""
        self._files = PrivateFiles(cache_directory(environ, "endpoints") if self._key else "", "endpoint")

    def load(self) -> "tuple[str, str] | None":
        """Return region and host if the file is private and undamaged, else None."""
        values = _unseal(ENDPOINTS_HEADER, self._key, self._files.read(self._key))
        return (values[0], values[1]) if values is not None and len(values) == 2 else None

    def store(self, region: str, host: str, now: float) -> None:
        """Keep the endpoint, unless the configuration changed while it was looked up. Raises nothing."""
        if self._key and self._key == self._compute_key():
            self._files.write(self._key, _seal(ENDPOINTS_HEADER, self._key, region, host), now - _STALE_SESSION_SECONDS)

    def _compute_key(self) -> str:
        caller = caller_key(self._environ)
        return digest_of("endpoint", self._region, caller) if caller else ""


def token_key(request: TokenRequest, environ: "Mapping[str, str]") -> str:
    """Return the name of the file; empty where a part of what decides who signs cannot be read."""
    caller = caller_key(environ)
    if not caller:
        return ""
    return digest_of(
        request.cluster_id,
        request.role,
        request.external_id,
        request.session_name,
        request.mfa_serial,
        request.region,
        caller,
    )


def encode_token(key: str, role: str, token: IssuedToken) -> bytes:
    """Return the file's content. It is valid under that name only."""
    return _seal(TOKENS_HEADER, key, role, str(int(token.issued)), token.token)


def decode_token(key: str, data: bytes) -> IssuedToken | None:
    """Return the token in a file's content; None for anything that `encode_token` did not write for that key."""
    values = _unseal(TOKENS_HEADER, key, data)
    if values is None or len(values) != 3:
        return None
    _, issued, token = values
    if not (issued.isdigit() and token):
        return None
    return IssuedToken(token, float(issued), float(issued) + LIFETIME_SECONDS)


def role_of_token(data: bytes) -> str:
    """Return the role of the token in a file's content, whatever the file's name; empty where the content is no token's."""
    key = data.split(b"\n", 2)[1].decode("ascii", "replace") if b"\n" in data else ""
    values = _unseal(TOKENS_HEADER, key, data)
    return values[0] if values is not None and decode_token(key, data) is not None else ""


def _seal(header: str, key: str, *values: str) -> bytes:
    """Return a file's content: a line for each value, and a checksum over them."""
    body = "\n".join((header, key, *values, ""))
    return f"{body}{sha256_hex(body.encode())}\n".encode()


def _unseal(header: str, key: str, data: bytes) -> "list[str] | None":
    """Return the values in a file's content; None for anything that `_seal` did not write with that header for that key."""
    if not data.isascii():
        return None
    body, end, checksum = data.decode().removesuffix("\n").rpartition("\n")
    found, name, *values = body.split("\n") if end and data.endswith(b"\n") and "\n" in body else ("", "")
    if found != header or name != key or checksum != sha256_hex(f"{body}\n".encode()):
        return None
    return values


class CachedSession:
    """A session with the time (unix seconds) at which it was made.

    `expires` is its own end, or the time until which it may be cached where that comes first. `role` is the ARN of the assumed role
    and `role_id` the role's unique id (`AROA…`, another one for a role that was deleted and created again); both are empty for the
    caller's own session.
    """

    __slots__ = ("credentials", "expires", "issued", "role", "role_id")

    def __init__(
        self, credentials: "Credentials", issued: float, expires: float, role: str = "", role_id: str = ""
    ) -> None:
        self.credentials = credentials
        self.issued = issued
        self.expires = expires
        self.role = role
        self.role_id = role_id

    def is_alive(self, now: float) -> bool:
        """Return whether the session can be used at all."""
        return self.issued - _CLOCK_TOLERANCE <= now < self.expires

    def is_fresh(self, now: float) -> bool:
        """Return whether at least a quarter of its time is left, so that no new one is needed yet."""
        return self.is_alive(now) and self.expires - now >= (self.expires - self.issued) / 4


class SessionCache:
    """The sessions in one directory. Nothing here raises: a cache that cannot be used is an empty one."""

    __slots__ = ("_files",)

    def __init__(self, directory: str) -> None:
        self._files = PrivateFiles(directory, "session")

    @property
    def directory(self) -> str:
        """The directory of the files; empty where there is no place for them."""
        return self._files.directory

    @property
    def complaint(self) -> str:
        """The sentence, after `load`, that a file was refused since others could have read or changed it."""
        return self._files.complaint

    def load(self, key: str, now: float) -> CachedSession | None:
        """Return the session of that key if its file is private and undamaged, and the session has not ended; else None."""
        session = decode_session(key, self._files.read(key)) if key else None
        return session if session is not None and session.is_alive(now) else None

    def store(self, key: str, session: CachedSession) -> bool:
        """Cache the session; return False where that is not possible. Also removes files of sessions that ended long ago."""
        return bool(key) and self._files.write(
            key, encode_session(key, session), session.issued - _STALE_SESSION_SECONDS
        )

    def lock_of(self, key: str) -> str:
        """Return the file to lock while a session of that key is being made; empty where there is no place for one."""
        base = os.path.dirname(self.directory)  # noqa: PTH120
        return os.path.join(base, "locks", key) if self.directory and key else ""  # noqa: PTH118


def encode_session(key: str, session: CachedSession) -> bytes:
    """Return the file's content. It is valid under that name only."""
    keys = session.credentials
    times = (str(int(session.issued)), str(int(session.expires)))
    secrets = (keys.access_key_id, keys.secret_access_key, keys.session_token)
    return _seal(SESSIONS_HEADER, key, session.role, session.role_id, *times, *secrets)


def decode_session(key: str, data: bytes) -> CachedSession | None:
    """Return the session in a file's content; None for anything that `encode_session` did not write for that key."""
    values = _unseal(SESSIONS_HEADER, key, data)
    if values is None or len(values) != 7:
        return None
    role, role_id, issued, expires, key_id, secret, token = values
    if not (issued.isdigit() and expires.isdigit() and key_id and secret and token):
        return None
    from kube_iam.core.credentials import Credentials

    end = float(expires)
    return CachedSession(Credentials(key_id, secret, token, end), float(issued), end, role, role_id)
