"""Denials as text: one JSON object per entry, written by us, and by hand in the worst of moments.

An entry that is not as it should be is read for what it can still mean: no end counts as no end, an unknown kind as every kind, a role
that is none as everywhere. Text that is no JSON is searched for values alone, since what else it seems to say may be a comment.
An entry that names several denies each. Only what names nobody denies nobody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from kube_iam.core.arns import canonical_arn, parse_arn
from kube_iam.core.denied import ANY_KIND, FOR_EVER, KINDS, Denial, fits
from kube_iam.core.utc import parse_rfc3339, rfc3339

MAX_VALUE = 2048  # no ARN is longer
_WORD = r"[\w+=,.@:/-]+"
# A name, or several as JSON or YAML list them.
_VALUES = re.compile(
    r"""\bvalue["']?\s*[:=]\s*(\[[^\]]*|(?:-\s+["']?""" + _WORD + r"""["']?\s*)+|["']?""" + _WORD + ")",
    re.ASCII | re.IGNORECASE,
)
_WORDS = re.compile(_WORD, re.ASCII)
_GROUP = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_KIND_BY_NAME = {kind.lower(): kind for kind in KINDS}


class Read(NamedTuple):
    """What an entry came to: its denials, none where nobody can be meant, and what is wrong with it, empty where all is well."""

    denials: tuple[Denial, ...]
    problem: str


class _Object(list[tuple[str, object]]):
    """The members of a JSON object in their order, with those that are there twice."""


def write_denial(denial: Denial) -> str:
    """The entry's text. A denial without an end has none."""
    fields = {"kind": denial.kind, "value": denial.value}
    if denial.role:
        fields["role"] = denial.role
    if denial.iam_group:
        fields["iamGroup"] = denial.iam_group
    if denial.until != FOR_EVER:
        fields["until"] = rfc3339(denial.until)
    fields |= {"reason": denial.reason, "by": denial.by, "at": rfc3339(denial.at)}
    return json.dumps({name: value for name, value in fields.items() if value}, ensure_ascii=False)


def write_denials(denials: Sequence[Denial]) -> str:
    """The text of an entry that holds them all: a list, where there is more than one."""
    texts = [write_denial(denial) for denial in denials]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def read_denial(ident: str, text: str) -> Read:
    """The denials in an entry's text."""
    try:
        found = json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return _searched(ident, text)
    if isinstance(found, list) and not isinstance(found, _Object):
        read = [_item(ident, item) for item in found]
        problems = ["is a list, and not one JSON object" if read else "is an empty list, and names nobody"]
        problems += (each.problem for each in read if each.problem)
        return Read(tuple(denial for each in read for denial in each.denials), "; ".join(problems))
    return _item(ident, found)


def _item(ident: str, found: object) -> Read:
    """What an object, or a bare name in its place, came to. Of what is said twice no saying counts, but each value does."""
    if isinstance(found, str):
        return _understood(ident, {"value": found})
    if not isinstance(found, _Object):
        return Read((), "is not a JSON object")
    fields: dict[str, object] = {}
    twice: dict[str, None] = {}
    values: list[object] = []
    for name, value in found:
        key = name.lower()
        if key in fields:
            twice[key] = None
        fields[key] = value
        if key == "value":
            values += value if isinstance(value, list) and not isinstance(value, _Object) else [value]
    if not twice and not isinstance(fields.get("value"), list):
        return _understood(ident, fields)
    for key in twice:
        # What is none: counts as each kind, and as everywhere.
        fields[key] = _Object()
    # Who was mistaken about one thing may have been about its end.
    read = [_understood(ident, {**fields, "value": value, "until": None}) for value in values]
    said = [f"says `{key}` twice" for key in twice] or ["has a list as `value`"]
    said += dict.fromkeys(each.problem for each in read if each.problem)
    return Read(tuple(denial for each in read for denial in each.denials), "; ".join(said))


def _searched(ident: str, text: str) -> Read:
    """Text that is no JSON: YAML, a damaged object, or a bare name."""
    whole = text.strip()
    spans = [hit[1] for hit in _VALUES.finditer(text)]
    if not spans and _WORDS.fullmatch(whole):
        spans = [whole]
    # A comma may be part of a name, and may be what comes after one.
    words = (word for span in spans for found in _WORDS.findall(span) for word in (found, found.rstrip(",")))
    values = [word for word in dict.fromkeys(words) if word.strip("-,.:/=+@")]
    denials = tuple(denial for value in values for denial in _understood(ident, {"value": value}).denials)
    meant = "counts as each kind, everywhere and without an end" if denials else "names nobody"
    return Read(denials, f"is not JSON, and {meant}")


def _understood(ident: str, fields: dict[str, object]) -> Read:
    problems = []
    value = fields.get("value")
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_VALUE:
        return Read((), "has no usable `value`, and denies nobody")
    kind = _KIND_BY_NAME.get(str(fields.get("kind", "")).lower(), ANY_KIND)
    if kind == ANY_KIND:
        problems.append(f"`kind` is none of {', '.join(KINDS)}: counts as each of them")
    elif not fits(kind, value.strip()):
        problems.append(f"`value` has not the form of `kind` {kind}: counts as each of {', '.join(KINDS)}")
        kind = ANY_KIND
    role = _role(fields.get("role"))
    if role is None:
        problems.append("`role` is not the ARN of a role: counts as everywhere")
    group = _group(fields.get("iamgroup"))
    if group is None:
        problems.append("`iamGroup` is not the name of an IAM group: counts as everywhere")
    until = fields.get("until")
    end = parse_rfc3339(until) if isinstance(until, str) else None
    if end is None:
        problems.append("`until` is not a UTC time such as 2026-01-31T12:00:00Z: counts as no end")
    at = fields.get("at")
    written = parse_rfc3339(at) if isinstance(at, str) else None
    denial = Denial(
        ident,
        kind,
        value.strip(),
        "" if None in (role, group) else role or "",
        FOR_EVER if end is None else end,
        _text(fields.get("reason")),
        _text(fields.get("by")),
        written or 0.0,
        "" if None in (role, group) else group or "",
    )
    return Read((denial,), "; ".join(problems))


def _role(value: object) -> str | None:
    """The role's canonical ARN, empty for everywhere, None for something else."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        return None
    try:
        role = parse_arn(canonical_arn(value))
    except ValueError:
        return None
    # Identities are compared by their canonical ARN: a session's ARN in here would be nobody's place.
    return str(role) if role is not None and role.resource.startswith("role/") else None


def _group(value: object) -> str | None:
    """The same for the name of an IAM group."""
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) and _GROUP.fullmatch(value) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
