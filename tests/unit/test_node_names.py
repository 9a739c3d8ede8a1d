from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from identities import role_session
from kube_iam.aws import ec2_names
from kube_iam.aws.ec2_instances import BATCH, Instance
from kube_iam.aws.ec2_names import Ec2NodeNames
from kube_iam.aws.rate_limit import RateLimit
from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.errors import AccessDenied, AwsError, CredentialsError, KubeIamError, NotFound, Throttled, Unreachable

ACCOUNT = "111122223333"
FIRST = "i-0123456789abcdef0"
NAME = "ip-10-0-0-1.eu-central-1.compute.internal"


def node(instance_id: str = FIRST, **other: Any) -> Identity:
    return replace(role_session(instance_id, "node"), **other)


def numbered(number: int) -> str:
    return f"i-{number:017x}"


@dataclass
class Account:
    """EC2 as it answers the blocking calls."""

    instances: dict[str, Instance] = field(default_factory=lambda: {FIRST: Instance(NAME, ACCOUNT)})
    error: Exception | None = None
    described: list[list[str]] = field(default_factory=list)
    searched: list[list[str]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()

    def describe(self, ids: Sequence[str]) -> dict[str, Instance]:
        self.described.append(list(ids))
        self.may_answer.wait(30)
        if self.error is not None:
            raise self.error
        if not self.instances.keys() >= set(ids):
            raise NotFound("one of them does not exist")
        return {name: self.instances[name] for name in ids}

    def search(self, ids: Sequence[str]) -> dict[str, Instance]:
        self.searched.append(list(ids))
        return {name: self.instances[name] for name in ids if name in self.instances}

    @property
    def calls(self) -> int:
        return len(self.described) + len(self.searched)


@dataclass
class RecordingObserver:
    calls: list[int] = field(default_factory=list)
    errors: list[KubeIamError] = field(default_factory=list)

    def asked(self, instances: int) -> None:
        self.calls.append(instances)

    def failed(self, error: KubeIamError) -> None:
        self.errors.append(error)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Stage:
    account: Account = field(default_factory=Account)
    observer: RecordingObserver = field(default_factory=RecordingObserver)
    clock: Clock = field(default_factory=Clock)
    timeout: float = 30.0

    def play(self, story: Callable[[Ec2NodeNames], Awaitable[object]]) -> None:
        async def run() -> None:
            limit = RateLimit(0, 1)
            names = Ec2NodeNames(self.account, self.observer, limit, clock=self.clock, timeout=self.timeout)
            try:
                await story(names)
            finally:
                self.account.may_answer.set()
                await names.close()

        asyncio.run(run())

    def name(self, identity: Identity) -> str | Refusal:
        found: list[str | Refusal] = []

        async def story(names: Ec2NodeNames) -> None:
            found.append(await names.private_dns_name(identity))

        self.play(story)
        return found[0]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_an_instance_of_the_identitys_account_has_its_private_dns_name() -> None:
    stage = Stage()
    assert stage.name(node()) == NAME
    assert stage.observer.calls == [1]


@pytest.mark.parametrize(
    "session", ["alice", "i-0123", "i-0123456789abcdef01", "x-0123456789abcdef0", "i-01234567\n", "i-0123456é"]
)
def test_a_session_that_is_not_named_after_an_instance_is_refused_without_a_call(session: str) -> None:
    stage = Stage()
    assert stage.name(node(session)) == Refusal(Reason.NOT_AN_INSTANCE)
    assert stage.account.calls == 0


def test_the_session_in_the_arn_and_in_the_user_id_must_be_the_same() -> None:
    other = node(arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/node/i-0123456789abcdef1")
    assert Stage().name(other) == Refusal(Reason.NOT_AN_INSTANCE)


def test_an_old_short_id_is_one_too() -> None:
    stage = Stage(Account({"i-01234567": Instance(NAME, ACCOUNT)}))
    assert stage.name(node("i-01234567")) == NAME


@pytest.mark.parametrize(
    "instance",
    [
        Instance(NAME, "999999999999"),
        Instance("", ACCOUNT),
        Instance("a:b", ACCOUNT),
        Instance("UPPER.internal", ACCOUNT),
        Instance("a..b", ACCOUNT),
        Instance("a.b\n", ACCOUNT),
        Instance("-a", ACCOUNT),
        Instance("a" * 64, ACCOUNT),
    ],
)
def test_an_instance_of_another_account_or_without_a_good_name_is_refused(instance: Instance) -> None:
    found = Stage(Account({FIRST: instance})).name(node())
    assert isinstance(found, Refusal)
    assert found.reason is Reason.INSTANCE_UNKNOWN
    assert ACCOUNT not in found.message


def test_concurrent_requests_for_one_instance_make_one_call_and_later_ones_none() -> None:
    stage = Stage()

    async def story(names: Ec2NodeNames) -> None:
        found = await asyncio.gather(*(names.private_dns_name(node()) for _ in range(50)))
        assert set(found) == {NAME}
        assert await names.private_dns_name(node()) == NAME

    stage.play(story)
    assert stage.account.described == [[FIRST]]


def test_many_instances_at_once_go_into_calls_of_a_hundred() -> None:
    ids = [numbered(number) for number in range(250)]
    stage = Stage(Account({name: Instance(f"node-{name}", ACCOUNT) for name in ids}))

    async def story(names: Ec2NodeNames) -> None:
        found = await asyncio.gather(*(names.private_dns_name(node(name)) for name in ids))
        assert found == [f"node-{name}" for name in ids]

    stage.play(story)
    assert sorted(map(len, stage.account.described)) == [50, BATCH, BATCH]
    assert sorted(stage.observer.calls) == [50, BATCH, BATCH]


def test_one_unknown_instance_does_not_fail_the_others_of_its_call() -> None:
    stage = Stage()

    async def story(names: Ec2NodeNames) -> None:
        unknown = node(numbered(1))
        found = await asyncio.gather(*map(names.private_dns_name, (node(), unknown)))
        assert found == [NAME, Refusal(Reason.INSTANCE_UNKNOWN)]
        assert await names.private_dns_name(unknown) == Refusal(Reason.INSTANCE_UNKNOWN)

    stage.play(story)
    assert (len(stage.account.described), len(stage.account.searched)) == (1, 1)
    assert stage.observer.calls == [2, 2]
    assert stage.observer.errors == []


def test_an_unknown_instance_is_asked_for_again_after_ten_seconds() -> None:
    stage = Stage(Account({}))

    async def story(names: Ec2NodeNames) -> None:
        assert await names.private_dns_name(node()) == Refusal(Reason.INSTANCE_UNKNOWN)
        stage.account.instances[FIRST] = Instance(NAME, ACCOUNT)
        stage.clock.now += ec2_names.UNKNOWN_SECONDS - 1
        assert await names.private_dns_name(node()) == Refusal(Reason.INSTANCE_UNKNOWN)
        stage.clock.now += 1
        assert await names.private_dns_name(node()) == NAME

    stage.play(story)
    assert stage.account.searched == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Throttled("slow down"), Reason.EC2_THROTTLED),
        (Unreachable("no route"), Reason.EC2_UNREACHABLE),
        (AwsError("half an answer"), Reason.EC2_UNREACHABLE),
        (CredentialsError("none"), Reason.EC2_UNREACHABLE),
        (AccessDenied("arn:aws:iam::111122223333:role/server may not"), Reason.EC2_REFUSED),
        (RuntimeError("a bug"), Reason.EC2_UNREACHABLE),
    ],
)
def test_a_call_that_fails_is_reported_and_its_words_stay_in_the_log(error: Exception, reason: Reason) -> None:
    stage = Stage(Account(error=error))
    found = stage.name(node())
    assert isinstance(found, Refusal)
    assert found.reason is reason
    assert str(error) not in found.message
    assert len(stage.observer.errors) == 1


