"""What is left of a token after all checks, and the request that is built from it anew."""

from __future__ import annotations

from dataclasses import dataclass

# The parameters that a GetCallerIdentity request may have, in the order in which the URL is built.
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
    """The parts of a token that passed every check. `signed_at` is in unix seconds. Its `repr` shows nothing: it is a credential."""

    host: str
    region: str
    access_key_id: str
    signed_at: float
    _parameters: tuple[tuple[str, str], ...]

    def request_url(self) -> str:
        """The presigned URL, built from the checked parts in SigV4's encoding. A secret until it expires: never log it."""
        given = dict(self._parameters)
        query = "&".join(f"{key}={_encode(given[key])}" for key in CANONICAL_KEYS if key in given)
        return f"https://{self.host}/?{query}"

    def __repr__(self) -> str:
        return "CheckedToken(hidden)"


# `%` comes first, so that no escape is escaped again.
_ESCAPES = tuple((char, f"%{ord(char):02X}") for char in "% !\"#$&'()*+,/:;<=>?@[\\]^`{|}")


def _encode(value: str) -> str:
    """The printable ASCII value in SigV4's encoding: everything but RFC 3986's unreserved characters as %XX."""
    for char, escape in _ESCAPES:
        if char in value:
            value = value.replace(char, escape)
    return value
