"""Denials as text: one JSON object per entry, written by us, and by hand in the worst of moments.

An entry that is not as it should be is read for what it can still mean: no end counts as no end, an unknown kind as every kind, a role
that is none as everywhere, and text that is no JSON is searched for its value. Only what names nobody denies nobody.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from kube_iam.core.arns import canonical_arn, parse_arn
from kube_iam.core.denied import ANY_KIND, FOR_EVER, KINDS, Denial, fits
from kube_iam.core.utc import parse_rfc3339, rfc3339

MAX_VALUE = 2048  # no ARN is longer
_WORD = r"[\w+=,.@:/-]+"
_FIELD = r"""\b{}["']?\s*[:=]\s*["']?(""" + _WORD + ")"
_GROUP = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_KIND_BY_NAME = {kind.lower(): kind for kind in KINDS}


class Read(NamedTuple):
    """What an entry came to: the denial, None where nobody can be meant, and what is wrong with it, empty where all is well."""

    denial: Denial | None
    problem: str


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


def read_denial(ident: str, text: str) -> Read:
    """The denial in an entry's text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _searched(ident, text)
    if isinstance(found, str):
        found = {"value": found}
    if not isinstance(found, dict):
        return Read(None, "is not a JSON object")
    return _understood(ident, {str(name).lower(): value for name, value in found.items()})


def _searched(ident: str, text: str) -> Read:
    """Text that is no JSON: YAML, a damaged object, or a bare name."""
    fields: dict[str, object] = {}
    for name in ("kind", "value", "until", "role", "iamGroup"):
        hit = re.search(_FIELD.format(name), text, re.ASCII | re.IGNORECASE)
        if hit is not None:
            fields[name.lower()] = hit[1]
    if "value" not in fields and re.fullmatch(_WORD, text.strip(), re.ASCII):
        fields["value"] = text.strip()
    read = _understood(ident, fields)
    return Read(read.denial, f"is not JSON{', and names nobody' if read.denial is None else ''}")


def _understood(ident: str, fields: dict[str, object]) -> Read:
    problems = []
    value = fields.get("value")
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_VALUE:
        return Read(None, "has no usable `value`, and denies nobody")
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
    return Read(denial, "; ".join(problems))


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
