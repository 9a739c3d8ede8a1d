"""Status query of a denial: ask one server, through kube-apiserver, whether it is in force there and when its user signed in last.

The query is a TokenReview whose token is `kube-iam-deny-status-v1.<nonce>.<denial>`. Nobody ever signs in with such a token. The
answer is the `status.error`, which kube-apiserver passes on to callers that may create TokenReviews. Each server has a random name,
which tells servers behind one address apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "kube-iam-deny-status-v1."
NOT_LOADED, IN_FORCE, NOT_IN_FORCE = "not-loaded", "in-force", "not-in-force"
_QUESTION = re.compile(rf"{re.escape(PREFIX)}([0-9a-f]{{16,64}})\.([A-Za-z0-9_-]{{1,64}})", re.ASCII)
_ANSWER = re.compile(
    rf"{re.escape(PREFIX.removesuffix('.'))} nonce=(?P<nonce>[0-9a-f]+) server=(?P<server>[0-9a-f]+) denial=(?P<state>[a-z-]+)"
    r" until=(?P<until>[0-9.]+|none) last-sign-in=(?P<seconds>[0-9]+\.[0-9]+) known=(?P<known>yes|no)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class StatusQuestion:
    """The question in a token. `nonce` is 16 to 64 hexadecimal digits; `denial` is the name of the denial."""

    nonce: str
    denial: str

    @property
    def token(self) -> str:
        """The token of the TokenReview."""
        return f"{PREFIX}{self.nonce}.{self.denial}"


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """The answer of one server. `state` is NOT_LOADED, IN_FORCE or NOT_IN_FORCE.

    `until` is the end of a denial in force in Unix seconds, infinite without an end, and 0 for another state. `last_sign_in` is how
    many seconds ago the user signed in: exact where `known`, else for how long the server remembers sign-ins.
    """

    nonce: str
    server: str
    state: str
    until: float = 0.0
    last_sign_in: float = 0.0
    known: bool = False

    @property
    def text(self) -> str:
        """The answer as a line. `parse_answer` finds it between other text of kube-apiserver."""
        until = "none" if self.until == float("inf") else f"{self.until:.0f}"
        known = "yes" if self.known else "no"
        return (
            f"{PREFIX.removesuffix('.')} nonce={self.nonce} server={self.server} denial={self.state}"
            f" until={until} last-sign-in={self.last_sign_in:.3f} known={known}"
        )


def parse_question(token: str) -> StatusQuestion | None:
    """Return the question in a token, or None for any other token."""
    found = _QUESTION.fullmatch(token)
    return StatusQuestion(found[1], found[2]) if found is not None else None


def parse_answer(text: str, nonce: str) -> StatusAnswer | None:
    """Return the answer to the question with that nonce, or None. Answers to other questions do not count."""
    for found in _ANSWER.finditer(text):
        if found["nonce"] == nonce:
            until = float("inf") if found["until"] == "none" else float(found["until"])
            known = found["known"] == "yes"
            return StatusAnswer(nonce, found["server"], found["state"], until, float(found["seconds"]), known)
    return None
