"""Sign-ins during an outage of STS with quick failures: retried at first, and no longer once the outage lasts."""

from __future__ import annotations

import asyncio

import pytest
from token_verifier import AWAY, BUSY, NO, NOW, YES, make, token

from kube_iam.aws.sts import StsAnswer
from kube_iam.core.reasons import Reason, Refusal

FAILED = StsAnswer(500, "", b"")
SILENCE = Refusal(Reason.STS_NO_ANSWER)
QUICK_FAILURES = [AWAY, BUSY, FAILED, RuntimeError("of ours")]
Answer = StsAnswer | Refusal | Exception


def lasting(*answers: tuple[float, Answer]) -> list[bool]:
    """Return, for sign-ins with new tokens at NOW + seconds, whether each was refused because of a lasting outage."""

    async def story() -> list[bool]:
        verifier, sts, clock = make(YES)
        refused = []
        for number, (seconds, answer) in enumerate(answers):
            clock.now, sts.answer = NOW + seconds, answer
            verdict = await verifier.verify(token(NOW + seconds - number))
            refused.append(isinstance(verdict, Refusal) and verdict.lasting)
        assert sts.calls == len(answers)
        return refused

    return asyncio.run(story())


@pytest.mark.parametrize("failure", QUICK_FAILURES)
def test_outage_lasts_after_six_seconds_of_failures(failure: Answer) -> None:
    assert lasting((0, failure), (3, failure), (5.9, failure), (6, failure), (7, failure)) == [False] * 3 + [True] * 2


def test_kinds_of_failures_add_up() -> None:
    assert lasting((0, AWAY), (3, BUSY), (6, FAILED)) == [False, False, True]


@pytest.mark.parametrize("answer", [YES, NO])
@pytest.mark.parametrize("failure", QUICK_FAILURES)
def test_answer_of_sts_ends_the_outage(answer: Answer, failure: Answer) -> None:
    assert lasting((0, failure), (6, failure), (7, answer), (7.1, failure)) == [False, True, False, False]


def test_failure_after_a_quiet_time_begins_a_new_outage() -> None:
    assert lasting((0, AWAY), (9, AWAY), (30, AWAY), (31, AWAY), (36, AWAY)) == [False, True, False, False, True]


def test_silence_neither_ends_an_outage_nor_counts_as_a_quick_failure() -> None:
    assert lasting((0, AWAY), (5, SILENCE), (6, SILENCE), (7, AWAY)) == [False, False, False, True]
