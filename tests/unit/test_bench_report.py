"""The benchmark's table: nothing is lost on the way to the file, and the documentation shows what was measured."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))
figures: Any = import_module("bench.figures")
report: Any = import_module("bench.report")

ROWS = [
    figures.Row(
        "token",
        "`token`",
        (
            figures.part("wall time", "ms", [11, 12, 13], [20, 20, 21], figures.ratio("<=", 0.5)),
            figures.part("calls", "", [3], None, figures.ours("<=", 5)),
            figures.part("CPU time", "ms", [9, 9], [18, 18]),
        ),
        ("a note",),
    )
]
FACTS = {
    "date": "2026-01-02T03:04:05Z",
    "commit": "abc",
    "changed_sources": False,
    "machine": {"cpu": "a CPU", "cores": 2, "memory_gib": 4, "system": "Linux 6", "load_average_before": 0.1},
    "versions": {"python": "Python 3.11.7 (main)", "reference": '{"Version":"v0.7.8"}', "awscli": "aws-cli/1 x"},
}


def test_rows_survive_the_file() -> None:
    written = json.loads(json.dumps(report.to_json(FACTS, ROWS)))
    assert report.from_json(written) == ROWS


def test_the_file_says_medians_spread_ratios_and_the_single_values() -> None:
    part = report.to_json(FACTS, ROWS)["rows"][0]["parts"][0]
    assert part["ours"] == {"median": 12, "iqr": 1, "values": [11, 12, 13]}
    assert part["ratio"] == 0.6
    assert part["met"] is False


def test_a_missed_target_is_shown_as_missed() -> None:
    assert "NOT MET" in report.terminal(ROWS)
    assert "**not met**" in report.markdown(report.to_json(FACTS, ROWS))
    assert report.verdicts(ROWS) == (1, 2)


def test_the_table_says_where_and_when_it_was_measured() -> None:
    text = report.markdown(report.to_json(FACTS, ROWS))
    assert "2026-01-02" in text
    assert "2 cores of a CPU" in text


def test_the_documentation_shows_the_results_as_they_were_measured() -> None:
    found = json.loads((REPOSITORY / "bench" / "results.json").read_text())
    text = (REPOSITORY / "docs" / "performance.md").read_text()
    shown = text.partition(report.BEGIN + "\n")[2].partition(report.END)[0]
    assert shown == report.markdown(found), "run: python -m bench --docs"
