"""The twelve checks that a token must pass before STS is asked, in the order of docs/protocol.md, section 2.1.

The URL of a token is never forwarded. `CheckedToken.request_url` builds the request anew from the parts that were checked. So STS
cannot read a part of it in another way than the server did (CVE-2022-2385 in the reference, CVE-2020-16250 in Vault).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.sts_hosts import StsHosts
from kube_iam.core.tokens import CLUSTER_ID_HEADER, PREFIX

MAX_TOKEN = 16 * 1024
LIFETIME = 15 * 60
"""Seconds after X-Amz-Date for which STS accepts a presigned request. STS ignores X-Amz-Expires."""
CLOCK_SKEW = 5 * 60
"""Seconds by which the clock of a signer may be ahead of the server's."""


# The parameters that a GetCallerIdentity request may have, in the order of the URL.
CANONICAL_KEYS = (
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)
# `%` comes first, so that no escape is escaped again. Most values hold none but the three characters of base64.
_BASE64, _OTHERS = (
    tuple((char, f"%{ord(char):02X}") for char in chars) for chars in ("%/+=", " !\"#$&'()*,:;<>?@[\\]^`{|}")
)
_ENCODED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%"


@dataclass(frozen=True, slots=True, repr=False)
class CheckedToken:
    """The parts of a token that passed every check. `signed_at` is Unix seconds. A credential, so its `repr` shows nothing."""

    host: str
    region: str
    access_key_id: str
    signed_at: float
    _parameters: tuple[tuple[str, str], ...]

    def request_url(self) -> str:
        """Return the presigned URL, built from the checked parts. Never log it: it is a secret until it expires."""
        given = dict(self._parameters)
        query = "&".join([f"{key}={_encode(given[key])}" for key in CANONICAL_KEYS if key in given])
        return f"https://{self.host}/?{query}"

    def __repr__(self) -> str:
        return "CheckedToken(hidden)"


@dataclass(slots=True, repr=False)
class _Parse:
    """The parts of a token that earlier checks have parsed, for the later ones."""

    token: str
    hosts: StsHosts
    now: float
    url: bytes = b""
    scheme: str = ""
    authority: str = ""
    path: str = ""
    query: str = ""
    fragment: str = ""
    region: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    access_key_id: str = ""
    signed_at: float = 0.0


def check_token(token: str, *, hosts: StsHosts, now: float) -> CheckedToken | Refusal:
    """Return the checked parts of a token, or the refusal of the first check that fails. `now` is Unix seconds. Raises nothing."""
    parse = _Parse(token, hosts, now)
    for _, check in CHECKS:
        refusal = check(parse)
        if refusal is not None:
            return refusal
    return CheckedToken(
        parse.authority, parse.region, parse.access_key_id, parse.signed_at, tuple(parse.parameters.items())
    )


def _check_length(parse: _Parse) -> Refusal | None:
    """1. The token has at most 16 KiB."""
    return Refusal(Reason.TOKEN_TOO_LONG) if len(parse.token) > MAX_TOKEN else None


def _check_prefix(parse: _Parse) -> Refusal | None:
    """2. The token begins with `k8s-aws-v1.`"""
    return None if parse.token.startswith(PREFIX) else Refusal(Reason.TOKEN_PREFIX)


# `=` and the two characters in which base64 differs from base64url become `!`, which neither has.
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
# The valid last characters by length modulo 4: the unused bits are zero (RFC 4648, section 3.5). Otherwise several tokens would hold
# one URL, and the server would cache each as a token of its own.
_LAST = {0: None, 2: b"AQgw", 3: b"AEIMQUYcgkosw048"}


def _check_encoding(parse: _Parse) -> Refusal | None:
    """3. The rest is base64url without padding, in the one form that an encoder makes."""
    try:
        text = parse.token[len(PREFIX) :].encode("ascii")
        # A length of 4n+1 decodes to no whole number of bytes.
        if not text or len(text) % 4 == 1:
            return Refusal(Reason.TOKEN_ENCODING)
        last = _LAST[len(text) % 4]
        if last is not None and text[-1] not in last:
            return Refusal(Reason.TOKEN_ENCODING)
        padded = text.translate(_TO_BASE64) + b"=" * (-len(text) % 4)
        parse.url = binascii.a2b_base64(padded, strict_mode=True)
    except ValueError:
        return Refusal(Reason.TOKEN_ENCODING)
    return None


