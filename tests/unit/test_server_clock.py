"""The clocks that ages and expiries are measured by."""

from __future__ import annotations

import time

import pytest

from kube_iam.server.process import uptime
from kube_iam.server.verifier import ElapsedTime


def test_nobody_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = uptime()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    after = uptime()
    assert before <= after
    source = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC
    assert after <= time.clock_gettime(source)


@pytest.mark.parametrize(
    ("wall", "steady", "elapsed"),
    [(10, 10, 10), (-3600, 10, 10), (3600, 10, 3600), (10, 0, 10), (-5, 0, 0)],
    ids=["both advance", "set back", "set forward", "suspended", "set back at once"],
)
def test_elapsed_time_follows_the_clock_that_advanced_more(wall: float, steady: float, elapsed: float) -> None:
    clocks = {"wall": 1_000_000.0, "steady": 5.0}
    time_passed = ElapsedTime(lambda: clocks["wall"], lambda: clocks["steady"])
    assert time_passed() == 0
    clocks["wall"] += wall
    clocks["steady"] += steady
    assert time_passed() == elapsed
    assert time_passed() == elapsed


def test_elapsed_time_never_goes_back_over_several_steps() -> None:
    clocks = {"wall": 1_000_000.0, "steady": 5.0}
    time_passed = ElapsedTime(lambda: clocks["wall"], lambda: clocks["steady"])
    readings = []
    for step in (60, -3600, 3600, -60, 0):
        clocks["wall"] += step
        clocks["steady"] += 1
        readings.append(time_passed())
    assert readings == [60, 61, 3661, 3662, 3663]
