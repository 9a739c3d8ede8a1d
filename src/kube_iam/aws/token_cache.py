"""What is asked for, what is answered, and answers that are kept: tokens for roles, while half of their time is left.

A kept token is found only by a caller that asks for the same in the same circumstances: its file's name is a digest over the request
and all that decides who signs (`caller_key`). What that rests on stands in
docs/decisions/0007-token-cache.md.

On the `token` path: where a token is found, no more of `kube_iam.aws` is loaded than this.
"""

from kube_iam.aws.caller_key import caller_key
from kube_iam.aws.files import PrivateFiles, cache_directory
from kube_iam.core.sha256 import digest_of, sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER = "kube-iam token 2"
SWITCH = "KUBE_IAM_TOKEN_CACHE"
# How long a token is good whose session does not end before it (`core.mint.LIFETIME_SECONDS`, not worth an import here).
LIFETIME = 14 * 60
_STALE_SECONDS = 2 * LIFETIME
# A clock that was set back makes a token look younger than now; beyond this many seconds its times cannot be trusted.
_CLOCK_TOLERANCE = 300


class TokenRequest:
    """What is asked for; empty texts where nothing is. `interactive`: a person may be asked for an MFA code on the terminal."""

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
        cache: bool = False,
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
    """A token, from when and until when it is good (unix seconds), and a sentence that the person should see, if any."""

    __slots__ = ("complaint", "expires", "issued", "token")

    def __init__(self, token: str, issued: float, expires: float, complaint: str = "") -> None:
        self.token = token
        self.issued = issued
        self.expires = expires
        self.complaint = complaint

    def is_reusable(self, now: float) -> bool:
        """Whether it may be handed out again: at least half of its time is left, and its times can be believed."""
        return self.issued - _CLOCK_TOLERANCE <= now <= self.expires - LIFETIME / 2

    def __repr__(self) -> str:
        return f"IssuedToken(issued={self.issued!r}, expires={self.expires!r})"


class TokenCache:
    """The token kept for one request in one environment. Where none may be kept, there is none and nothing is written."""

    __slots__ = ("_environ", "_files", "_key", "_request")

    def __init__(self, request: TokenRequest, environ: "Mapping[str, str]") -> None:
        self._request = request
        self._environ = environ
        self._key = token_key(request, environ) if request.role and environ.get(SWITCH) != "0" else ""
        self._files = PrivateFiles(cache_directory(environ, "tokens") if self._key else "", "token")

    def load(self, now: float) -> IssuedToken | None:
        """The token, if there is a private, undamaged file and the token may be handed out again."""
        found = decode(self._key, self._files.read(self._key))
        return found if found is not None and found.is_reusable(now) else None

    def store(self, token: IssuedToken) -> None:
        """Keep the token if that is possible, and if its session does not end before it: that one is to be renewed first.

        Nothing is kept where what decides who signs has changed since the token was asked for: it may be somebody else's. Also adds
        to the token's complaint that a kept one was refused.
        """
        if token.expires - token.issued >= LIFETIME and self._key == token_key(self._request, self._environ):
            data = encode(self._key, self._request.role, token)
            self._files.write(self._key, data, token.issued - _STALE_SECONDS)
        token.complaint = token.complaint or self._files.complaint


def token_key(request: TokenRequest, environ: "Mapping[str, str]") -> str:
    """The name of the file; empty where not all that decides who signs can be read."""
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


def encode(key: str, role: str, token: IssuedToken) -> bytes:
    """The file's content: a line for each value, and a checksum over them. Under another name it is worth nothing."""
    body = f"{HEADER}\n{key}\n{role}\n{int(token.issued)}\n{token.token}\n"
    return f"{body}{sha256_hex(body.encode())}\n".encode()


def decode(key: str, data: bytes) -> IssuedToken | None:
    """The token in a file's content; None for anything that `encode` did not write for that key."""
    lines = data.split(b"\n")
    if len(lines) != 7 or lines[0] != HEADER.encode() or lines[1] != key.encode() or lines[6]:
        return None
    if lines[5] != sha256_hex(data[: -len(lines[5]) - 1]).encode():
        return None
    issued, token = lines[3:5]
    if not (data.isascii() and issued.isdigit() and token):
        return None
    return IssuedToken(token.decode(), float(issued), float(issued) + LIFETIME)


def role_of(data: bytes) -> str:
    """The role that the token in a file's content is for; empty where the content is no token's."""
    lines = data.split(b"\n")
    whole = len(lines) == 7 and data.isascii() and decode(lines[1].decode(), data) is not None
    return lines[2].decode() if whole else ""
