"""An explanation: whether a principal is admitted, step by step. Values only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """The result of one step. The values are stable."""

    OK = "ok"
    MISSING = "missing"
    UNKNOWN = "unknown"
    NOTE = "note"  # it decides nothing


class Verdict(Enum):
    """The answer. The values are stable."""

    ADMITTED = "admitted"
    NOT_ADMITTED = "not_admitted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain. `code` and `reason` are stable: `reason` is why a link is missing or unknown, empty otherwise.

    `remedy` is a command, or what to change.
    """

    code: str
    status: Status
    detail: str
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The chain of one principal and one level, or one entry outside of levels (`entry`, its place).

    `username` and `groups` are what the server gives, empty where the principal is not admitted. `open_variables` are template
    variables in them that have a value only when somebody signs in.
    """

    principal: str
    steps: tuple[Step, ...]
    level: str = ""
    entry: str = ""
    username: str = ""
    groups: tuple[str, ...] = ()
    open_variables: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Return the answer. Every link has to be there: one that is missing decides, and one that is unknown leaves it open."""
        found = {step.status for step in self.steps}
        if Status.MISSING in found:
            return Verdict.NOT_ADMITTED
        return Verdict.UNKNOWN if Status.UNKNOWN in found else Verdict.ADMITTED

    @property
    def cause(self) -> Step | None:
        """Return the first link that is missing, else the first that is unknown, else None."""
        wanted = {Verdict.NOT_ADMITTED: Status.MISSING, Verdict.UNKNOWN: Status.UNKNOWN}.get(self.verdict)
        return next((step for step in self.steps if step.status is wanted), None)


def overall(explanations: Iterable[Explanation]) -> Verdict:
    """Return the answer of several together: admitted by one of them is admitted, and what is unknown stays unknown."""
    found = {each.verdict for each in explanations}
    return next((each for each in (Verdict.ADMITTED, Verdict.UNKNOWN) if each in found), Verdict.NOT_ADMITTED)
