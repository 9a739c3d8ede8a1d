"""What became of the cases: agreed, differing on purpose (by row of docs/compatibility.md), or differing otherwise."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from differences import DIFFERENCES, Case, shape_row
from side_by_side import Outcome, Pair


@dataclass(repr=False)
class Tally:
    """Counts of one session. `rows` are differences in who somebody is, `shapes` in how the same is said."""

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
        """A test has shown both sides of a row that is not about an answer."""
        self.cases += 1
        self.rows[row] += 1

    def same(self) -> None:
        """A comparison of something else than answers went well."""
        self.cases += 1
        self.agreed += 1

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
