"""The twelve checks that a token must pass before STS is asked, in the order of docs/protocol.md, section 2.1.

What passes is not forwarded: `CheckedToken.request_url` builds the request anew from the parts that were checked, so that no part
which the server understands one way and STS another ever leaves (CVE-2022-2385 here, CVE-2020-16250 in Vault).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from kube_iam.core.checked_token import CANONICAL_KEYS, CheckedToken
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.sts_hosts import StsHosts
from kube_iam.core.tokens import CLUSTER_ID_HEADER, PREFIX

__all__ = ["CHECKS", "CheckedToken", "check_token"]

MAX_TOKEN = 16 * 1024
LIFETIME = 15 * 60
"""Seconds after X-Amz-Date for which STS takes a presigned request, whatever X-Amz-Expires says."""
CLOCK_SKEW = 5 * 60
"""Seconds that a signer's clock may be ahead of ours."""


@dataclass(slots=True, repr=False)
class _Parse:
    """What the checks before have found out, for the checks after."""

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
    """The checked parts of a token, or the first check's refusal. `now` is in unix seconds."""
    parse = _Parse(token, hosts, now)
    for _, check in CHECKS:
        refusal = check(parse)
        if refusal is not None:
            return refusal
    return CheckedToken(
        parse.authority, parse.region, parse.access_key_id, parse.signed_at, tuple(parse.parameters.items())
    )


def _check_length(parse: _Parse) -> Refusal | None:
    """1. At most 16 KiB."""
    return Refusal(Reason.TOKEN_TOO_LONG) if len(parse.token) > MAX_TOKEN else None


def _check_prefix(parse: _Parse) -> Refusal | None:
    """2. Begins with `k8s-aws-v1.`"""
    return None if parse.token.startswith(PREFIX) else Refusal(Reason.TOKEN_PREFIX)


# The padding and the two characters in which base64 differs from base64url become ones that neither has.
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
# What the last character may be, by the length modulo 4: its unused bits are zero (RFC 4648, section 3.5). With others, one URL would
# be in several tokens, each remembered as another one.
_LAST = {0: None, 2: b"AQgw", 3: b"AEIMQUYcgkosw048"}


def _check_encoding(parse: _Parse) -> Refusal | None:
    """3. The rest is unpadded base64url, in the one form that an encoder makes of its bytes."""
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


# RFC 3986's five parts. Only printable ASCII, and none of the characters that parsers disagree about (space, \, quotes, <>^`{|}).
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?",
    re.ASCII,
)
_ALPHANUMERIC = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_URL_CHARACTERS = _ALPHANUMERIC + b"-._~:/?#[]@!$&'()*+,;=%"


def _check_url(parse: _Parse) -> Refusal | None:
    """4. Which holds a URL."""
    # What is left when these characters are taken away.
    others = parse.url.translate(None, _URL_CHARACTERS)
    url = None if others else _URL.fullmatch(parse.url.decode("ascii"))
    if url is None:
        return Refusal(Reason.NOT_A_URL)
    parse.scheme, parse.authority, parse.path = url["scheme"], url["authority"], url["path"]
    parse.query, parse.fragment = url["query"] or "", url["fragment"] or ""
    return None


def _check_scheme(parse: _Parse) -> Refusal | None:
    """5. Of scheme https, in whatever letter case: the request is built anew with ours."""
    return None if parse.scheme.lower() == "https" else Refusal(Reason.URL_SCHEME)


def _check_host(parse: _Parse) -> Refusal | None:
    """6. Whose whole authority is an STS host of our partition."""
    region = parse.hosts.region_of(parse.authority)
    if region is None:
        # Neither userinfo nor anything else that is not a host's name belongs in a message.
        shown = parse.authority if _HOST_NAME.fullmatch(parse.authority) else ""
        return Refusal(Reason.URL_HOST, shown)
    parse.region = region
    return None


_HOST_NAME = re.compile(r"[A-Za-z0-9.-]{1,253}", re.ASCII)


def _check_path(parse: _Parse) -> Refusal | None:
    """7. With the path `/` and no fragment."""
    return None if parse.path == "/" and not parse.fragment else Refusal(Reason.URL_PATH)


