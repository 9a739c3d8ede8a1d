"""Marks of tests that seed a fault in a working sandbox: docs/reference/seeded-faults.md lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from kube_iam.doctor.causes import Cause

F = TypeVar("F", bound=Callable[..., Any])
USER, ADMINISTRATOR = "the user", "an administrator"


class Seeded(NamedTuple):
    """A fault, the person who runs doctor, and the cause that it names first."""

    fault: str
    person: str
    cause: Cause


def seeded(fault: str, cause: Cause, person: str = USER) -> Callable[[F], F]:
    """Mark a test that seeds this fault and asserts that doctor names the cause first."""

    def mark(test: F) -> F:
        test.seeded = [*getattr(test, "seeded", []), Seeded(fault, person, cause)]  # type: ignore[attr-defined]
        return test

    return mark


def seeded_in(module: Any) -> list[tuple[Seeded, str]]:
    """Return the faults of a test module, each with the name of its test: those of its table FAULTS, and of marked tests."""
    found = [(Seeded(name, module.PERSON, fault.cause), module.TABLE_TEST) for name, fault in module.FAULTS.items()]
    for name, test in vars(module).items():
        found += [(each, name) for each in getattr(test, "seeded", ())]
    return found
