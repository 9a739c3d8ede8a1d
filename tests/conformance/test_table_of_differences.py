"""docs/compatibility.md and the predicates are one set of rows, and each was shown by a run or names the test that shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from differences import BESIDE, DIFFERENCES, ELSEWHERE, SHAPES
from tally import Tally

pytestmark = [pytest.mark.reference, pytest.mark.xdist_group("conformance")]

ROOT = Path(__file__).parents[2]
PARTS = {
    *("tokens", "requests", "mappings", "aws-auth", "objects", "chains", "nodes"),
    *("generated tokens", "generated mappings"),
}


def rows() -> list[str]:
    page = (ROOT / "docs" / "compatibility.md").read_text()
    return re.findall(r"^\| ([A-Z]\d+) \|", page, re.MULTILINE)


def test_the_page_and_the_predicates_are_one_set() -> None:
    known = [*DIFFERENCES, *(row for row in (*SHAPES, *BESIDE, *ELSEWHERE) if row not in DIFFERENCES)]
    assert len(rows()) == len(set(rows()))
    assert sorted(rows()) == sorted(known)


@pytest.mark.parametrize("row", ELSEWHERE)
def test_what_is_shown_elsewhere_is(row: str) -> None:
    path, _, name = ELSEWHERE[row].partition("::")
    assert f"def {name}(" in (ROOT / path).read_text(), ELSEWHERE[row]


def test_each_row_was_shown_in_this_run(tally: Tally) -> None:
    if not tally.parts >= PARTS:
        pytest.skip("only some of the cases were run")
    shown = {*tally.rows, *tally.shapes}
    assert [row for row in rows() if row not in shown and row not in ELSEWHERE] == []
    assert not tally.others