_KEYS = frozenset(CANONICAL_KEYS)
_LOWER_KEYS = {key.lower(): key for key in CANONICAL_KEYS}
# Key names are plain: an encoded one is not canonical, and may decode to a key that is there already.
_KEY_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
# `;` and `+` are refused raw, since parsers disagree about them (a separator, a space).
_QUERY_CHARACTERS = _ALPHANUMERIC + b"-._~/:=%&"
# Escapes of anything but printable ASCII are as malformed as half an escape.
_BAD_ESCAPE = re.compile(r"%(?![2-6][0-9A-Fa-f]|7[0-9A-Ea-e])", re.ASCII)


def _check_query(parse: _Parse) -> Refusal | None:
    """8. Its query is well-formed; each parameter is known and there once, in whatever case."""
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
    """Why the name is not a parameter's."""
    if not _KEY_NAME.fullmatch(name):
        return Refusal(Reason.QUERY_MALFORMED)
    key = _LOWER_KEYS.get(name.lower())
    if key is None:
        return Refusal(Reason.QUERY_UNKNOWN)
    if key in before:
        return Refusal(Reason.QUERY_REPEATED, key)
    # The signature is over the spelling that was sent: in another one STS finds no parameter of that name.
    return Refusal(Reason.QUERY_MALFORMED)


def _decode(value: str) -> str:
    """The value without its escapes. A session token is a thousand characters of base64, so base64's three come first and cheaply.

    None of the three can become part of an escape, so the order is of no matter.
    """
    value = value.replace("%2F", "/").replace("%2B", "+").replace("%3D", "=")
    return unquote(value) if "%" in value else value


_CREDENTIAL = re.compile(r"([A-Za-z0-9_]{16,128})/([0-9]{8})/([a-z0-9-]+)/sts/aws4_request", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)


def _check_request(parse: _Parse) -> Refusal | None:
    """9. It asks for GetCallerIdentity, signed with SigV4 for the host's region and the date's day."""
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
    # A missing or malformed date is check 12's to refuse; a scope of another day can never verify.
    date = given("X-Amz-Date", "")
    if _DATE.fullmatch(date) and date[:8] != credential[2]:
        return Refusal(Reason.CREDENTIAL_SCOPE, "the scope's day is not that of X-Amz-Date")
    if not _SIGNATURE.fullmatch(given("X-Amz-Signature", "")):
        return Refusal(Reason.SIGNATURE_MALFORMED)
    parse.access_key_id = credential[1]
    return None


# We send host, x-k8s-aws-id and accept, and nothing else that could be signed. SDKs sign the first two; the reference takes any
# other header, but STS can only verify one that is sent, so a list with another is refused here, with a reason, instead of there.
# SigV4 has the list in lower case and sorted; in another shape STS computes another signature.
_SIGNED_HEADERS = ("host;x-k8s-aws-id", "accept;host;x-k8s-aws-id")


def _check_signed_headers(parse: _Parse) -> Refusal | None:
    """10. The cluster id header is signed, and no header that we do not send."""
    signed = parse.parameters.get("X-Amz-SignedHeaders", "")
    if signed in _SIGNED_HEADERS:
        return None
    unsigned = CLUSTER_ID_HEADER not in signed.split(";")
    return Refusal(Reason.CLUSTER_HEADER_UNSIGNED if unsigned else Reason.SIGNED_HEADERS)


_EXPIRES = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def _check_expires(parse: _Parse) -> Refusal | None:
    """11. X-Amz-Expires is a whole number from 0 to 900, perhaps with a sign and leading zeros."""
    expires = parse.parameters.get("X-Amz-Expires", "")
    return None if _EXPIRES.fullmatch(expires) and 0 <= int(expires) <= 900 else Refusal(Reason.URL_EXPIRES)


_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z", re.ASCII)


def _check_date(parse: _Parse) -> Refusal | None:
    """12. X-Amz-Date is a time at most 15 minutes ago and at most 5 minutes ahead."""
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
"""The checks of docs/protocol.md, section 2.1, each under its number there."""
