"""Values of an IAM policy: wildcards and policy variables. Pure.

A pattern is a string in which `ANY` stands for a run of characters and `ONE` for exactly one; everything else is literal. That
keeps `*` from the policy apart from `*` that came in through a variable or an escape (`${*}`), which are literal.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping

ANY = "\0"
ONE = "\1"

Context = Mapping[str, str | tuple[str, ...]]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DEFAULT = re.compile(r" *([^, ]+) *, *'([^']*)' *")
_ESCAPES = {"*": "*", "?": "?", "$": "$"}
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def ascii_lower(text: str) -> str:
    """The text with ASCII letters in lower case. `str.lower` also turns the Kelvin sign into `k`, which AWS would not know."""
    return text.translate(_LOWER)


def wildcards(text: str) -> str:
    """The pattern of a text in which `*` and `?` are wildcards and nothing else is special."""
    return text.replace("*", ANY).replace("?", ONE)


def expand(text: str, context: Context, *, wild: bool) -> str | None:
    """The pattern of a policy value, its variables replaced; None where a variable has no single value and no default, or no end.

    `context` has lower-case keys. `wild` says whether `*` and `?` in the policy's own text are wildcards.
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
    """Whether the whole value matches the pattern, case-sensitively, in time proportional to their lengths' product."""
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
