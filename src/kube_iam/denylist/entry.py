"""Entries of the deny list as text: one JSON object each, written by the commands, and by hand in an emergency.

Malformed entries fail closed: they deny more, never less. A missing end counts as no end, an unknown kind as every kind, a role that
is none as everywhere, and a value that can be nobody's as the principals that it obviously means. What names nobody is reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kube_iam.core.arns import canonical_arn
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.principals import KINDS, fits, kind_of, meant, role_of
from kube_iam.core.utc import parse_rfc3339, rfc3339
from kube_iam.denylist.denial import ANY_KIND, FOR_EVER, Denial, ident_of, is_reachable

_GROUP = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_KIND_BY_NAME = {kind.lower(): kind for kind in KINDS}
_SHOWN = 5

_NAMING_KEYS = frozenset(
    (
        *("values", "username", "usernames", "user", "users", "name", "names", "userarn", "rolearn", "arn", "arns"),
        *("principal", "principals", "accesskeyid", "accesskey", "key", "userid", "uniqueid", "id"),
        *(
            "session",
            "sessions",
            "sessionname",
            "who",
            "whom",
            "subject",
            "subjects",
            "person",
            "people",
            "identity",
            "iamuser",
        ),
        *("deny", "denied", "principalarn", "sessionarn"),
    )
)
"""Keys, in lower case and without `_` and `-`, that name somebody in an entry without `value`."""

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


class Read(NamedTuple):
    """Result of reading an entry: its denials, none where it names nobody, and what is wrong with it, empty where all is well."""

    denials: tuple[Denial, ...]
    problem: str


BINARY = Read((), "is binary data, and names nobody")
"""Result for an entry in the ConfigMap's binaryData."""


class _Object(list[tuple[str, object]]):
    """The members of a JSON object in their order, with those that are there twice."""


class _Number(str):
    """A number as it is written: as a value it may be somebody's name, anywhere else it is none of the texts that count."""

    __slots__ = ()


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
    """The denials in an entry's text. Raises nothing."""
    try:
        found = json.loads(
            text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_Number
        )
    except (ValueError, RecursionError):
        return _searched(ident, text)
    if isinstance(found, list) and not isinstance(found, _Object):
        read = [_item(ident, item) for item in found]
        problems = ["is a list, and not one JSON object" if read else "is an empty list, and names nobody"]
        problems += (each.problem for each in read if each.problem)
        return Read(tuple(denial for each in read for denial in each.denials), "; ".join(problems))
    return _item(ident, found)


def _item(ident: str, found: object) -> Read:
    """Read an object, or a bare name in its place. Duplicate keys are ignored, except `value`: every value is denied."""
    if isinstance(found, str):
        return _understood(ident, {"value": found})
    if not isinstance(found, _Object):
        return Read((), "is not a JSON object, and names nobody")
    fields: dict[str, object] = {}
    twice: dict[str, None] = {}
    values: list[object] = []
    for name, value in found:
        key = name.lower()
        if key in fields:
            twice[key] = None
        fields[key] = _Object() if isinstance(value, _Number) and key != "value" else value
        if key == "value":
            values += _texts(value)
    for key in twice:
        # What is no text counts as each kind, as everywhere and as no end.
        fields[key] = _Object()
    read = _with_value(ident, fields, tuple(twice), values)
    return read if read.denials else _without_value(ident, fields, found)


def _with_value(ident: str, fields: dict[str, object], twice: Sequence[str], values: Sequence[object]) -> Read:
    """Read an object by the texts in its `value`, or its values."""
    if not twice and isinstance(fields.get("value"), str):
        return _understood(ident, fields)
    # A mistake in one field makes the end doubtful too.
    read = [_understood(ident, {**fields, "value": value, "until": None}) for value in dict.fromkeys(values)]
    return _together(read, [f"says `{key}` twice" for key in twice] or ["has as `value` what is no text"])


def _without_value(ident: str, fields: dict[str, object], found: _Object) -> Read:
    """Read an object whose `value` names nobody or is missing: other keys that name somebody count as it."""
    named = [(name, text) for name, value in found if _names_somebody(name) for text in _texts(value)]
    read = [_understood(ident, {**fields, "value": text, "kind": None}) for _, text in named]
    if any(each.denials for each in read):
        keys = ", ".join(dict.fromkeys(f"`{name}`" for name, _ in named))
        return _together(read, [f"has no usable `value`: {keys} counts as it"])
    if "value" in fields or not _role(fields.get("role")):
        return Read((), "has no usable `value`, and names nobody")
    read = [_understood(ident, {**fields, "value": fields["role"], "kind": "arn", "role": None})]
    return _together(read, ["has no `value`: counts as all sessions of `role`"])


