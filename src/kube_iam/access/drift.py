"""Drift: the changes of a plan as differences between what is there and what the file says, one for each thing.

A plan may change one thing in two steps, since additions come before removals. Here those are one difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from kube_iam.access.changes import Change, Field, Kind, TemporaryRemoval, Verb


class State(Enum):
    """State of a thing that is not as the file says. EXPIRED is temporary access that is over and was not removed."""

    MISSING = "missing"
    DIFFERENT = "different"
    EXTRA = "extra"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the file says. The values of `fields` are those that are there, and those of the file."""

    state: State
    kind: Kind
    name: str
    level: str
    fields: tuple[Field, ...] = ()

    def as_data(self) -> dict[str, object]:
        """Return the difference as JSON data."""
        return {
            "state": self.state.value,
            "kind": self.kind.value,
            "name": self.name,
            "level": self.level,
            "fields": {part.name: {"actual": part.before, "file": part.after} for part in self.fields},
        }


def differences(changes: Iterable[Change]) -> tuple[Difference, ...]:
    """Return the differences behind the changes of a plan of `apply`, in its order. There is one at least for any change."""
    things: dict[tuple[Kind, str], list[Change]] = {}
    for change in changes:
        things.setdefault((change.kind, change.name), []).append(change)
    return tuple(_difference(steps) for steps in things.values())


def _difference(steps: list[Change]) -> Difference:
    """Return the difference behind the changes of one thing. One that is deleted and created differs in what the two say."""
    first, last = steps[0], steps[-1]
    if len(steps) > 1:
        return Difference(State.DIFFERENT, last.kind, last.name, last.level, _before_and_after(steps))
    return Difference(_state(first), first.kind, first.name, first.level, first.fields)


def _state(change: Change) -> State:
    if change.verb is Verb.CREATE:
        return State.MISSING
    if change.verb is Verb.DELETE:
        ended = isinstance(change.item, TemporaryRemoval) and change.item.only is not None
        return State.EXPIRED if ended else State.EXTRA
    return State.DIFFERENT


def _before_and_after(steps: list[Change]) -> tuple[Field, ...]:
    """Return the fields whose value before the first of these steps is not the one after the last."""
    found: dict[str, Field] = {}
    for step in steps:
        for part in step.fields:
            earlier = found.get(part.name, part)
            found[part.name] = Field(part.name, earlier.before, part.after)
    return tuple(part for part in found.values() if part.before != part.after)
