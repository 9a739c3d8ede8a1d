"""What is asked for, what is answered, and answers that are kept: tokens for roles, while half of their time is left.

A kept token is found only by whoever asks for the same in the same circumstances: its file's name is a digest over the request,
every `AWS_` variable (keys and session tokens among them) and what the AWS configuration files hold. What that rests on stands in
docs/decisions/0007-kept-tokens.md. On the `token` path: where a token is found, no more of `kube_iam.aws` is loaded than this.
"""

from kube_iam.aws.files import PrivateFiles, cache_directory, configuration_files
from kube_iam.core.sha256 import digest_of, sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER = "kube-iam token 1"
SWITCH = "KUBE_IAM_TOKEN_CACHE"
# How long a token is good whose session does not end before it (`core.mint.LIFETIME_SECONDS`, not worth an import here).
LIFETIME = 14 * 60
_STALE_SECONDS = 2 * LIFETIME
# A clock that was set back makes a token look younger than now; beyond this many seconds its times cannot be trusted.
_CLOCK_TOLERANCE = 300


class SignIn:
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


class Signed:
    """A token, from when and until when it is good (unix seconds), and a sentence that the person should see, if any."""

    __slots__ = ("complaint", "expires", "issued", "token")

    def __init__(self, token: str, issued: float, expires: float, complaint: str = "") -> None:
        self.token = token
        self.issued = issued
        self.expires = expires
        self.complaint = complaint

    def serves(self, now: float) -> bool:
        """Whether it may be handed out again: at least half of its time is left, and its times can be believed."""
        return self.issued - _CLOCK_TOLERANCE <= now <= self.expires - LIFETIME / 2

    def __repr__(self) -> str:
        return f"Signed(issued={self.issued!r}, expires={self.expires!r})"


class KeptTokens:
    """The token kept for one request in one environment. Where none may be kept, there is none and nothing is written."""

    __slots__ = ("_files", "_key")

    def __init__(self, request: SignIn, environ: "Mapping[str, str]") -> None:
        self._key = token_key(request, environ) if request.role and environ.get(SWITCH) != "0" else ""
        self._files = PrivateFiles(cache_directory(environ, "tokens") if self._key else "", "token")

    def load(self, now: float) -> Signed | None:
        """The token, if there is a private, undamaged file and the token may be handed out again."""
        found = decode(self._key, self._files.read(self._key))
        return found if found is not None and found.serves(now) else None

    def store(self, signed: Signed) -> None:
        """Keep the token if that is possible, and if its session does not end before it: that one is to be renewed first.

        Also adds to its complaint that a kept one was refused.
        """
        if signed.expires - signed.issued >= LIFETIME:
            self._files.write(self._key, encode(self._key, signed), signed.issued - _STALE_SECONDS)
        signed.complaint = signed.complaint or self._files.complaint


def token_key(request: SignIn, environ: "Mapping[str, str]") -> str:
    """The name of the file; empty where the configuration files cannot be read with certainty."""
    files = configuration_files(environ)
    if None in files:
        return ""
    variables = sorted(name for name in environ if name[:4] == "AWS_")
    return digest_of(
        request.cluster_id,
        request.role,
        request.external_id,
        request.session_name,
        request.mfa_serial,
        request.region,
        *(content or b"" for content in files),
        *(f"{name}={environ[name]}" for name in variables),
    )


def encode(key: str, signed: Signed) -> bytes:
    """The file's content: a line for each value, and a checksum over them. Under another name it is worth nothing."""
    body = f"{HEADER}\n{key}\n{int(signed.issued)}\n{signed.token}\n"
    return f"{body}{sha256_hex(body.encode())}\n".encode()


def decode(key: str, data: bytes) -> Signed | None:
    """The token in a file's content; None for anything that `encode` did not write for that key."""
    lines = data.split(b"\n")
    if len(lines) != 6 or lines[0] != HEADER.encode() or lines[1] != key.encode() or lines[5]:
        return None
    if lines[4] != sha256_hex(data[: -len(lines[4]) - 1]).encode():
        return None
    issued, token = lines[2:4]
    if not (data.isascii() and issued.isdigit() and token):
        return None
    return Signed(token.decode(), float(issued), float(issued) + LIFETIME)
