"""Entries of the deny list as text: one JSON object each, written by the commands, or by hand in an emergency.

Malformed entries fail closed: they deny more, never less. A missing end counts as no end, an unknown kind as every kind, an invalid
role as everywhere, and a value that no principal can have as the principals that it obviously means. An entry that names nobody denies
nobody and is reported.

Text that is no JSON (YAML, a damaged object, bare names) is searched for names alone; all else in it is ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kube_iam.core.arns import canonical_arn
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.principals import KINDS, fits, guess_principals, kind_of, role_of
from kube_iam.core.utc import parse_rfc3339, rfc3339
from kube_iam.denylist.denial import ANY_KIND, NO_END, Denial, denial_name, is_reachable

_GROUP = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_KIND_BY_NAME = {kind.lower(): kind for kind in KINDS}
_SHOWN = 5

_NAMING_KEYS = frozenset(
    (
        *("values", "username", "usernames", "user", "users", "name", "names", "userarn", "rolearn", "arn", "arns"),
        *("principal", "principals", "accesskeyid", "accesskey", "key", "userid", "uniqueid", "id"),
        *("session", "sessions", "sessionname", "sessionarn", "identity", "iamuser", "principalarn", "deny", "denied"),
        # One phrase, which tools/words.txt permits.
        *"who whom subject subjects person people".split(),  # noqa: SIM905
    )
)
"""Keys, in lower case and without `_` and `-`, that name a principal in an entry without `value`."""

_VALUE = r"""(?:
    \[[^\]]*                                                # a list in brackets
  | (?:[|>][^\n]*)?(?:\n[ \t]+[^\n]*|\n[ \t]*-[ \t][^\n]*)+ # lines below the key: a list, or text in a block
  | "[^"\n]* | '[^'\n]*
  | [^\n]*?(?=,\s*["']?\w+["']?\s*[:=]|[ \t]\#|[\n}]|$)     # to the end of the line, to a comment or to the next key
)"""
_VALUES = re.compile(rf"""\b(?P<key>values?)["']?[ \t]*[:=][ \t]*(?P<value>{_VALUE})""", re.ASCII | re.I | re.X)
_OTHERS = re.compile(rf"""\b(?P<key>\w+)["']?[ \t]*[:=][ \t]*(?P<value>{_VALUE})""", re.ASCII | re.I | re.X)
_ANY_KEY = re.compile(r"""[{}]|^[ \t]*(?:-[ \t]+)?["']?[\w-]+["']?[ \t]*[:=](?:\s|$)""", re.ASCII | re.M)
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*", re.M)


class ParsedEntry(NamedTuple):
    """The denials of an entry, none if it names nobody, and its mistakes as a sentence without a subject, empty if there are none."""

    denials: tuple[Denial, ...]
    problem: str


BINARY = ParsedEntry((), "is binary data, and names nobody")
"""The result for an entry in `binaryData` of the ConfigMap."""


class _Object(list[tuple[str, object]]):
    """The members of a JSON object in their order. Duplicate keys are kept."""


class _Number(str):
    """A number as it is written. It may be a name in `value`, and is invalid in every other field."""

    __slots__ = ()


def format_denial(denial: Denial) -> str:
    """Return the denial as a JSON object. One without an end has no `until`."""
    fields = {"kind": denial.kind, "value": denial.value}
    if denial.role:
        fields["role"] = denial.role
    if denial.iam_group:
        fields["iamGroup"] = denial.iam_group
    if denial.until != NO_END:
        fields["until"] = rfc3339(denial.until)
    fields |= {"reason": denial.reason, "actor": denial.actor, "at": rfc3339(denial.at)}
    return json.dumps({name: value for name, value in fields.items() if value}, ensure_ascii=False)


def format_entry(denials: Sequence[Denial]) -> str:
    """Return the text of an entry with these denials: one object, or a list of several."""
    texts = [format_denial(denial) for denial in denials]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def parse_entry(name: str, text: str) -> ParsedEntry:
    """Return the denials of the entry with that name (its key in the ConfigMap). Raises nothing."""
    try:
        found = json.loads(
            text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_Number
        )
    except (ValueError, RecursionError):
        return _salvage(name, text)
    if isinstance(found, list) and not isinstance(found, _Object):
        parsed = [_parse_item(name, item) for item in found]
        problem = "is a list, and not one JSON object" if parsed else "is an empty list, and names nobody"
        return _merge(parsed, [problem])
    return _parse_item(name, found)


def _parse_item(name: str, found: object) -> ParsedEntry:
    """Parse an object, or a bare name in its place. Duplicate keys are ignored, except `value`: every value is denied."""
    if isinstance(found, str):
        return _from_fields(name, {"value": found})
    if not isinstance(found, _Object):
        return ParsedEntry((), "is not a JSON object, and names nobody")
    fields: dict[str, object] = {}
    duplicates: dict[str, None] = {}
    values: list[object] = []
    for written, value in found:
        key = written.lower()
        if key in fields:
            duplicates[key] = None
        fields[key] = _Object() if isinstance(value, _Number) and key != "value" else value
        if key == "value":
            values += _texts(value)
    for key in duplicates:
        # An invalid field counts as each kind, as everywhere and as no end.
        fields[key] = _Object()
    parsed = _by_value(name, fields, tuple(duplicates), values)
    return parsed if parsed.denials else _without_value(name, fields, found)


def _by_value(name: str, fields: dict[str, object], duplicates: Sequence[str], values: Sequence[object]) -> ParsedEntry:
    """Parse an object by the texts in its `value`, or in several of them."""
    if not duplicates and isinstance(fields.get("value"), str):
        return _from_fields(name, fields)
    # A mistake in one field makes the end doubtful too.
    parsed = [_from_fields(name, {**fields, "value": value, "until": None}) for value in dict.fromkeys(values)]
    return _merge(parsed, [f"says `{key}` twice" for key in duplicates] or ["has as `value` what is no text"])


def _without_value(name: str, fields: dict[str, object], found: _Object) -> ParsedEntry:
    """Parse an object whose `value` names nobody or is missing. Other naming keys count as `value`, or else `role` does."""
    named = [(key, text) for key, value in found if _names_principal(key) for text in _texts(value)]
    parsed = [_from_fields(name, {**fields, "value": text, "kind": None}) for _, text in named]
    if any(each.denials for each in parsed):
        keys = ", ".join(dict.fromkeys(f"`{key}`" for key, _ in named))
        return _merge(parsed, [f"has no usable `value`: {keys} counts as it"])
    if "value" in fields or not _role(fields.get("role")):
        return ParsedEntry((), "has no usable `value`, and names nobody")
    parsed = [_from_fields(name, {**fields, "value": fields["role"], "kind": "arn", "role": None})]
    return _merge(parsed, ["has no `value`: counts as all sessions of `role`"])


def _salvage(name: str, text: str) -> ParsedEntry:
    """Return the denials of the names in text that is no JSON: of every kind, everywhere and without an end."""
    for texts in _readings(text):
        values = dict.fromkeys(principal for each in texts for principal in guess_principals(each))
        if values:
            denials = tuple(Denial(name, ANY_KIND, value) for value in values)
            return ParsedEntry(
                denials, f"is not JSON: {_shown(values)} counts as each kind, everywhere and without an end"
            )
    return ParsedEntry((), "is not JSON, and names nobody")


def _from_fields(name: str, fields: dict[str, object]) -> ParsedEntry:
    """Return the denials of the text in `value`, limited by the other fields as far as these are valid."""
    value = str(fields.get("value")).strip()
    kind = _KIND_BY_NAME.get(str(fields.get("kind", "")).lower(), ANY_KIND)
    values, problems = _principals(name, kind, value, fields)
    if not values:
        return ParsedEntry((), "`value` can be nobody's name, ARN, access key or unique id: names nobody")
    if kind == ANY_KIND:
        problems.append(f"`kind` is none of {', '.join(KINDS)}: counts as each of them")
    elif not fits(kind, value):
        problems.append(f"`value` has not the form of `kind` {kind}: counts as each of {', '.join(KINDS)}")
        kind = ANY_KIND
    (role, group), wrong = _scope(kind, values, fields)
    problems += wrong
    until, at = _time(fields.get("until")), _time(fields.get("at")) or 0.0
    if until is None:
        problems.append("`until` is not a UTC time such as 2026-01-31T12:00:00Z: counts as no end")
        until = NO_END
    reason, actor = _text(fields.get("reason")), _text(fields.get("actor"))
    denials = (Denial(name, kind, each, role, until, reason, actor, at, group) for each in values)
    return ParsedEntry(tuple(denials), "; ".join(problems))


def _principals(name: str, kind: str, value: str, fields: dict[str, object]) -> tuple[tuple[str, ...], list[str]]:
    """Return the principals that a value names, and the problem of a value that is not one principal."""
    exact = fits(kind, value) if kind else bool(kind_of(value))
    # A user name may contain a comma, and `deny` writes it under the name computed here. By hand, a comma separates two names.
    role, group = (str(fields.get(key) or "") for key in ("role", "iamgroup"))
    if exact and ("," not in value or name == denial_name(kind, value, role, group)):
        return (value,), []
    values = tuple(dict.fromkeys((*((value,) if kind_of(value) else ()), *guess_principals(value))))
    return values, [] if values in ((), (value,)) else [f"`value` counts as {_shown(values)}"]


def _scope(kind: str, values: Sequence[str], fields: dict[str, object]) -> tuple[tuple[str, str], list[str]]:
    """Return the role and the IAM group in which a denial is in force, and their problems. Both are empty for everywhere."""
    role, group = _role(fields.get("role")), _group(fields.get("iamgroup"))
    problems = []
    if role is None:
        problems.append("`role` is not the ARN of a role: counts as everywhere")
    if group is None:
        problems.append("`iamGroup` is not the name of an IAM group: counts as everywhere")
    if role is None or group is None:
        return ("", ""), problems
    for value in values:
        kinds = (kind,) if kind else tuple(each for each in KINDS if fits(each, value)) or ("",)
        if not any(is_reachable(each, value, role, group) for each in kinds):
            return ("", ""), ["`value` never signs in through `role` or `iamGroup`: counts as everywhere"]
    return (role, group), []


def _merge(parsed: Sequence[ParsedEntry], problems: Sequence[str]) -> ParsedEntry:
    """Return the denials of all, and `problems` before the problems of each."""
    found = dict.fromkeys(each.problem for each in parsed if each.problem)
    denials = tuple(denial for each in parsed for denial in each.denials)
    return ParsedEntry(denials, "; ".join((*problems, *found)))


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a value, in nested lists and objects too."""
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, _Object):
            rest += [inner for _, inner in reversed(each)]
        elif isinstance(each, list):
            rest += reversed(each)


def _role(value: object) -> str | None:
    """Return the role's canonical ARN, empty for everywhere, or None for an invalid one."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not fits("arn", value) or not role_of(value):
        return None
    # The ARN of a session stands for its role.
    return canonical_arn(value if value.startswith("arn:") else ascii_lower(value))


def _group(value: object) -> str | None:
    """Return the name of the IAM group, empty for everywhere, or None for an invalid one."""
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) and _GROUP.fullmatch(value) else None


def _shown(names: Iterable[str]) -> str:
    """Return the first few names: a message is one line."""
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: object) -> float | None:
    return parse_rfc3339(value) if isinstance(value, str) else None


def _names_principal(key: str) -> bool:
    """Return whether a field of that name names a principal in an entry without `value`."""
    return re.sub("[_-]", "", key.lower()) in _NAMING_KEYS


def _readings(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the texts that may name principals: those of `value`, those of other naming keys, and all of a text without keys.

    The first of the three that names a principal counts.
    """
    yield tuple(hit["value"] for hit in _VALUES.finditer(text))
    yield tuple(hit["value"] for hit in _OTHERS.finditer(text) if _names_principal(hit["key"]))
    plain = _COMMENT.sub("", text)
    if not _ANY_KEY.search(plain):
        yield (plain,)
