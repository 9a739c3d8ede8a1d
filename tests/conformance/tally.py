"""The result of each case: the same, different on purpose (by row of docs/compatibility.md), or different otherwise."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from differences import DIFFERENCES, ELSEWHERE, Case, shape_row
from side_by_side import Outcome, Pair

ROOT = Path(__file__).parents[2]
PARTS = {
    *("tokens", "requests", "mappings", "aws-auth", "objects", "chains", "nodes"),
    *("generated tokens", "generated mappings"),
}


def page_rows() -> list[str]:
    """Return the names of the rows of docs/compatibility.md."""
    page = (ROOT / "docs" / "compatibility.md").read_text()
    return re.findall(r"^\| ([A-Z]\d+) \|", page, re.MULTILINE)


@dataclass(repr=False)
class Tally:
    """Counts of one run. `rows` are differences in who somebody is, `shapes` in how the same is said."""

    cases: int = 0
    agreed: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)

    def ask(self, pair: Pair, case: Case, row: str | None = None) -> None:
        """Ask both servers and check their answers."""
        # A server that does not start with a setup admits nobody.
        theirs, ours = (
            server.ask(case.question) if server is not None else Outcome(403, None, {})
            for server in (pair.reference, pair.ours)
        )
        if pair.ended:
            case = replace(case, name=f"{case.name} ({pair.ended})")
        self.check(case, theirs, ours, row)

    def check(self, case: Case, theirs: Outcome, ours: Outcome, row: str | None = None) -> None:
        """Count the case. Raises AssertionError where it differs and no row explains it.

        With a `row` the two must differ, and that row must explain it; with an empty one they must agree.
        """
        self.cases += 1
        self.parts.add(case.part)
        said = (
            f"{case.name}\n  reference: {theirs.status} {theirs.user}\n  ours: {ours.status} {ours.user} {ours.review}"
        )
        if theirs.user == ours.user:
            assert not row, f"row {row} says that these differ: {said}"
            shape = shape_row(case, theirs, ours)
            if shape is None:
                self.others.append(said)
                raise AssertionError(f"answers in a shape that no row explains: {said}")
            self.agreed += 1
            self.shapes.update(shape)
            return
        rows = [name for name, explains in DIFFERENCES.items() if explains(case, theirs, ours)]
        if not rows:
            self.others.append(said)
        assert rows, f"no row of docs/compatibility.md explains: {said}"
        assert row is None or row in rows, f"explained by {rows} and not by {row}: {said}"
        self.rows[row or rows[0]] += 1

    def shown(self, row: str) -> None:
        """Record that a test has shown both sides of a row that is not about an answer."""
        self.cases += 1
        self.rows[row] += 1

    def same(self) -> None:
        """Record that a comparison of something else than answers succeeded."""
        self.cases += 1
        self.agreed += 1

    def plain(self) -> dict[str, Any]:
        """Return it as plain data, which xdist can carry."""
        return {**vars(self), "rows": dict(self.rows), "shapes": dict(self.shapes), "parts": sorted(self.parts)}

    @classmethod
    def of_plain(cls, data: Mapping[str, Any]) -> Tally:
        """Return the tally whose plain data this is."""
        counts = {"rows": Counter(data["rows"]), "shapes": Counter(data["shapes"]), "parts": set(data["parts"])}
        return cls(**{**data, **counts})

    def add(self, other: Tally) -> None:
        """Count what another process has counted."""
        self.cases += other.cases
        self.agreed += other.agreed
        self.rows += other.rows
        self.shapes += other.shapes
        self.others += other.others
        self.notes += other.notes
        self.parts |= other.parts

    def gaps(self) -> list[str]:
        """Return what is wrong with a run of all parts: rows of the page that no case has shown. Empty where only some parts ran."""
        if not self.parts >= PARTS:
            return []
        shown = {*self.rows, *self.shapes, *ELSEWHERE}
        return [f"row {row} of docs/compatibility.md was shown by no case" for row in page_rows() if row not in shown]

    def report(self) -> list[str]:
        def by_row(counts: Counter[str]) -> str:
            return ", ".join(f"{row} {counts[row]}" for row in sorted(counts, key=_order)) or "none"

        return [
            *self.notes,
            f"cases run: {self.cases}",
            f"agreed: {self.agreed} (said in another shape: {by_row(self.shapes)})",
            f"deliberate differences: {sum(self.rows.values())} (by row of docs/compatibility.md: {by_row(self.rows)})",
            f"other differences: {len(self.others)}",
        ]


def _order(row: str) -> tuple[str, int]:
    return row[0], int(row[1:])


__all__ = ["Case", "Tally"]
