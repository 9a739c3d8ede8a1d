"""A question to a server, asked through kube-apiserver: is this denial in force with you, and when did you last let that person in?

It is a TokenReview whose token is `kube-iam-probe-v1.<nonce>.<denial>`. Nobody ever signs in with one; the answer is the
`status.error` that kube-apiserver passes on to whoever may create TokenReviews. The server's own name tells servers behind one
address apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "kube-iam-probe-v1."
UNKNOWN, IN_FORCE, NOT_IN_FORCE = "not-loaded", "in-force", "not-in-force"
_QUESTION = re.compile(r"kube-iam-probe-v1\.([0-9a-f]{16,64})\.([A-Za-z0-9_-]{1,64})", re.ASCII)
_ANSWER = re.compile(
    r"kube-iam-probe-v1 nonce=(?P<nonce>[0-9a-f]+) server=(?P<server>[0-9a-f]+) denial=(?P<state>[a-z-]+)"
    r" until=(?P<until>[0-9.]+|none) let-in=(?P<seconds>[0-9]+\.[0-9]+) known=(?P<known>yes|no)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Question:
    """What a probe's token asks; `nonce` is 16 to 64 hexadecimal digits."""

    nonce: str
    denial: str

    @property
    def token(self) -> str:
        """The token of the TokenReview."""
        return f"{PREFIX}{self.nonce}.{self.denial}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one server says. `until` is the end of the denial that is in force, 0 where there is none, infinite where it has no end.

    The person was let in at the latest `seconds` ago; that is exact where `known`, and else how far back the server remembers.
    """

    nonce: str
    server: str
    state: str
    until: float = 0.0
    seconds: float = 0.0
    known: bool = False

    @property
    def text(self) -> str:
        """The answer as a line, which `read_answer` finds in whatever kube-apiserver puts around it."""
        until = "none" if self.until == float("inf") else f"{self.until:.0f}"
        known = "yes" if self.known else "no"
        return (
            f"kube-iam-probe-v1 nonce={self.nonce} server={self.server} denial={self.state}"
            f" until={until} let-in={self.seconds:.3f} known={known}"
        )


def read_question(token: str) -> Question | None:
    """The question in a token; None where it is none."""
    found = _QUESTION.fullmatch(token)
    return Question(found[1], found[2]) if found is not None else None


def read_answer(text: str, nonce: str) -> Answer | None:
    """The answer to the question with that nonce; None where there is none, or only one to another question."""
    for found in _ANSWER.finditer(text):
        if found["nonce"] == nonce:
            until = float("inf") if found["until"] == "none" else float(found["until"])
            known = found["known"] == "yes"
            return Answer(nonce, found["server"], found["state"], until, float(found["seconds"]), known)
    return None
