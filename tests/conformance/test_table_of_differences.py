"""docs/compatibility.md and the predicates are one set of rows, and each was shown by a run or names the test that shows it."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from differences import BESIDE, DIFFERENCES, ELSEWHERE, SHAPES
from tally import PARTS, ROOT, Tally, page_rows

pytestmark = pytest.mark.reference


def test_the_page_and_the_predicates_are_one_set() -> None:
    known = [*DIFFERENCES, *(row for row in (*SHAPES, *BESIDE, *ELSEWHERE) if row not in DIFFERENCES)]
    assert len(page_rows()) == len(set(page_rows()))
    assert sorted(page_rows()) == sorted(known)


@pytest.mark.parametrize("row", ELSEWHERE)
def test_what_is_shown_elsewhere_is(row: str) -> None:
    path, _, name = ELSEWHERE[row].partition("::")
    assert f"def {name}(" in (ROOT / path).read_text(), ELSEWHERE[row]


def test_a_complete_run_that_shows_all_rows_but_one_names_it() -> None:
    rows = [row for row in page_rows() if row not in ELSEWHERE]
    half, rest = Tally(cases=1, parts=set(PARTS)), Tally(cases=2, rows=Counter(rows[2:]), shapes=Counter(rows[:1]))
    half.add(Tally.of_plain(json.loads(json.dumps(rest.plain()))))
    assert half.cases == 3
    assert half.gaps() == [f"row {rows[1]} of docs/compatibility.md was shown by no case"]
    half.parts.pop()
    assert half.gaps() == []