# The five parts of RFC 3986. Valid is printable ASCII without the characters that parsers disagree about (space, \, quotes, <>^`{|}).
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?",
    re.ASCII,
)
_ALPHANUMERIC = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_URL_CHARACTERS = _ALPHANUMERIC + b"-._~:/?#[]@!$&'()*+,;=%"


def _check_url(parse: _Parse) -> Refusal | None:
    """4. The decoded bytes are a URL."""
    others = parse.url.translate(None, _URL_CHARACTERS)
    url = None if others else _URL.fullmatch(parse.url.decode("ascii"))
    if url is None:
        return Refusal(Reason.NOT_A_URL)
    parse.scheme, parse.authority, parse.path = url["scheme"], url["authority"], url["path"]
    parse.query, parse.fragment = url["query"] or "", url["fragment"] or ""
    return None


def _check_scheme(parse: _Parse) -> Refusal | None:
    """5. The scheme is https, in any letter case: the request is built anew in lower case."""
    return None if parse.scheme.lower() == "https" else Refusal(Reason.URL_SCHEME)


def _check_host(parse: _Parse) -> Refusal | None:
    """6. The whole authority is an STS host of the server's partition."""
    region = parse.hosts.region_of(parse.authority)
    if region is None:
        # A message must not hold user info, so it holds the authority only where that is the name of a host.
        shown = parse.authority if _HOST_NAME.fullmatch(parse.authority) else ""
        return Refusal(Reason.URL_HOST, shown)
    parse.region = region
    return None


_HOST_NAME = re.compile(r"[A-Za-z0-9.-]{1,253}", re.ASCII)


def _check_path(parse: _Parse) -> Refusal | None:
    """7. The path is `/`, and there is no fragment."""
    return None if parse.path == "/" and not parse.fragment else Refusal(Reason.URL_PATH)


_KEYS = frozenset(CANONICAL_KEYS)
_LOWER_KEYS = {key.lower(): key for key in CANONICAL_KEYS}
# A name with escapes is not canonical, and may decode to a key that the query holds already.
_KEY_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
# `;` and `+` are invalid without an escape: some parsers read them as a separator and a space.
_QUERY_CHARACTERS = _ALPHANUMERIC + b"-._~/:=%&"
# Half an escape, or an escape of a character that is not printable ASCII.
_BAD_ESCAPE = re.compile(r"%(?![2-6][0-9A-Fa-f]|7[0-9A-Ea-e])", re.ASCII)


def _check_query(parse: _Parse) -> Refusal | None:
    """8. The query is well-formed. Each parameter is known, in that spelling, and stands once in any letter case."""
    if parse.query.encode().translate(None, _QUERY_CHARACTERS) or _BAD_ESCAPE.search(parse.query):
        return Refusal(Reason.QUERY_MALFORMED)
    for pair in parse.query.split("&"):
        key, _, value = pair.partition("=")
        if not value:
            return Refusal(Reason.QUERY_MALFORMED)
        if key not in _KEYS:
            return _no_key(key, parse.parameters)
        if key in parse.parameters:
            return Refusal(Reason.QUERY_REPEATED, key)
        parse.parameters[key] = _decode(value) if "%" in value else value
    return None


def _no_key(name: str, before: Container[str]) -> Refusal:
    """Return why this name is refused as the name of a parameter."""
    if not _KEY_NAME.fullmatch(name):
        return Refusal(Reason.QUERY_MALFORMED)
    key = _LOWER_KEYS.get(name.lower())
    if key is None:
        return Refusal(Reason.QUERY_UNKNOWN)
    if key in before:
        return Refusal(Reason.QUERY_REPEATED, key)
    # The signature covers the spelling that was sent, and in another letter case STS finds no such parameter.
    return Refusal(Reason.QUERY_MALFORMED)


def _decode(value: str) -> str:
    """Return the value without its escapes.

    A session token has about a thousand characters of base64, so the three escapes of base64 are replaced first, which is cheap.
    Their order does not matter, since none of the three characters can become part of an escape.
    """
    value = value.replace("%2F", "/").replace("%2B", "+").replace("%3D", "=")
    return unquote(value) if "%" in value else value


_CREDENTIAL = re.compile(r"([A-Za-z0-9_]{16,128})/([0-9]{8})/([a-z0-9-]+)/sts/aws4_request", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)


