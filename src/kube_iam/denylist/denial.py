"""Denials, the table in which a decision finds the denial of an identity, and the last sign-in that a denial covers.

A denial names a user (`userName`: the IAM user of that name and every session that is named so), an ARN (a user's also covers the
sessions of that account which are named after the user; a role's covers all its sessions), an access key or a unique id (AIDA…, AROA…,
or AROA…:session). With `role`, it covers sessions of that role only; with `iam_group`, only sign-ins that this IAM group admits.
`*` (any run) and `?` (one character) are patterns, which only entries written by hand contain.
"""

from __future__ import annotations

import fnmatch
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kube_iam.core.arns import parse_arn
from kube_iam.core.identity import Identity
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.principals import KINDS, arn_key, explain_invalid, is_folded_id, kind_of, role_of
from kube_iam.core.tokens import sha256_hex
from kube_iam.core.utc import rfc3339

ANY_KIND = ""
"""The kind of an entry that states none: its value counts as each kind."""
NO_END = float("inf")

_MAX_CACHED_LOOKUPS = 8192
CAPACITY = 4096
"""Identities of which the last sign-in is remembered."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Denial:
    """One denial of the deny list. `until` and `at` (when it was written) are Unix seconds; `actor` is the administrator who wrote it.

    `name` is its key in the ConfigMap. `role` is the ARN of a role and `iam_group` the name of an IAM group: the denial is in force in
    these only, or everywhere where both are empty.
    """

    name: str
    kind: str
    value: str
    role: str = ""
    until: float = NO_END
    reason: str = ""
    actor: str = ""
    at: float = 0.0
    iam_group: str = ""

    @property
    def end(self) -> str:
        """The end as RFC 3339, or `it is removed`, to follow the word until."""
        return "it is removed" if self.until == NO_END else rfc3339(self.until)


class DenialTable:
    """The denials of one version of the list, indexed by value: a look-up costs the same however many there are.

    Look-ups are cached by identity. A new version of the list needs a new table.
    """

    __slots__ = ("_by_key", "_found", "_patterns")

    def __init__(self, denials: Iterable[Denial] = ()) -> None:
        self._by_key: dict[tuple[str, str, str], Denial] = {}
        self._patterns: list[tuple[str, re.Pattern[str], str, Denial]] = []
        self._found: dict[tuple[Identity, tuple[str, ...]], Denial | None] = {}
        for denial in denials:
            for kind, value in _keys_of_denial(denial):
                for scope in _scopes(denial.role, denial.iam_group) or ("",):
                    self._add(kind, value, scope, denial)

    def __bool__(self) -> bool:
        return bool(self._by_key or self._patterns)

    def find(self, identity: Identity, now: float, iam_groups: tuple[str, ...] = ()) -> Denial | None:
        """Return the denial that refuses the identity at `now` (Unix seconds), or None. `iam_groups` are those that admit it."""
        if not self:
            return None
        question = (identity, iam_groups)
        if question in self._found:
            denial = self._found[question]
        else:
            if len(self._found) >= _MAX_CACHED_LOOKUPS:
                self._found.clear()
            denial = self._found[question] = self._longest(identity, iam_groups)
        return denial if denial is not None and denial.until > now else None

    def find_name(self, name: str, now: float, roles: Iterable[str], iam_groups: Iterable[str]) -> Denial | None:
        """Return the denial that refuses the IAM user of that name at `now`, or None. Only denials that name users count.

        `roles` are ARNs of roles that the user may have signed in by, and `iam_groups` groups that may admit it.
        """
        if not self:
            return None
        scoped = [key for role in roles for key in _scopes(role)]
        lowered = ascii_lower(name)
        keys = ("userName", lowered), *(("userOf", f"{account}:{lowered}") for account in {key[:12] for key in scoped})
        denial = self._longest_of(keys, ("", *scoped, *_scopes("", *iam_groups)))
        return denial if denial is not None and denial.until > now else None

    def _add(self, kind: str, value: str, scope: str, denial: Denial) -> None:
        if "*" in value or "?" in value:
            self._patterns.append((kind, re.compile(fnmatch.translate(value)), scope, denial))
            return
        known = self._by_key.get((kind, value, scope))
        if known is None or known.until < denial.until:
            self._by_key[kind, value, scope] = denial

    def _longest(self, identity: Identity, iam_groups: tuple[str, ...]) -> Denial | None:
        """Return the denial that refuses the identity for the longest time, or None."""
        scopes = ("", *_scopes(identity.canonical_arn, *iam_groups))
        return self._longest_of(tuple(_keys_of_identity(identity)), scopes)

    def _longest_of(self, keys: tuple[Key, ...], scopes: tuple[str, ...]) -> Denial | None:
        lookups = ((kind, value, scope) for kind, value in keys for scope in scopes)
        hits = [self._by_key[lookup] for lookup in lookups if lookup in self._by_key]
        hits += [
            denial
            for kind, pattern, scope, denial in self._patterns
            if scope in scopes and any(kind == other and pattern.match(value) for other, value in keys)
        ]
        return max(hits, key=lambda denial: denial.until, default=None)


class RecentSignIns:
    """The last sign-in of each identity, in bounded memory: kube-apiserver caches a sign-in, and a denial states for how long it may.

    Of those beyond `capacity`, the newest time is kept. All times are of one monotonic clock.
    """

    def __init__(self, started: float, capacity: int = CAPACITY) -> None:
        """Begin at `started`, the start of this server: a server before it may have admitted anybody until then."""
        self._times: OrderedDict[tuple[str, str], tuple[float, Identity]] = OrderedDict()
        self._forgotten = started
        self._capacity = capacity

    def record(self, identity: Identity, now: float) -> None:
        """Record that the identity signs in now."""
        key = (identity.arn, identity.access_key_id)
        self._times[key] = (now, identity)
        self._times.move_to_end(key)
        if len(self._times) > self._capacity:
            self._forgotten = self._times.popitem(last=False)[1][0]

    def last_sign_in(self, denial: Denial, now: float) -> tuple[float, bool]:
        """Return how many seconds ago an identity that the denial covers signed in at the latest, and whether that is exact.

        Where no such sign-in is remembered, the seconds are those for which sign-ins are remembered, and not exact.
        """
        table = DenialTable([denial])
        # A denial that has ended still covers the same identities.
        when = 0.0 if denial.until == NO_END else denial.until - 1
        # Which IAM group admitted a sign-in is not remembered, so that every sign-in of a member counts.
        groups = (denial.iam_group,) if denial.iam_group else ()
        hits = [time for time, identity in self._times.values() if table.find(identity, when, groups) is not None]
        last = max(hits, default=self._forgotten)
        return max(0.0, now - max(last, self._forgotten)), last > self._forgotten


class NotAPrincipal(ValueError):
    """The error of a text that no principal can have as its name, ARN, key or id. `message` states the reason, `hint` the remedy."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def denial_of(text: str, *, role: str = "", until: float, reason: str = "", actor: str = "", at: float = 0.0) -> Denial:
    """Return the denial of a user name, an ARN, an access key id or a unique id. Raises NotAPrincipal for any other text."""
    kind = kind_of(text)
    if not kind or is_folded_id(text):
        raise NotAPrincipal(*explain_invalid(text))
    return Denial(denial_name(kind, text, role), kind, text, role, until, reason, actor, at)


