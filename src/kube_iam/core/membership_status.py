"""Status query about memberships, which a server answers through kube-apiserver: the state of its IAM reads for each level.

The question is a TokenReview with the token `kube-iam-membership-status-v1.<nonce>.<requirement>…`, which signs nobody in. The answer
is the `status.error` that kube-apiserver passes on to callers that may create TokenReviews. A requirement is named by a digest of its
IAM group and role. The answer names no other, so it tells nothing about groups that the caller cannot name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from kube_iam.core.tokens import digest_of

PREFIX = "kube-iam-membership-status-v1."
MOST_ASKED = 64
"""Limit of requirements in one question: kube-apiserver accepts no token that is much longer."""
_QUESTION = re.compile(rf"{re.escape(PREFIX)}([0-9a-f]{{16,64}})((?:\.[0-9a-f]{{16}}){{1,{MOST_ASKED}}})", re.ASCII)
_ANSWER = re.compile(
    rf"{re.escape(PREFIX.removesuffix('.'))} nonce=(?P<nonce>[0-9a-f]+) server=(?P<server>[0-9a-f]+)"
    r"(?P<states>(?: [0-9a-f]{16}=[a-z-]+@[0-9]{1,11}(?![0-9a-z]))*)",
    re.ASCII,
)


class MembershipState(Enum):
    """State of one level's IAM group and role on a server. All but the last two admit nobody, now or soon."""

    NOT_MAPPED = "not-mapped"  # its mappings hold no such requirement
    NOT_READ = "not-read"
    GROUP_FORBIDDEN = "group-forbidden"  # IAM denies the read; what was read before counts until the time of the status
    ROLE_FORBIDDEN = "role-forbidden"
    UNREADABLE = "unreadable"  # throttled, unreachable, without credentials
    GROUP_MISSING = "group-missing"
    ROLE_MISSING = "role-missing"  # absent, or of another account
    SESSION_NAME_UNRESTRICTED = "session-name-unrestricted"
    SUSPENDED = "suspended"  # until the time of the status
    RECREATED = "recreated"  # new sessions are admitted; those of the former role live until the time of the status at the latest
    ADMITS = "admits"


@dataclass(frozen=True, slots=True)
class MembershipStatus:
    """The state of one level. `until` is Unix seconds, 0 where the state has no end that is known."""

    state: MembershipState
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class MembershipQuestion:
    """The question of a status query; `nonce` is 16 to 64 hexadecimal digits, `requirements` are 1 to `MOST_ASKED` names."""

    nonce: str
    requirements: tuple[str, ...]

    @property
    def token(self) -> str:
        """The token of the TokenReview."""
        return f"{PREFIX}{self.nonce}.{'.'.join(self.requirements)}"


@dataclass(frozen=True, slots=True)
class MembershipAnswer:
    """The answer of one server. `server` is a name that tells servers apart; `states` are by requirement."""

    nonce: str
    server: str
    states: Mapping[str, MembershipStatus] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The answer as a line, which `read_membership_answer` finds in the text of kube-apiserver."""
        states = "".join(f" {name}={found.state.value}@{found.until:.0f}" for name, found in self.states.items())
        return f"{PREFIX.removesuffix('.')} nonce={self.nonce} server={self.server}{states}"


def requirement_name(iam_group: str, role: str = "") -> str:
    """Return the name of what an entry asks: its IAM group and, for mapRoles, the role's ARN without path in lower case."""
    return digest_of(iam_group, role)[:16]


def read_membership_question(token: str) -> MembershipQuestion | None:
    """Return the question in a token; None where it is none."""
    found = _QUESTION.fullmatch(token)
    return MembershipQuestion(found[1], tuple(found[2][1:].split("."))) if found is not None else None


def read_membership_answer(text: str, nonce: str) -> MembershipAnswer | None:
    """Return the answer to the question with that nonce; None where there is none. States of a later version are left out."""
    known = {state.value: state for state in MembershipState}
    for found in _ANSWER.finditer(text):
        if found["nonce"] == nonce:
            pairs = (part.partition("=")[::2] for part in found["states"].split())
            states = ((name, *value.partition("@")[::2]) for name, value in pairs)
            read: Iterable[tuple[str, MembershipStatus]] = (
                (name, MembershipStatus(known[state], float(until))) for name, state, until in states if state in known
            )
            return MembershipAnswer(nonce, found["server"], dict(read))
    return None
