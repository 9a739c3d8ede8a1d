"""Backoff of the reads of IAM while all of them fail."""

from __future__ import annotations

from kube_iam.membership.backoff import MAX_CONCURRENCY, Backoff


def backoff() -> Backoff:
    return Backoff(lambda seconds: seconds)


def test_it_is_asked_less_and_less_but_twice_a_minute_at_least() -> None:
    held, now, pauses = backoff(), 100.0, []
    for _ in range(7):
        held.failed(now, now)
        pauses.append(held.not_before - now)
        now = held.not_before
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_calls_that_were_under_way_together_count_once() -> None:
    held = backoff()
    for ended in (100.0, 100.1, 107.0):
        held.failed(99.0, ended)
    assert held.not_before == 101.0


def test_one_call_at_a_time_asks_whether_it_is_back() -> None:
    held = backoff()
    assert held.concurrency == MAX_CONCURRENCY
    held.failed(99.0, 100.0)
    assert held.concurrency == 1
    held.succeeded()
    assert held.concurrency == MAX_CONCURRENCY


def test_after_an_answer_the_next_failure_is_a_first_one() -> None:
    held = backoff()
    held.failed(1.0, 1.0)
    held.failed(2.0, 2.0)
    held.succeeded()
    held.failed(10.0, 10.0)
    assert held.not_before == 11.0
