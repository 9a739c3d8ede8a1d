"""Denials, and the table in which the one that refuses an identity is found.

A denial names a person (`userName`: the IAM user of that name and every session that is named so), an ARN (a user's also covers the
sessions of that account which are named after the user; a role's covers all its sessions), an access key or a unique id (AIDA…, AROA…,
or AROA…:session). With `role`, only sessions of that role are meant; with `iam_group`, only sign-ins that this IAM group admits.
`*` (any run) and `?` (one character) are patterns: they come from entries that were written by hand.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kube_iam.core.arns import parse_arn
from kube_iam.core.identity import Identity
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.principals import KINDS, arn_key, is_folded_id, kind_of, objection, role_of
from kube_iam.core.utc import rfc3339

ANY_KIND = ""
"""The kind of an entry that does not say which: its value counts as each of them."""
FOR_EVER = float("inf")

_KEPT = 8192

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Denial:
    """One entry. `until` and `at` are unix seconds; `by` wrote it at `at`.

    `role` is a role's ARN, `iam_group` the name of an IAM group: the person is kept out there, or everywhere where both are empty.
    """

    ident: str
    kind: str
    value: str
    role: str = ""
    until: float = FOR_EVER
    reason: str = ""
    by: str = ""
    at: float = 0.0
    iam_group: str = ""

    @property
    def end(self) -> str:
        """When it ends, as a person reads it."""
        return "it is lifted" if self.until == FOR_EVER else rfc3339(self.until)


class DenialTable:
    """The denials of one list, indexed: a lookup costs the same however many there are.

    What was found for an identity is kept, since the same people come again and again; another list is another table.
    """

    __slots__ = ("_by_key", "_found", "_patterns")

    def __init__(self, denials: Iterable[Denial] = ()) -> None:
        self._by_key: dict[tuple[str, str, str], Denial] = {}
        self._patterns: list[tuple[str, re.Pattern[str], str, Denial]] = []
        self._found: dict[tuple[Identity, tuple[str, ...]], Denial | None] = {}
        for denial in denials:
            for kind, value in _keys_of(denial):
                for place in _places(denial.role, denial.iam_group) or ("",):
                    self._add(kind, value, place, denial)

    def __bool__(self) -> bool:
        return bool(self._by_key or self._patterns)

    def find(self, identity: Identity, now: float, iam_groups: tuple[str, ...] = ()) -> Denial | None:
        """Return the denial in force at this time that refuses the identity, or None. `iam_groups` are those that admit it."""
        if not self:
            return None
        asked = (identity, iam_groups)
        if asked in self._found:
            denial = self._found[asked]
        else:
            if len(self._found) >= _KEPT:
                self._found.clear()
            denial = self._found[asked] = self._longest(identity, iam_groups)
        return denial if denial is not None and denial.until > now else None

    def _add(self, kind: str, value: str, place: str, denial: Denial) -> None:
        if "*" in value or "?" in value:
            self._patterns.append((kind, re.compile(fnmatch.translate(value)), place, denial))
            return
        known = self._by_key.get((kind, value, place))
        if known is None or known.until < denial.until:
            self._by_key[kind, value, place] = denial

    def _longest(self, identity: Identity, iam_groups: tuple[str, ...]) -> Denial | None:
        """Return the denial that refuses the identity for the longest time."""
        places = ("", *_places(identity.canonical_arn, *iam_groups))
        shown = tuple(_shown_by(identity))
        keys = ((kind, value, place) for kind, value in shown for place in places)
        hits = [self._by_key[key] for key in keys if key in self._by_key]
        hits += [
            denial
            for kind, pattern, place, denial in self._patterns
            if place in places and any(kind == other and pattern.match(value) for other, value in shown)
        ]
        return max(hits, key=lambda denial: denial.until, default=None)


class NobodysName(ValueError):
    """A text that can name nobody who signs. `message` says why, `hint` what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def denial_of(text: str, *, role: str = "", until: float, reason: str = "", by: str = "", at: float = 0.0) -> Denial:
    """Return the denial of a user name, an ARN, an access key id or a unique id. Raises NobodysName for any other text."""
    kind = kind_of(text)
    if not kind or is_folded_id(text):
        raise NobodysName(*objection(text))
    return Denial(ident_of(kind, text, role), kind, text, role, until, reason, by, at)