def test_a_failure_is_not_remembered() -> None:
    stage = Stage(Account(error=Throttled("slow down")))

    async def story(names: Ec2NodeNames) -> None:
        assert isinstance(await names.private_dns_name(node()), Refusal)
        stage.account.error = None
        assert await names.private_dns_name(node()) == NAME

    stage.play(story)


def test_node_name_is_refreshed_hourly_and_kept_longer_while_ec2_is_unavailable() -> None:
    stage = Stage()

    async def story(names: Ec2NodeNames) -> None:
        assert await names.private_dns_name(node()) == NAME
        stage.clock.now += ec2_names.FRESH_SECONDS
        stage.account.error = Unreachable("no route")
        assert await names.private_dns_name(node()) == NAME
        stage.account.error = AccessDenied("no")
        assert await names.private_dns_name(node()) == Refusal(Reason.EC2_REFUSED)
        stage.account.error = None
        stage.account.instances.clear()
        assert await names.private_dns_name(node()) == Refusal(Reason.INSTANCE_UNKNOWN)
        stage.account.error = Unreachable("no route")
        stage.clock.now += ec2_names.UNKNOWN_SECONDS
        assert await names.private_dns_name(node()) == Refusal(Reason.EC2_UNREACHABLE)

    stage.play(story)
    assert len(stage.account.described) == 5