def _searched(ident: str, text: str) -> Read:
    """Read text that is no JSON."""
    for texts in _readings(text):
        values = dict.fromkeys(name for each in texts for name in meant(each))
        if values:
            denials = tuple(Denial(ident, ANY_KIND, value) for value in values)
            return Read(denials, f"is not JSON: {_shown(values)} counts as each kind, everywhere and without an end")
    return Read((), "is not JSON, and names nobody")


def _understood(ident: str, fields: dict[str, object]) -> Read:
    """The denials of one value, with what the other fields say."""
    value = str(fields.get("value")).strip()
    kind = _KIND_BY_NAME.get(str(fields.get("kind", "")).lower(), ANY_KIND)
    values, problems = _names(ident, kind, value, fields)
    if not values:
        return Read((), "`value` can be nobody's name, ARN, access key or unique id: names nobody")
    if kind == ANY_KIND:
        problems.append(f"`kind` is none of {', '.join(KINDS)}: counts as each of them")
    elif not fits(kind, value):
        problems.append(f"`value` has not the form of `kind` {kind}: counts as each of {', '.join(KINDS)}")
        kind = ANY_KIND
    place, wrong = _place(kind, values, fields)
    problems += wrong
    until, at = fields.get("until"), fields.get("at")
    end = parse_rfc3339(until) if isinstance(until, str) else None
    if end is None:
        problems.append("`until` is not a UTC time such as 2026-01-31T12:00:00Z: counts as no end")
    written = parse_rfc3339(at) if isinstance(at, str) else None
    denials = (
        Denial(
            ident,
            kind,
            each,
            place[0],
            FOR_EVER if end is None else end,
            _text(fields.get("reason")),
            _text(fields.get("by")),
            written or 0.0,
            place[1],
        )
        for each in values
    )
    return Read(tuple(denials), "; ".join(problems))


def _names(ident: str, kind: str, value: str, fields: dict[str, object]) -> tuple[tuple[str, ...], list[str]]:
    """The principals that a value names, and what is wrong with how it does."""
    exact = fits(kind, value) if kind else bool(kind_of(value))
    # A name may hold a comma, as in an entry that the command wrote; by hand it stands between two.
    role, group = (str(fields.get(key) or "") for key in ("role", "iamgroup"))
    if exact and ("," not in value or ident == ident_of(kind, value, role, group)):
        return (value,), []
    values = tuple(dict.fromkeys((*((value,) if kind_of(value) else ()), *meant(value))))
    return values, [] if values in ((), (value,)) else [f"`value` counts as {_shown(values)}"]


def _place(kind: str, values: Sequence[str], fields: dict[str, object]) -> tuple[tuple[str, str], list[str]]:
    """The role and the IAM group in which a denial is in force, both empty for everywhere, and what is wrong with them."""
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


def _together(read: Sequence[Read], said: Sequence[str]) -> Read:
    problems = [*said, *dict.fromkeys(each.problem for each in read if each.problem)]
    return Read(tuple(denial for each in read for denial in each.denials), "; ".join(problems))


def _texts(value: object) -> Iterator[str]:
    """Every text in a value, however deep in lists and objects."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, _Object):
            waiting += [inner for _, inner in reversed(each)]
        elif isinstance(each, list):
            waiting += reversed(each)


def _role(value: object) -> str | None:
    """The role's canonical ARN, empty for everywhere, None for something else."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not fits("arn", value) or not role_of(value):
        return None
    # A session's ARN means its role.
    return canonical_arn(value if value.startswith("arn:") else ascii_lower(value))


def _group(value: object) -> str | None:
    """The same for the name of an IAM group."""
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) and _GROUP.fullmatch(value) else None


def _shown(names: Iterable[str]) -> str:
    """The first few names, so that a message stays a line."""
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _names_somebody(key: str) -> bool:
    """Return whether a member of that name names somebody where there is no `value`."""
    return re.sub("[_-]", "", key.lower()) in _NAMING_KEYS


def _readings(text: str) -> Iterator[tuple[str, ...]]:
    """The texts that may name somebody: those of `value`, else those of other keys that name somebody, else a text without keys.

    Each is a reading of its own, the surest first; the first one in which somebody is named counts.
    """
    yield tuple(hit["value"] for hit in _VALUES.finditer(text))
    yield tuple(hit["value"] for hit in _OTHERS.finditer(text) if _names_somebody(hit["key"]))
    plain = _COMMENT.sub("", text)
    if not _ANY_KEY.search(plain):
        yield (plain,)
