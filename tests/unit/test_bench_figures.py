"""Figures of `make bench`: they must neither flatter nor hide."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))
figures: Any = import_module("bench.figures")
positive = st.floats(min_value=0.001, max_value=1e9)


def test_the_ratio_is_between_medians_so_that_one_slow_run_does_not_decide() -> None:
    part = figures.part("wall time", "ms", [10, 10, 900], [20, 20, 20])
    assert part.ratio == 0.5


def test_a_loaded_machine_shows_as_spread() -> None:
    calm = figures.part("wall time", "ms", [10, 10, 11, 10])
    noisy = figures.part("wall time", "ms", [10, 40, 11, 35])
    assert calm.ours.spread < 1 < 20 < noisy.ours.spread


def test_a_single_measurement_has_no_spread() -> None:
    assert figures.part("calls", "", [7]).ours.spread == 0


@pytest.mark.parametrize(
    ("target", "ours", "theirs", "met"),
    [
        (figures.ratio("<=", 0.6), [6], [10], True),
        (figures.ratio("<=", 0.6), [6.1], [10], False),
        (figures.ratio(">=", 3), [30], [10], True),
        (figures.ratio(">=", 3), [29], [10], False),
        (figures.ours("<=", 5), [5], [200], True),
        (figures.ours("<=", 5), [6], [200], False),
    ],
)
def test_a_target_is_met_or_it_is_not(target: Any, ours: list[float], theirs: list[float], met: bool) -> None:
    assert figures.part("x", "", ours, theirs, target).met is met


def test_what_cannot_be_compared_does_not_count_as_met() -> None:
    assert figures.part("x", "", [1], [0], figures.ratio("<=", 0.6)).met is False
    assert figures.part("x", "", [1], None, figures.ratio("<=", 0.6)).met is False


def test_without_a_target_there_is_no_verdict() -> None:
    assert figures.part("x", "", [1], [2]).met is None


@given(st.lists(positive, min_size=1, max_size=20), st.lists(positive, min_size=1, max_size=20), positive)
def test_no_figure_is_on_both_sides_of_a_target_unless_it_is_the_target(
    ours: list[float], theirs: list[float], value: float
) -> None:
    below = figures.part("x", "", ours, theirs, figures.ratio("<=", value))
    above = figures.part("x", "", ours, theirs, figures.ratio(">=", value))
    assert (below.met, above.met) in {(True, False), (False, True)} or below.ratio == value