def denial_name(kind: str, value: str, role: str = "", iam_group: str = "") -> str:
    """Return the name of a denial, a key of a ConfigMap. Denials of the same sign-ins have one name: a second replaces the first."""
    normalized = _normalized(kind, value)
    readable = re.sub(r"[^a-z0-9]+", "-", re.split("[/:]", normalized.lower())[-1])[:40].strip("-")
    target = "\0".join((kind, normalized, *(_scopes(role, iam_group) or ("",))))
    return f"{readable or 'denial'}-{sha256_hex(target.encode())[:10]}"


def same_target(one: Denial, other: Denial) -> bool:
    """Return whether both deny the same sign-ins. Their ends do not count."""
    return denial_name(one.kind, one.value, one.role, one.iam_group) == denial_name(
        other.kind, other.value, other.role, other.iam_group
    )


def matches(denial: Denial, text: str) -> bool:
    """Return whether the text is the denial's name, or names what it denies, in any role or IAM group."""
    return denial.name == text or any(_normalized(kind, denial.value) == _normalized(kind, text) for kind in KINDS)


def is_reachable(kind: str, value: str, role: str, iam_group: str) -> bool:
    """Return whether a principal of that kind and value can sign in through the role, or be admitted by the IAM group.

    True without either. A session carries the id and keys of its role, so it never shows an id or key of a user.
    """
    match kind:
        case "arn":
            account, _, name = (_user_of(arn_key(value)) or "").partition(":")
            by_role = arn_key(role) == role_of(value) or (bool(name) and arn_key(role).startswith(f"{account}:"))
            by_group = bool(name)
        case "userId":
            by_role, by_group = value.startswith("AROA"), value.startswith("AIDA")
        case "accessKeyId":
            by_role, by_group = value.startswith("ASIA"), True
        case _:
            by_role = by_group = True
    return bool(role and by_role) or bool(iam_group and by_group) or not (role or iam_group)


def _keys_of_denial(denial: Denial) -> Iterator[Key]:
    """Yield the keys of which an identity has to have one for the denial to cover it."""
    for kind in KINDS if denial.kind == ANY_KIND else (denial.kind,):
        value = _normalized(kind, denial.value)
        yield kind, value
        if kind == "arn":
            user = _user_of(value)
            if user is not None:
                yield "userOf", user


def _keys_of_identity(identity: Identity) -> Iterator[Key]:
    """Yield the keys of an identity, in the form of `_keys_of_denial`."""
    canonical = arn_key(identity.canonical_arn)
    arn = canonical if identity.arn == identity.canonical_arn else arn_key(identity.arn)
    yield "accessKeyId", identity.access_key_id.upper()
    yield "arn", canonical
    if arn != canonical:
        yield "arn", arn
    yield "userId", _normalized("userId", identity.user_id)
    name = ascii_lower(identity.session_name)
    if name:
        yield "userId", f"{identity.user_id.upper()}:{name}"
    else:
        parsed = parse_arn(identity.arn)
        name = ascii_lower(parsed.resource.rsplit("/", 1)[-1]) if parsed is not None else ""
    yield "userName", name
    yield "userOf", f"{identity.account_id}:{name}"


def _normalized(kind: str, value: str) -> str:
    """Return the value in the form in which it is compared. IAM does not tell two names apart by their letter case."""
    if kind == "arn":
        return arn_key(value)
    if kind == "userId":
        unique_id, colon, session = value.partition(":")
        return unique_id.upper() + colon + (ascii_lower(session) if session else "")
    return value.upper() if kind == "accessKeyId" else ascii_lower(value)


def _scopes(role: str, *iam_groups: str) -> tuple[str, ...]:
    """Return the role and IAM groups in the form in which they are compared. Empty ones are left out.

    A role and a group never compare equal, since no name of a group has the form of an ARN.
    """
    return (*((arn_key(role),) if role else ()), *(ascii_lower(name) for name in iam_groups if name))


def _user_of(key: str) -> str | None:
    """Return `account:name` of the user with that comparable ARN, or None for any other principal."""
    account, _, resource = key.partition(":")
    kind, _, name = resource.partition("/")
    return f"{account}:{name}" if kind == "user" else None
