"""Operands of IAM conditions (numbers, dates, addresses, booleans), read no more widely than AWS documents them. Pure.

Python's own parsers take more than AWS: `float("3_600")`, digits of other scripts, `datetime.fromisoformat("2026-W01-1")`,
`ip_network("10.0.0.0/0.0.0.255")`, and `casefold` turns the sharp s into `ss`. An operand in such a form is None, undecided: an
Allow does not apply then, a Deny does.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from decimal import Decimal

from kube_iam.core.policy_values import ascii_lower

Answer = bool | None
"""True, False, or None for a comparison that cannot be decided."""

_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
# https://www.w3.org/TR/NOTE-datetime. Of a year alone, or with its month, Python has no reading; a time needs its zone.
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2}))?"
)
_NETWORK = re.compile(r"[0-9A-Fa-f:.]+(/(0|[1-9][0-9]{0,2}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def number(text: str) -> Decimal | None:
    """Return a decimal number in ASCII digits, exactly, or None. Exponents, infinities and NaN are no numbers here."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def moment(text: str) -> Decimal | None:
    """Return a W3C ISO 8601 date (midnight UTC where no time is given) or Unix seconds as Unix seconds, or None."""
    seconds = number(text)
    if seconds is not None:
        return seconds
    if not _MOMENT.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
        since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        return None
    return Decimal(since.days * 86400 + since.seconds) + Decimal(since.microseconds) / 1_000_000


def in_network(value: str, expected: str) -> Answer:
    """Return whether an address lies in a CIDR range, or equals an address.

    A zone (`%eth0`), a dotted mask and an IPv4 address written as IPv6 (`::ffff:192.0.2.7`) are undecided.
    """
    if not _NETWORK.fullmatch(value) or not _NETWORK.fullmatch(expected):
        return None
    try:
        address, network = ipaddress.ip_address(value), ipaddress.ip_network(expected, strict=False)
    except ValueError:
        return None
    mapped = [each for each in (address, network.network_address) if getattr(each, "ipv4_mapped", None) is not None]
    return None if mapped else address in network


def boolean(text: str) -> Answer:
    """Return what `true` or `false`, in any letter case, stands for, or None."""
    return {"true": True, "false": False}.get(ascii_lower(text))


def same_boolean(value: str, expected: str) -> Answer:
    """Return whether two booleans are the same."""
    ours, theirs = boolean(value), boolean(expected)
    return None if ours is None or theirs is None else ours is theirs


def same_letters(value: str, pattern: str) -> Answer:
    """Return whether two texts differ at most in the case of ASCII letters.

    AWS does not say how it folds other letters. Texts that only a Unicode rule makes equal (the sharp s and `ss`, the Kelvin
    sign and `k`) are undecided.
    """
    if ascii_lower(value) == ascii_lower(pattern):
        return True
    return None if _folded(value) == _folded(pattern) else False


def _folded(text: str) -> str:
    """The widest folding: `casefold` alone keeps the dotless i apart from i, which `upper` joins."""
    return text.upper().casefold()
