"""Values of an IAM policy: patterns with wildcards and policy variables, and the operands of conditions.

A pattern is a string in which `ANY` stands for a run of characters and `ONE` for exactly one. Everything else is literal. So `*` of
the policy differs from `*` of a variable or an escape (`${*}`), which are literal.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html

Operands (numbers, dates, addresses, booleans) are read no more widely than AWS documents them. Python's own parsers accept more:
`float("3_600")`, digits of other scripts, `datetime.fromisoformat("2026-W01-1")`, `ip_network("10.0.0.0/0.0.0.255")`, and `casefold`
turns the sharp s into `ss`. An operand in such a form is None, undecided: an Allow does not apply then, a Deny does.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from kube_iam.core.letter_case import ascii_lower

ANY = "\0"
ONE = "\1"

Context = Mapping[str, str | tuple[str, ...]]
"""Condition keys of a request in lower case, with their value or values."""
Answer = bool | None
"""True, False, or None for what cannot be decided."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DEFAULT = re.compile(r" *([^, ]+) *, *'([^']*)' *")
_ESCAPES = {"*": "*", "?": "?", "$": "$"}
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
# https://www.w3.org/TR/NOTE-datetime. Python cannot read a year alone, or a year with its month. A time needs its zone.
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2}))?"
)
_NETWORK = re.compile(r"[0-9A-Fa-f:.]+(/(0|[1-9][0-9]{0,2}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wildcards(text: str) -> str:
    """Return the pattern of a text in which only `*` and `?` are special."""
    return text.replace("*", ANY).replace("?", ONE)


def expand(text: str, context: Context, *, wild: bool) -> str | None:
    """Return the pattern of a policy value with its variables replaced.

    Return None where a variable has no end, or has neither a single value nor a default. With `wild`, `*` and `?` in the policy's own
    text are wildcards.
    """
    if ANY in text or ONE in text:
        return None
    pieces: list[str] = []
    end = 0
    for variable in _VARIABLE.finditer(text):
        own = text[end : variable.start()]
        value = _value(variable.group(1), context)
        if value is None or "${" in own:
            return None
        pieces += [wildcards(own) if wild else own, value]
        end = variable.end()
    own = text[end:]
    if "${" in own:
        return None
    return "".join([*pieces, wildcards(own) if wild else own])


def _value(inside: str, context: Context) -> str | None:
    if inside in _ESCAPES:
        return _ESCAPES[inside]
    default = _DEFAULT.fullmatch(inside)
    found = context.get(ascii_lower(default.group(1) if default else inside.strip(" ")))
    if isinstance(found, tuple):
        found = found[0] if len(found) == 1 else None
    if found is None and default:
        found = default.group(2)
    return None if found is None or ANY in found or ONE in found else found


def matches(pattern: str, value: str) -> bool:
    """Return whether the whole value matches the pattern, with regard to case.

    The time is proportional to the product of the two lengths.
    """
    at = position = 0
    star, resume = -1, 0
    while position < len(value):
        if at < len(pattern) and pattern[at] == ANY:
            star, resume = at, position
            at += 1
        elif at < len(pattern) and (pattern[at] == ONE or pattern[at] == value[position]):
            at += 1
            position += 1
        elif star >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return pattern[at:].strip(ANY) == ""


def number(text: str) -> Decimal | None:
    """Return the exact decimal number in ASCII digits, or None. Exponents, infinities and NaN are refused."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def moment(text: str) -> Decimal | None:
    """Return the Unix seconds of a number or of a W3C ISO 8601 date, or None. A date without a time is midnight UTC."""
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
    """Return the value of `true` or `false` in any letter case, or None."""
    return {"true": True, "false": False}.get(ascii_lower(text))


def same_boolean(value: str, expected: str) -> Answer:
    """Return whether two booleans are the same."""
    ours, theirs = boolean(value), boolean(expected)
    return None if ours is None or theirs is None else ours is theirs


def same_letters(value: str, pattern: str) -> Answer:
    """Return whether two texts differ at most in the case of ASCII letters.

    AWS does not document how it folds other letters. Texts that only a Unicode rule makes equal (the sharp s and `ss`, the Kelvin
    sign and `k`) are undecided.
    """
    if ascii_lower(value) == ascii_lower(pattern):
        return True
    return None if _folded(value) == _folded(pattern) else False


def _folded(text: str) -> str:
    """Return the text folded as widely as possible: `casefold` alone keeps the dotless i apart from i, which `upper` joins."""
    return text.upper().casefold()