@pytest.mark.parametrize("error", [Unreachable("no route"), Throttled("slow down")])
def test_no_name_serves_longer_than_a_day_without_an_answer_of_ec2(error: Exception) -> None:
    stage = Stage()

    async def story(names: Ec2NodeNames) -> None:
        assert await names.private_dns_name(node()) == NAME
        stage.account.error = error
        # Failed lookups in between prolong nothing.
        for _ in range(24):
            stage.clock.now += 3599
            assert await names.private_dns_name(node()) == NAME
        stage.clock.now += 23
        assert await names.private_dns_name(node()) == NAME
        stage.clock.now += 1
        assert isinstance(await names.private_dns_name(node()), Refusal)

    stage.play(story)


def test_a_name_that_ec2_changed_is_taken_over_within_an_hour() -> None:
    stage = Stage()

    async def story(names: Ec2NodeNames) -> None:
        assert await names.private_dns_name(node()) == NAME
        stage.account.instances[FIRST] = Instance("ip-10-9-9-9.ec2.internal", ACCOUNT)
        stage.clock.now += 3599
        assert await names.private_dns_name(node()) == NAME
        stage.clock.now += 1
        assert await names.private_dns_name(node()) == "ip-10-9-9-9.ec2.internal"

    stage.play(story)


def test_call_that_times_out_refuses_the_request_and_its_answer_is_kept() -> None:
    stage = Stage(timeout=0.05)
    stage.account.may_answer.clear()

    async def story(names: Ec2NodeNames) -> None:
        found = await names.private_dns_name(node())
        assert isinstance(found, Refusal)
        assert found.reason is Reason.EC2_UNREACHABLE
        stage.account.may_answer.set()
        answered = Refusal(Reason.EC2_UNREACHABLE)
        while isinstance(found := await names.private_dns_name(node()), Refusal):
            assert found.reason is answered.reason
        assert found == NAME

    stage.play(story)
    assert stage.account.described == [[FIRST]]


def test_a_client_that_goes_away_does_not_take_the_others_answer_with_it() -> None:
    stage = Stage()
    stage.account.may_answer.clear()

    async def story(names: Ec2NodeNames) -> None:
        gone = asyncio.create_task(names.private_dns_name(node()))
        stays = asyncio.create_task(names.private_dns_name(node()))
        await until(lambda: stage.account.described)
        gone.cancel()
        stage.account.may_answer.set()
        assert await stays == NAME

    stage.play(story)


def test_slow_calls_fill_the_next_ones_and_waiting_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ec2_names, "MAX_WAITING", 20)
    ids = [numbered(number) for number in range(21)]
    stage = Stage(Account({name: Instance(f"node-{name}", ACCOUNT) for name in ids}))
    stage.account.may_answer.clear()

    async def story(names: Ec2NodeNames) -> None:
        asking = []
        for number in range(4):
            asking.append(asyncio.create_task(names.private_dns_name(node(ids[number]))))
            await until(lambda: len(stage.account.described) == len(asking))
        asking += [asyncio.create_task(names.private_dns_name(node(name))) for name in ids[4:20]]
        await asyncio.sleep(0)
        refused = await names.private_dns_name(node(ids[20]))
        assert isinstance(refused, Refusal)
        assert refused.reason is Reason.EC2_THROTTLED
        stage.account.may_answer.set()
        assert await asyncio.gather(*asking) == [f"node-{name}" for name in ids[:20]]

    stage.play(story)
    assert [len(call) for call in stage.account.described] == [1, 1, 1, 1, 16]


def test_made_up_ids_do_not_push_out_the_names_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ec2_names, "CAPACITY", 4)
    stage = Stage()

    async def story(names: Ec2NodeNames) -> None:
        assert await names.private_dns_name(node()) == NAME
        await asyncio.gather(*(names.private_dns_name(node(numbered(number))) for number in range(50)))
        before = stage.account.calls
        assert await names.private_dns_name(node()) == NAME
        assert stage.account.calls == before

    stage.play(story)


def test_calls_come_at_the_configured_rate_after_a_burst() -> None:
    clock, slept = Clock(0.0), []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        clock.now += seconds

    async def story() -> None:
        limit = RateLimit(10, 3, clock, sleep)
        for _ in range(5):
            await limit.wait()
        assert slept == [0.1, 0.1]
        clock.now += 100
        for _ in range(4):
            await limit.wait()
        assert slept == [0.1, 0.1, 0.1]
        unlimited = RateLimit(0, 0, clock, sleep)
        for _ in range(100):
            await unlimited.wait()
        assert len(slept) == 3

    asyncio.run(story())


def test_an_answer_that_leaves_an_instance_out_knows_nothing_of_it() -> None:
    class Forgetful(Account):
        def describe(self, ids: Sequence[str]) -> dict[str, Instance]:
            super().describe(ids)
            return {}

    stage = Stage(Forgetful())
    assert stage.name(node()) == Refusal(Reason.INSTANCE_UNKNOWN)
