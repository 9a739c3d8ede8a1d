"""Outcomes of checks, and the run of a list of checks.

A check is data: its code, its step, its title, the checks that it needs, and its function. A check does not run where one that it
needs failed, or did not run for that reason. One that needs a check which could not tell runs all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kube_iam.doctor.causes import Cause
from kube_iam.errors import KubeIamError

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Passed:
    """The check found nothing wrong. `detail` is what it found."""

    detail: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The check found a fault. `detail` says what was found here; `remedy`, where set, replaces that of the table of causes."""

    cause: Cause
    detail: str
    remedy: str = ""

    @property
    def advice(self) -> str:
        """Return the remedy for this fault."""
        return self.remedy or self.cause.remedy


@dataclass(frozen=True, slots=True)
class Skipped:
    """The check did not run, or could not tell. `reason` names the check or the right that is missing."""

    reason: str


Outcome = Passed | Failed | Skipped


@dataclass(frozen=True, slots=True)
class Check(Generic[S]):
    """One check. `step` is its number in docs/doctor.md. `needs` are codes of checks that must not have failed."""

    code: str
    step: int
    title: str
    run: Callable[[S], Outcome]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A check's code, step and title with its outcome."""

    code: str
    step: int
    title: str
    outcome: Outcome


def run_checks(checks: Sequence[Check[S]], state: S) -> Iterator[Result]:
    """Run the checks in their order, and yield each result when it is known. Checks keep what they found in `state`.

    A check that ends with an error of our tree could not tell: it is skipped.
    """
    titles = {check.code: check.title for check in checks}
    failed: set[str] = set()
    for check in checks:
        missing = next((code for code in check.needs if code in failed), "")
        outcome = Skipped(f"needs: {titles[missing]}") if missing else _outcome(check, state)
        if missing or isinstance(outcome, Failed):
            failed.add(check.code)
        yield Result(check.code, check.step, check.title, outcome)


def _outcome(check: Check[S], state: S) -> Outcome:
    try:
        return check.run(state)
    except KubeIamError as error:
        return Skipped(str(error))


def first_failure(results: Sequence[Result]) -> Failed | None:
    """Return the first failure, None where no check failed."""
    return next((result.outcome for result in results if isinstance(result.outcome, Failed)), None)
