"""The clock that ages are measured by."""

from __future__ import annotations

import time

import pytest

from kube_iam.server.clock import uptime


def test_nobody_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = uptime()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    after = uptime()
    assert before <= after
    source = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC
    assert after <= time.clock_gettime(source)
