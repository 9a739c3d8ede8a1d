"""The checked parts of a token, and the request to STS that is built from them."""

from __future__ import annotations

from dataclasses import dataclass

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


# `%` comes first, so that no escape is escaped again. Most values hold none but the three characters of base64.
_BASE64, _OTHERS = (
    tuple((char, f"%{ord(char):02X}") for char in chars) for chars in ("%/+=", " !\"#$&'()*,:;<>?@[\\]^`{|}")
)
_ENCODED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%"


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
