"""The table of seeded faults in docs/ has each fault that a test seeds, and no other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from seeded_faults import seeded_in

ROOT = Path(__file__).parents[2]
MODULES = ("test_doctor_on_cluster", "test_admin_doctor_on_cluster")
PAGE = ROOT / "docs" / "reference" / "seeded-faults.md"


def test_the_table_lists_the_faults_that_tests_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tests" / "e2e")
    expected = []
    for name in MODULES:
        known = sys.modules.get(name)
        module = known if known is not None else importlib.import_module(name)
        for found, test in seeded_in(module):
            place = f"tests/e2e/{name}.py::{test}"
            expected.append(
                f"| {found.fault} | {found.person} | [`{found.cause.code}`](../troubleshooting.md) | `{place}` |"
            )
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "::" in line]
    assert rows == expected, "the rows should be:\n" + "\n".join(expected)
    assert len(rows) >= 40
    assert len({tuple(row.split(" | ")[:2]) for row in rows}) == len(rows), "a fault stands twice"