def _check_request(parse: _Parse) -> Refusal | None:
    """9. The request is GetCallerIdentity, signed with SigV4 for the region of the host and the day of the date."""
    given = parse.parameters.get
    if given("Action") != "GetCallerIdentity":
        return Refusal(Reason.URL_ACTION)
    if given("Version") != "2011-06-15":
        return Refusal(Reason.URL_VERSION)
    if given("X-Amz-Algorithm") != "AWS4-HMAC-SHA256":
        return Refusal(Reason.URL_ALGORITHM)
    credential = _CREDENTIAL.fullmatch(given("X-Amz-Credential", ""))
    if credential is None or credential[3] != parse.region:
        return Refusal(Reason.CREDENTIAL_SCOPE, f"requests to {parse.authority} are signed for {parse.region}")
    # Check 12 refuses a missing or malformed date. STS never verifies a scope of another day.
    date = given("X-Amz-Date", "")
    if _DATE.fullmatch(date) and date[:8] != credential[2]:
        return Refusal(Reason.CREDENTIAL_SCOPE, "the scope's day is not that of X-Amz-Date")
    if not _SIGNATURE.fullmatch(given("X-Amz-Signature", "")):
        return Refusal(Reason.SIGNATURE_MALFORMED)
    parse.access_key_id = credential[1]
    return None


# The server sends host, x-k8s-aws-id and accept, and no other header that could be signed. SDKs sign the first two. The reference
# accepts any other header, but STS cannot verify a header that was not sent. So the server refuses it here, with a reason.
# SigV4 has the list in lower case and sorted. For a list of another form STS computes another signature.
_SIGNED_HEADERS = ("host;x-k8s-aws-id", "accept;host;x-k8s-aws-id")


def _check_signed_headers(parse: _Parse) -> Refusal | None:
    """10. The header with the cluster id is signed, and only headers that the server sends."""
    signed = parse.parameters.get("X-Amz-SignedHeaders", "")
    if signed in _SIGNED_HEADERS:
        return None
    unsigned = CLUSTER_ID_HEADER not in signed.split(";")
    return Refusal(Reason.CLUSTER_HEADER_UNSIGNED if unsigned else Reason.SIGNED_HEADERS)


_EXPIRES = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def _check_expires(parse: _Parse) -> Refusal | None:
    """11. X-Amz-Expires is a whole number from 0 to 900. A sign and leading zeros are valid."""
    expires = parse.parameters.get("X-Amz-Expires", "")
    return None if _EXPIRES.fullmatch(expires) and 0 <= int(expires) <= 900 else Refusal(Reason.URL_EXPIRES)


_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z", re.ASCII)


def _check_date(parse: _Parse) -> Refusal | None:
    """12. X-Amz-Date is a time at most 15 minutes in the past and at most 5 minutes in the future."""
    date = parse.parameters.get("X-Amz-Date")
    if date is None:
        return Refusal(Reason.DATE_MISSING)
    signed_at = _unix_time(date)
    if signed_at is None:
        return Refusal(Reason.DATE_MALFORMED)
    age = parse.now - signed_at
    if age > LIFETIME:
        return Refusal(Reason.TOKEN_EXPIRED, f"signed at {date}, {age / 60:.0f} minutes ago")
    if age < -CLOCK_SKEW:
        return Refusal(Reason.DATE_IN_FUTURE, f"signed at {date}, {-age / 60:.0f} minutes ahead")
    parse.signed_at = signed_at
    return None


def _unix_time(date: str) -> float | None:
    parts = _DATE.fullmatch(date)
    if parts is None:
        return None
    year, month, day, hour, minute, second = map(int, parts.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


CHECKS: tuple[tuple[int, Callable[[_Parse], Refusal | None]], ...] = (
    (1, _check_length),
    (2, _check_prefix),
    (3, _check_encoding),
    (4, _check_url),
    (5, _check_scheme),
    (6, _check_host),
    (7, _check_path),
    (8, _check_query),
    (9, _check_request),
    (10, _check_signed_headers),
    (11, _check_expires),
    (12, _check_date),
)
"""The checks of docs/protocol.md, section 2.1, each with its number there."""


def _encode(value: str) -> str:
    """Return a printable ASCII value in the encoding of SigV4: all but the unreserved characters of RFC 3986 become `%XX`."""
    if value.isalnum():
        return value
    for char, escape in _BASE64:
        if char in value:
            value = value.replace(char, escape)
    if not value.encode().translate(None, _ENCODED):
        return value
    for char, escape in _OTHERS:
        if char in value:
            value = value.replace(char, escape)
    return value
