from __future__ import annotations

import asyncio

import pytest
from token_verifier import AWAY, BUSY, NO, NOW, YES, make, token

from kube_iam.aws.sts import StsAnswer
from kube_iam.core.bounded_cache import BoundedCache
from kube_iam.core.checks import CLOCK_SKEW, LIFETIME
from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Reason, Refusal


def calls_after(answer: StsAnswer | Refusal | Exception, signed: float, *later: float) -> list[int]:
    """Return the number of calls to STS after a first request now and after each further one at NOW + seconds."""

    async def story() -> list[int]:
        verifier, sts, clock = make(answer)
        counts = []
        for seconds in (0.0, *later):
            clock.now = NOW + seconds
            await verifier.verify(token(signed))
            counts.append(sts.calls)
        return counts

    return asyncio.run(story())


def test_a_verified_token_is_known_for_a_minute() -> None:
    assert calls_after(YES, NOW, 1, 59, 60, 61) == [1, 1, 1, 2, 2]


def test_a_refused_token_is_known_for_ten_seconds() -> None:
    assert calls_after(NO, NOW, 9, 10, 11) == [1, 1, 2, 2]


def test_throttling_and_failures_are_never_remembered() -> None:
    for answer in (AWAY, BUSY, RuntimeError("https://sts/?X-Amz-Signature=1")):
        assert calls_after(answer, NOW, 0, 0) == [1, 2, 3]


def test_a_known_token_is_refused_when_its_fifteen_minutes_are_over() -> None:
    async def story() -> None:
        verifier, sts, clock = make(YES)
        old = token(NOW - 890)
        assert isinstance(await verifier.verify(old), Identity)
        clock.now = NOW + 11
        verdict = await verifier.verify(old)
        assert isinstance(verdict, Refusal)
        assert verdict.reason is Reason.TOKEN_EXPIRED
        assert sts.calls == 1

    asyncio.run(story())


@pytest.mark.parametrize("step", [-3600, -30, -2, 2, 30, 3600, 86400 * 365])
@pytest.mark.parametrize("age", [0, 300, 870])
def test_a_stepped_wall_clock_does_not_prolong_a_verified_token(step: float, age: float) -> None:
    async def story() -> None:
        verifier, sts, clock = make(YES)
        signed = token(NOW - age)
        assert isinstance(await verifier.verify(signed), Identity)
        clock.step(step)
        clock.now += 61
        verdict = await verifier.verify(signed)
        # Asked about again, or refused by the checks: never answered out of the cache.
        refused = not -CLOCK_SKEW <= clock.wall - (NOW - age) <= LIFETIME
        assert isinstance(verdict, Refusal) is refused
        assert sts.calls == (1 if refused else 2)

    asyncio.run(story())


def test_a_clock_set_back_does_not_prolong_a_refused_token() -> None:
    async def story() -> None:
        verifier, sts, clock = make(NO)
        await verifier.verify(token())
        clock.step(-200)
        clock.now += 10
        await verifier.verify(token())
        assert sts.calls == 2

    asyncio.run(story())


def test_a_clock_set_forward_ends_a_verified_token_with_its_fifteen_minutes() -> None:
    async def story() -> None:
        verifier, _, clock = make(YES)
        assert isinstance(await verifier.verify(token()), Identity)
        clock.step(LIFETIME + 1)
        verdict = await verifier.verify(token())
        assert isinstance(verdict, Refusal)
        assert verdict.reason is Reason.TOKEN_EXPIRED

    asyncio.run(story())


def test_an_unexpected_failure_is_a_refusal_that_repeats_nothing() -> None:
    async def story() -> None:
        verifier, _, _ = make(RuntimeError("https://sts/?X-Amz-Signature=1"))
        verdict = await verifier.verify(token())
        assert verdict == Refusal(Reason.STS_UNREACHABLE, "unexpected RuntimeError")

    asyncio.run(story())


def test_concurrent_requests_with_one_token_share_a_call_if_the_first_is_cancelled() -> None:
    async def story() -> None:
        verifier, sts, _ = make(YES)
        sts.may_answer.clear()
        waiting = [asyncio.create_task(verifier.verify(token())) for _ in range(100)]
        other = asyncio.create_task(verifier.verify(token(NOW - 1)))
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        sts.may_answer.set()
        verdicts = await asyncio.gather(*waiting[1:])
        assert all(isinstance(verdict, Identity) for verdict in verdicts)
        assert waiting[0].cancelled()
        await other
        assert sts.calls == 2

    asyncio.run(story())


def test_a_token_that_fails_a_check_never_reaches_sts() -> None:
    async def story() -> None:
        verifier, sts, _ = make(YES)
        verdict = await verifier.verify("eyJ.foreign.token")
        assert isinstance(verdict, Refusal)
        assert sts.calls == 0

    asyncio.run(story())


def test_memory_is_bounded_and_what_was_used_longest_ago_gives_way() -> None:
    cache: BoundedCache[bytes, int] = BoundedCache(2)
    cache.put(b"a", 1, 10)
    cache.put(b"b", 2, 10)
    assert cache.get(b"a", 0) == 1
    cache.put(b"c", 3, 10)
    assert (cache.get(b"a", 0), cache.get(b"b", 0), cache.get(b"c", 0), len(cache)) == (1, None, 3, 2)


def test_a_value_is_gone_at_its_end() -> None:
    cache: BoundedCache[bytes, int] = BoundedCache(2)
    cache.put(b"a", 1, 10)
    assert cache.get(b"a", 9.9) == 1
    assert cache.get(b"a", 10) is None
    assert len(cache) == 0


def test_the_tokens_of_one_session_share_one_identity_in_memory() -> None:
    async def story() -> None:
        verifier, sts, _ = make(YES)
        assert await verifier.verify(token()) is await verifier.verify(token(NOW - 1))
        assert sts.calls == 2

    asyncio.run(story())
