"""Pauses between attempts double up to a limit, and their random part keeps clients apart."""

from __future__ import annotations

import pytest

from kube_iam.core.backoff import ExponentialBackoff


def test_pauses_double_up_to_the_longest() -> None:
    backoff = ExponentialBackoff(first=0.5, longest=3.0)
    assert [backoff.pause(failures) for failures in (1, 2, 3, 4, 5, 10_000)] == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]


@pytest.mark.parametrize(("jitter", "shortest"), [(0.0, 8.0), (0.5, 4.0), (1.0, 0.0)])
def test_the_random_share_of_a_pause_is_the_jitter(jitter: float, shortest: float) -> None:
    backoff = ExponentialBackoff(first=8.0, longest=8.0, jitter=jitter)
    assert (backoff.pause(1, 0.0), backoff.pause(1, 1.0)) == (shortest, 8.0)
