"""Measurements, condensed: medians, spread, ratios, and whether a target is met. Nothing here measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Literal


@dataclass(frozen=True)
class Series:
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """The distance between the quartiles (IQR): half of all measurements lie within; 0 for a single one."""
        if len(self.values) < 2:
            return 0.0
        low, _, high = quantiles(self.values, n=4, method="inclusive")
        return high - low


@dataclass(frozen=True)
class Target:
    """A target for a figure. `of` is `ratio` (ours to the other's median) or `ours` (our median itself)."""

    of: Literal["ratio", "ours"]
    at: Literal["<=", ">="]
    value: float

    def __str__(self) -> str:
        return f"{'≤' if self.at == '<=' else '≥'} {self.value:g}{' ×' if self.of == 'ratio' else ''}"  # noqa: RUF001

    def met_by(self, figure: float) -> bool:
        """Whether a figure is on the right side."""
        return figure <= self.value if self.at == "<=" else figure >= self.value


@dataclass(frozen=True)
class Part:
    """One figure of a row, ours beside another's. Without a target it only informs."""

    label: str
    unit: str
    ours: Series
    theirs: Series | None = None
    target: Target | None = None
    against: str = "reference"

    @property
    def ratio(self) -> float | None:
        """Our median over theirs, None where there is nothing to divide by."""
        if self.theirs is None or self.theirs.median == 0:
            return None
        return self.ours.median / self.theirs.median

    @property
    def met(self) -> bool | None:
        """Whether the target is met, None where there is none. What cannot be told is not met."""
        if self.target is None:
            return None
        figure = self.ratio if self.target.of == "ratio" else self.ours.median
        return figure is not None and self.target.met_by(figure)


@dataclass(frozen=True)
class Row:
    """A row of the table: its name, what it is about, its figures, and what a reader must know to believe them."""

    name: str
    what: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = field(default=())


def part(
    label: str,
    unit: str,
    ours: Sequence[float],
    theirs: Sequence[float] | None = None,
    target: Target | None = None,
    against: str = "reference",
) -> Part:
    """Make a part of plain numbers."""
    return Part(label, unit, Series(tuple(ours)), Series(tuple(theirs)) if theirs else None, target, against)


def ratio(at: Literal["<=", ">="], value: float) -> Target:
    """Return a target for the ratio."""
    return Target("ratio", at, value)


def ours(at: Literal["<=", ">="], value: float) -> Target:
    """Return a target for our own figure."""
    return Target("ours", at, value)
