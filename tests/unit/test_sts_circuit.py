"""Hosts of STS that do not answer, on a clock that is set."""

from __future__ import annotations

import asyncio

import pytest

from kube_iam.aws.sts import StsAnswer
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.server.sts_outages import LONGEST_SECONDS, PROBED_SECONDS, REMEMBERED_SECONDS, GuardedSts, StsCircuit

HOST, OTHER = "sts.us-east-1.amazonaws.com", "sts.eu-west-1.amazonaws.com"
URL = f"https://{HOST}/?X-Amz-Signature=canary"
SILENCE = Refusal(Reason.STS_NO_ANSWER, "no answer within 5 seconds")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> StsCircuit:
    return StsCircuit(clock)


def opened(circuit: StsCircuit, clock: Clock) -> None:
    sent = clock.now
    clock.now += 5
    assert circuit.request_unanswered(HOST, sent)


def test_a_host_that_never_failed_is_asked(circuit: StsCircuit) -> None:
    assert not circuit.refuses(HOST)
    assert not circuit.wants_probe(HOST)


def test_a_silent_host_is_remembered_and_other_hosts_are_asked(circuit: StsCircuit, clock: Clock) -> None:
    opened(circuit, clock)
    assert circuit.refuses(HOST)
    assert circuit.wants_probe(HOST)
    assert not circuit.refuses(OTHER)


def test_the_first_answer_closes_the_circuit(circuit: StsCircuit, clock: Clock) -> None:
    opened(circuit, clock)
    assert circuit.answered(HOST)
    assert not circuit.refuses(HOST)
    assert not circuit.answered(HOST)


def test_one_lost_request_beside_answered_ones_opens_nothing(circuit: StsCircuit, clock: Clock) -> None:
    sent = clock.now
    clock.now += 1
    circuit.answered(HOST)
    clock.now += 4
    assert not circuit.request_unanswered(HOST, sent)
    assert not circuit.refuses(HOST)


def test_an_answer_from_before_the_request_does_not_count_for_the_host(circuit: StsCircuit, clock: Clock) -> None:
    circuit.answered(HOST)
    clock.now += 1
    opened(circuit, clock)
    assert circuit.refuses(HOST)


def test_silence_is_forgotten_without_probes(circuit: StsCircuit, clock: Clock) -> None:
    opened(circuit, clock)
    clock.now += REMEMBERED_SECONDS - 0.1
    assert circuit.refuses(HOST)
    clock.now += 0.1
    assert not circuit.refuses(HOST)


def test_probes_without_an_answer_keep_the_circuit_open_for_a_limited_time(circuit: StsCircuit, clock: Clock) -> None:
    opened(circuit, clock)
    begin = clock.now
    while circuit.refuses(HOST):
        clock.now += 1
        circuit.probe_unanswered(HOST)
    assert clock.now - begin == LONGEST_SECONDS


def test_a_host_that_nobody_needs_is_not_probed_for_long(circuit: StsCircuit, clock: Clock) -> None:
    opened(circuit, clock)
    for _ in range(int(PROBED_SECONDS) + 1):
        assert circuit.wants_probe(HOST)
        clock.now += 1
        circuit.probe_unanswered(HOST)
    assert not circuit.wants_probe(HOST)
    assert circuit.refuses(HOST)
    assert circuit.wants_probe(HOST)


def test_a_late_probe_does_not_open_a_closed_circuit(circuit: StsCircuit, clock: Clock) -> None:
    opened(circuit, clock)
    circuit.answered(HOST)
    circuit.probe_unanswered(HOST)
    assert not circuit.refuses(HOST)


class FakeSts:
    """STS that is silent until it is `back`, without waiting for anything."""

    def __init__(self, silence: Refusal | StsAnswer = SILENCE) -> None:
        self.answer = silence
        self.calls = 0
        self.probes: list[str] = []
        self.back = asyncio.Event()

    async def get_caller_identity(self, url: str, cluster_id: str) -> StsAnswer | Refusal:
        self.calls += 1
        return StsAnswer(403, "", b"") if self.back.is_set() else self.answer

    async def is_silent(self, host: str) -> bool:
        self.probes.append(host)
        await self.back.wait()
        return False


async def told(news: list[tuple[str, bool]], number: int) -> None:
    while len(news) < number:
        await asyncio.sleep(0)


def test_sign_ins_fail_at_once_while_a_host_is_silent_and_go_on_after_a_probe() -> None:
    async def story() -> None:
        client, news = FakeSts(), list[tuple[str, bool]]()
        sts = GuardedSts(client, lambda host, answers: news.append((host, answers)), StsCircuit(), 0.001)
        assert await sts.get_caller_identity(URL, "c") == SILENCE
        refused = await sts.get_caller_identity(URL, "c")
        assert refused == Refusal(Reason.STS_NO_ANSWER, f"{HOST} has just not answered other requests")
        assert client.calls == 1
        client.back.set()
        await told(news, 2)
        assert news == [(HOST, False), (HOST, True)]
        assert set(client.probes) == {HOST}
        assert await sts.get_caller_identity(URL, "c") == StsAnswer(403, "", b"")
        await sts.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    "answer",
    [
        Refusal(Reason.STS_UNREACHABLE, "connect error"),
        StsAnswer(500, "", b""),
        StsAnswer(429, "", b""),
        StsAnswer(200, "", b""),
    ],
)
def test_quick_failures_and_throttling_are_answers(answer: StsAnswer | Refusal) -> None:
    async def story() -> None:
        client = FakeSts(answer)
        sts = GuardedSts(client, lambda *_: pytest.fail("nothing changed"), StsCircuit(), 0.001)
        for _ in range(3):
            assert await sts.get_caller_identity(URL, "c") == answer
        assert (client.calls, client.probes) == (3, [])
        await sts.close()

    asyncio.run(story())


def test_closing_ends_the_probes() -> None:
    async def story() -> None:
        sts = GuardedSts(FakeSts(), lambda *_: None, StsCircuit(), 0.001)
        await sts.get_caller_identity(URL, "c")
        await sts.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())
