"""Who is kept out whatever the mappings say: the entries of a deny list, read so that a mistake in one closes more and not less.

A denial names a person (`userName`: the IAM user of that name and every session that is named so), an ARN (a user's also covers the
sessions of that account which are named after the user; a role's covers all its sessions), an access key or a unique id (AIDA…, AROA…,
or AROA…:session). With `role`, only sessions of that role are meant; with `iam_group`, only who is let in by that IAM group.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kube_iam.core.arns import canonical_arn, parse_arn, strip_role_path
from kube_iam.core.identity import Identity
from kube_iam.core.utc import rfc3339

KINDS = ("userName", "arn", "accessKeyId", "userId")
ANY_KIND = ""
"""The kind of an entry that does not say which: its value counts as each of them."""
FOR_EVER = float("inf")
_ACCESS_KEY = re.compile(r"A[A-Z]{2}A[A-Z0-9]{12,124}", re.ASCII)
_UNIQUE_ID = re.compile(r"(AIDA|AROA)[A-Z0-9]{6,124}(:[\w+=,.@-]{2,64})?", re.ASCII)
_NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)

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

    __slots__ = ("_by_key", "_found")

    def __init__(self, denials: Iterable[Denial] = ()) -> None:
        self._by_key: dict[tuple[str, str, str], Denial] = {}
        self._found: dict[tuple[Identity, tuple[str, ...]], Denial | None] = {}
        for denial in denials:
            for kind, value in _keys_of(denial):
                for place in _places(denial.role, denial.iam_group) or ("",):
                    known = self._by_key.get((kind, value, place))
                    if known is None or known.until < denial.until:
                        self._by_key[kind, value, place] = denial

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def find(self, identity: Identity, now: float, iam_groups: tuple[str, ...] = ()) -> Denial | None:
        """The denial that keeps the identity out at this time, of what these IAM groups let it in by too, or None."""
        if not self._by_key:
            return None
        asked = (identity, iam_groups)
        if asked in self._found:
            denial = self._found[asked]
        else:
            if len(self._found) >= _KEPT:
                self._found.clear()
            denial = self._found[asked] = self._longest(identity, iam_groups)
        return denial if denial is not None and denial.until > now else None

    def _longest(self, identity: Identity, iam_groups: tuple[str, ...]) -> Denial | None:
        """The denial that keeps the identity out for the longest time."""
        places = ("", *_places(identity.canonical_arn, *iam_groups))
        keys = ((kind, value, place) for kind, value in _shown_by(identity) for place in places)
        hits = (self._by_key[key] for key in keys if key in self._by_key)
        return max(hits, key=lambda denial: denial.until, default=None)


def denial_of(text: str, *, role: str = "", until: float, reason: str = "", by: str = "", at: float = 0.0) -> Denial:
    """The denial of what a person typed: a user name, an ARN, an access key id or a unique id. Raises ValueError for none of them."""
    # From the most particular: a unique id has the form of a user's name too.
    kind = next((kind for kind in ("arn", "userId", "accessKeyId", "userName") if fits(kind, text)), "")
    if not kind:
        raise ValueError(f"{text!r} is not the name of an IAM user, an ARN, an access key id or a unique id")
    return Denial(ident_of(kind, text, role), kind, text, role, until, reason, by, at)


def fits(kind: str, value: str) -> bool:
    """Whether the value has the form of that kind; one that has not would deny nobody."""
    if kind == "arn":
        try:
            canonical_arn(value.lower())
        except ValueError:
            return False
        return True
    form = {"userId": _UNIQUE_ID, "accessKeyId": _ACCESS_KEY, "userName": _NAME}[kind]
    return form.fullmatch(value) is not None


def ident_of(kind: str, value: str, role: str = "", iam_group: str = "") -> str:
    """The name of a denial: the same for what denies the same, so that a second one replaces the first. A key of a ConfigMap."""
    folded = _folded(kind, value)
    spoken = re.sub(r"[^a-z0-9]+", "-", re.split("[/:]", folded.lower())[-1])[:40].strip("-")
    meant = "\0".join((kind, folded, *(_places(role, iam_group) or ("",))))
    return f"{spoken or 'denial'}-{hashlib.sha256(meant.encode()).hexdigest()[:10]}"


def same_target(one: Denial, other: Denial) -> bool:
    """Whether both deny the same sign-ins, whenever they end."""
    return ident_of(one.kind, one.value, one.role, one.iam_group) == ident_of(
        other.kind, other.value, other.role, other.iam_group
    )


def _keys_of(denial: Denial) -> Iterator[Key]:
    """What an identity may show for the denial to be about it."""
    for kind in KINDS if denial.kind == ANY_KIND else (denial.kind,):
        value = _folded(kind, denial.value)
        yield kind, value
        if kind == "arn":
            user = _user_in(value)
            if user is not None:
                yield "userOf", user


def _shown_by(identity: Identity) -> Iterator[Key]:
    """The same, of an identity."""
    arn, canonical = identity.arn.lower(), strip_role_path(identity.canonical_arn.lower())
    yield "accessKeyId", identity.access_key_id.upper()
    yield "arn", canonical
    if arn != canonical:
        yield "arn", strip_session_path(arn)
    yield "userId", _folded("userId", identity.user_id)
    name = identity.session_name.lower()
    if name:
        yield "userId", f"{identity.user_id.upper()}:{name}"
    else:
        parsed = parse_arn(arn)
        name = parsed.resource.rsplit("/", 1)[-1] if parsed is not None else ""
    yield "userName", name
    yield "userOf", f"{identity.account_id}:{name}"


def strip_session_path(arn: str) -> str:
    """An assumed role's ARN with the role's bare name, as STS shows it; any other text comes back as it is."""
    parsed = parse_arn(arn)
    if parsed is None or parsed.service != "sts" or not parsed.resource.startswith("assumed-role/"):
        return arn
    names = parsed.resource.split("/")
    return f"arn:{parsed.partition}:sts::{parsed.account}:assumed-role/{'/'.join(names[-2:])}"


def _folded(kind: str, value: str) -> str:
    """The value as it is compared. IAM tells no two names apart by their letter case, so a denial does not either."""
    if kind == "arn":
        return strip_session_path(strip_role_path(value.lower()))
    if kind == "userId":
        ident, colon, session = value.partition(":")
        return ident.upper() + colon + session.lower()
    return value.upper() if kind == "accessKeyId" else value.lower()


def _places(role: str, *iam_groups: str) -> tuple[str, ...]:
    """A role and IAM groups as they are compared, without the empty ones. No name of a group is like an ARN."""
    return tuple(place for place in (strip_role_path(role.lower()), *(name.lower() for name in iam_groups)) if place)


def _user_in(arn: str) -> str | None:
    parsed = parse_arn(arn)
    if parsed is None or parsed.service != "iam" or not parsed.resource.startswith("user/"):
        return None
    return f"{parsed.account}:{parsed.resource.rsplit('/', 1)[-1]}"


def about(denial: Denial, text: str) -> bool:
    """Whether the denial is the one of that name, or denies what a person typed, in whatever role."""
    return denial.ident == text or any(_folded(kind, denial.value) == _folded(kind, text) for kind in KINDS)
