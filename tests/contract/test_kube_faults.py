"""Whatever an API server does, the backends in the cluster keep the last good mappings, come back by themselves, and poll nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from backend_suite import ONE, TWO, RecordingObserver, gives, names_of, until
from kube_iam.kube import watch
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.watch import Object, Watch, WatchTiming
from kube_iam.mappings import eks_config_map
from kube_iam.mappings.backend import Backend
from kube_sources import QUICK, ConfigMapSource, Faked, IdentityMappingSource

Kind = type[ConfigMapSource] | type[IdentityMappingSource]


class Setup:
    """One backend on a fake API server."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.cluster = Faked()
        self.fake = self.cluster.fake
        self.observer = RecordingObserver()
        self.source = kind(self.cluster)

    @asynccontextmanager
    async def running(self, timing: WatchTiming = QUICK) -> AsyncIterator[Backend]:
        """Yield the backend, started on the mappings ONE and watching."""
        self.source = self.kind(self.cluster, timing)
        self.source.write(ONE)
        backend = self.source.backend(self.observer)
        await backend.start()
        try:
            assert names_of(backend) == ("alice", ("one",))
            await until(lambda: self.fake.watches)
            yield backend
        finally:
            await backend.stop()


@pytest.fixture(params=[ConfigMapSource, IdentityMappingSource], ids=["EKSConfigMap", "CRD"])
def setup(request: pytest.FixtureRequest) -> Setup:
    return Setup(request.param)


def test_a_broken_stream_is_taken_up_again(setup: Setup) -> None:
    async def story() -> None:
        async with setup.running() as backend:
            setup.fake.cut()
            setup.source.write(TWO)
            await until(gives(backend, "two", "more"))

    asyncio.run(story())


def test_410_gone_leads_back_to_the_list_and_is_no_failure(setup: Setup) -> None:
    async def story() -> None:
        async with setup.running() as backend:
            setup.fake.forget()
            await until(lambda: setup.fake.lists > 1)
            setup.source.write(TWO)
            await until(gives(backend, "two", "more"))
            assert setup.observer.failures == []

    asyncio.run(story())


def test_410_gone_after_a_time_without_the_api_server_leads_back_to_the_list(setup: Setup) -> None:
    async def story() -> None:
        async with setup.running() as backend:
            setup.fake.watch_status = 410
            setup.fake.cut()
            await until(lambda: setup.fake.lists > 1)
            setup.source.write(TWO)
            await until(gives(backend, "two", "more"))
            setup.fake.watch_status = 0

    asyncio.run(story())


def test_a_restart_of_the_api_server_is_survived(setup: Setup) -> None:
    async def story() -> None:
        async with setup.running() as backend:
            setup.fake.stop()
            await until(lambda: len(setup.observer.failures) > 1)
            assert all(kept for _, kept in setup.observer.failures)
            assert names_of(backend) == ("alice", ("one",))
            setup.source.write(TWO)
            setup.fake.restart()
            await until(gives(backend, "two", "more"))

    asyncio.run(story())


@pytest.mark.slow
def test_a_silent_stream_is_given_up(setup: Setup) -> None:
    async def story() -> None:
        async with setup.running(WatchTiming(watch=1, grace=0.1, first_pause=0.02, longest_pause=0.1)) as backend:
            setup.fake.silent = True
            setup.source.write(TWO)
            await until(gives(backend, "two", "more"))
            assert "does not answer in time" in setup.observer.failures[0][0]

    asyncio.run(story())


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_answer_that_is_none_keeps_the_last_good_mappings(setup: Setup, status: int) -> None:
    async def story() -> None:
        async with setup.running() as backend:
            setup.fake.status = status
            setup.fake.cut()
            await until(lambda: len(setup.observer.failures) > 1)
            assert names_of(backend) == ("alice", ("one",))
            setup.source.write(TWO)
            setup.fake.status = 0
            await until(gives(backend, "two", "more"))

    asyncio.run(story())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"items": [3], "metadata": {}}', b'{"items": null}'])
def test_something_other_than_an_api_server_keeps_the_last_good_mappings(setup: Setup, body: bytes) -> None:
    async def story() -> None:
        async with setup.running() as backend:
            setup.fake.body = body
            setup.fake.cut()
            await until(lambda: len(setup.observer.failures) > 1)
            assert names_of(backend) == ("alice", ("one",))
            setup.fake.body = None
            setup.source.write(TWO)
            await until(gives(backend, "two", "more"))

    asyncio.run(story())


@pytest.mark.slow
def test_a_watch_that_the_server_ends_goes_on_without_a_list(setup: Setup) -> None:
    async def story() -> None:
        async with setup.running(WatchTiming(watch=1, grace=5, settled=0.5)) as backend:
            await until(lambda: setup.fake.watches >= 3)
            setup.source.write(TWO)
            await until(gives(backend, "two", "more"))
            assert setup.fake.lists == 1
            assert setup.observer.failures == []

    asyncio.run(story())


def test_api_server_that_does_not_answer_does_not_delay_the_start(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        monkeypatch.setattr(watch, "INITIAL_SYNC_TIMEOUT", 0.05)
        setup.source.write(ONE)
        setup.fake.hold.clear()
        backend = setup.source.backend(setup.observer)
        await backend.start()
        try:
            assert backend.snapshot.table is None
            setup.fake.hold.set()
            await until(lambda: backend.snapshot.table is not None)
            assert names_of(backend) == ("alice", ("one",))
        finally:
            await backend.stop()

    asyncio.run(story())


class Deaf:
    """Follows nothing, and counts."""

    def __init__(self) -> None:
        self.failures = 0

    async def on_list(self, objects: list[Object]) -> None: ...
    async def on_change(self, found: Object) -> None: ...
    async def on_delete(self, found: Object) -> None: ...

    def on_error(self, error: object) -> None:
        self.failures += 1


def pauses(access: EndpointSource, count: int) -> list[float]:
    """Return the first pauses in seconds, without waiting for them."""
    seen: list[float] = []
    enough = asyncio.Event

    async def story() -> None:
        done = enough()

        async def sleep(seconds: float) -> None:
            seen.append(seconds)
            if len(seen) >= count:
                done.set()
                await asyncio.Event().wait()

        watch = Watch(access, eks_config_map.PATH, Object, Deaf(), what="things", sleep=sleep)
        task = asyncio.create_task(watch.run())
        async with asyncio.timeout(20):
            await done.wait()
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(story())
    return seen


def grows(seen: list[float], timing: WatchTiming) -> Callable[[], bool]:
    limits = [min(timing.longest_pause, timing.first_pause * 2**attempt) for attempt in range(len(seen))]
    return lambda: all(limit / 2 <= pause <= limit for limit, pause in zip(limits, seen, strict=True))


def test_pauses_grow_to_a_limit_and_have_a_random_part() -> None:
    fake = Faked().fake
    fake.stop()
    first, second = (pauses(fake.access, 12) for _ in range(2))
    assert grows(first, WatchTiming())()
    assert grows(second, WatchTiming())()
    assert first != second


def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_loop() -> None:
    fake = Faked().fake
    fake.end_at_once = True
    assert grows(pauses(fake.access, 6), WatchTiming())()