def ident_of(kind: str, value: str, role: str = "", iam_group: str = "") -> str:
    """The name of a denial: the same for what denies the same, so that a second one replaces the first. A key of a ConfigMap."""
    folded = _folded(kind, value)
    spoken = re.sub(r"[^a-z0-9]+", "-", re.split("[/:]", folded.lower())[-1])[:40].strip("-")
    meant = "\0".join((kind, folded, *(_places(role, iam_group) or ("",))))
    return f"{spoken or 'denial'}-{hashlib.sha256(meant.encode()).hexdigest()[:10]}"


def same_target(one: Denial, other: Denial) -> bool:
    """Return whether both deny the same sign-ins, whenever they end."""
    return ident_of(one.kind, one.value, one.role, one.iam_group) == ident_of(
        other.kind, other.value, other.role, other.iam_group
    )


def is_reachable(kind: str, value: str, role: str, iam_group: str) -> bool:
    """Return whether a principal of that kind and value can sign in through the role, or be admitted by the IAM group.

    True without either. A session carries the id and keys of its role, so an id or key of a user is never seen there.
    """
    match kind:
        case "arn":
            account, _, name = (_user_in(arn_key(value)) or "").partition(":")
            by_role = arn_key(role) == role_of(value) or (bool(name) and arn_key(role).startswith(f"{account}:"))
            by_group = bool(name)
        case "userId":
            by_role, by_group = value.startswith("AROA"), value.startswith("AIDA")
        case "accessKeyId":
            by_role, by_group = value.startswith("ASIA"), True
        case _:
            by_role = by_group = True
    return bool(role and by_role) or bool(iam_group and by_group) or not (role or iam_group)


def _keys_of(denial: Denial) -> Iterator[Key]:
    """Yield what an identity may show for the denial to be about it."""
    for kind in KINDS if denial.kind == ANY_KIND else (denial.kind,):
        value = _folded(kind, denial.value)
        yield kind, value
        if kind == "arn":
            user = _user_in(value)
            if user is not None:
                yield "userOf", user


def _shown_by(identity: Identity) -> Iterator[Key]:
    """The same, of an identity."""
    arn, canonical = arn_key(identity.arn), arn_key(identity.canonical_arn)
    yield "accessKeyId", identity.access_key_id.upper()
    yield "arn", canonical
    if arn != canonical:
        yield "arn", arn
    yield "userId", _folded("userId", identity.user_id)
    name = ascii_lower(identity.session_name)
    if name:
        yield "userId", f"{identity.user_id.upper()}:{name}"
    else:
        parsed = parse_arn(identity.arn)
        name = ascii_lower(parsed.resource.rsplit("/", 1)[-1]) if parsed is not None else ""
    yield "userName", name
    yield "userOf", f"{identity.account_id}:{name}"


def _folded(kind: str, value: str) -> str:
    """The value as it is compared. IAM tells no two names apart by their letter case, so a denial does not either."""
    if kind == "arn":
        return arn_key(value)
    if kind == "userId":
        ident, colon, session = value.partition(":")
        return ident.upper() + colon + ascii_lower(session)
    return value.upper() if kind == "accessKeyId" else ascii_lower(value)


def _places(role: str, *iam_groups: str) -> tuple[str, ...]:
    """A role and IAM groups as they are compared, without the empty ones. No name of a group is like an ARN."""
    return tuple(place for place in (arn_key(role), *(ascii_lower(name) for name in iam_groups)) if place)


def _user_in(key: str) -> str | None:
    """`account:name` of the user with that comparable ARN, None for any other principal."""
    account, _, resource = key.partition(":")
    kind, _, name = resource.partition("/")
    return f"{account}:{name}" if kind == "user" else None


def about(denial: Denial, text: str) -> bool:
    """Return whether the denial is the one of that name, or denies what a person typed, in whatever role."""
    return denial.ident == text or any(_folded(kind, denial.value) == _folded(kind, text) for kind in KINDS)
