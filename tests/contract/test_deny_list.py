"""The deny list through everything that an API server does: denials stay in force, and new entries are received."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from backend_suite import until
from deny_suite import END, NAME, NOW, PATH, RecordingDenyObserver, session
from fake_kube import FakeKube
from kube_iam.core.reasons import Reason
from kube_iam.denylist.denial import Denial, RecentSignIns, denial_of
from kube_iam.denylist.entry import format_denial
from kube_iam.denylist.status_query import (
    IN_FORCE,
    NOT_IN_FORCE,
    NOT_LOADED,
    StatusAnswer,
    StatusQuestion,
    parse_answer,
)
from kube_iam.denylist.watcher import DenyList
from kube_sources import QUICK

NONCE = "0123456789abcdef"


class Setup:
    """A deny list on a fake API server, and clocks that stand still."""

    def __init__(self) -> None:
        self.fake = FakeKube()
        self.observer = RecordingDenyObserver()
        self.now = NOW
        self.steady = 50.0
        self.list = DenyList(
            self.fake.access, self.observer, "c0ffee", timing=QUICK, clock=lambda: self.now, steady=lambda: self.steady
        )

    def write(self, *names: str, **texts: str) -> None:
        denials = [denial_of(name, until=END) for name in names]
        self.fake.put(PATH, NAME, {"data": {each.name: format_denial(each) for each in denials} | texts})

    def out(self, name: str) -> bool:
        refusal = self.list.denial(session(name))
        return refusal is not None and refusal.reason is Reason.DENIED

    def probe(self, ident: str) -> StatusAnswer:
        refusal = self.list.answer_status_query(StatusQuestion(NONCE, ident).token)
        assert refusal is not None
        answer = parse_answer(refusal.message, NONCE)
        assert answer is not None
        return answer

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.list.follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.fake.stop()


ALICE = denial_of("alice", until=END).name


def test_nobody_is_admitted_before_the_deny_list_is_loaded() -> None:
    async def story() -> None:
        setup = Setup()
        setup.fake.status = 503
        async with setup.following():
            await until(lambda: setup.observer.lost_kept)
            assert not setup.list.ready
            assert setup.observer.lost_kept[0] is False
            refusal = setup.list.denial(session("bob"))
            assert refusal is not None
            assert refusal.reason is Reason.DENY_LIST_NOT_LOADED
            assert setup.probe(ALICE).state == NOT_LOADED
            setup.fake.status = 0
            await until(lambda: setup.list.ready)
            assert setup.list.denial(session("bob")) is None

    asyncio.run(story())


def test_denials_come_go_and_end() -> None:
    async def story() -> None:
        setup = Setup()
        async with setup.following():
            await until(lambda: setup.list.ready)
            setup.write("alice")
            await until(lambda: setup.out("alice"))
            assert not setup.out("bob")
            setup.now = END
            assert not setup.out("alice")
            setup.now = NOW
            setup.write("bob")
            await until(lambda: setup.out("bob"))
            assert not setup.out("alice")

    asyncio.run(story())


def test_denial_outlives_the_config_map_and_the_next_config_map() -> None:
    async def story() -> None:
        setup = Setup()
        setup.write("alice")
        async with setup.following():
            await until(lambda: setup.out("alice"))
            setup.fake.delete(PATH, NAME)
            await until(lambda: setup.observer.problems)
            assert "stay in force" in str(setup.observer.problems[0])
            assert setup.out("alice")
            setup.write("bob")
            await until(lambda: setup.out("bob"))
            assert setup.out("alice")
            setup.write("bob", **{ALICE: format_denial(denial_of("alice", until=0.0))})
            await until(lambda: not setup.out("alice"))
            setup.write("bob")
            await until(lambda: ALICE not in {denial.name for denial in setup.observer.denials})
            assert not setup.out("alice")
            assert setup.out("bob")

    asyncio.run(story())


def test_config_map_created_again_during_an_outage_removes_no_denial() -> None:
    async def story() -> None:
        setup = Setup()
        setup.write("alice", "carol")
        async with setup.following():
            await until(lambda: setup.out("alice"))
            setup.fake.stop()
            setup.fake.delete(PATH, NAME)
            carol = denial_of("carol", until=0.0)
            setup.write("bob", **{carol.name: format_denial(carol)})
            setup.fake.restart()
            await until(lambda: setup.out("bob"))
            assert setup.out("alice")
            # An entry of the same name in the new list replaces the old one.
            assert not setup.out("carol")
            # The same ConfigMap edited during an outage: a removed entry ends its denial.
            setup.write("alice", "bob", "dave")
            await until(lambda: setup.out("dave"))
            setup.fake.stop()
            setup.write("bob", "dave")
            setup.fake.restart()
            await until(lambda: not setup.out("alice"))
            assert setup.out("bob")

    asyncio.run(story())


@pytest.mark.slow
def test_denial_written_during_an_outage_is_read_after_the_api_server_restarts() -> None:
    async def story() -> None:
        setup = Setup()
        setup.write("alice")
        async with setup.following():
            await until(lambda: setup.out("alice"))
            setup.fake.stop()
            await until(lambda: setup.observer.lost_kept)
            assert setup.observer.lost_kept[-1] is True
            assert setup.out("alice")
            setup.write("alice", "bob")
            setup.fake.restart()
            await until(lambda: setup.out("bob"))
            assert setup.out("alice")

    asyncio.run(story())


def test_denial_is_received_after_a_watch_that_ended_with_410_gone() -> None:
    async def story() -> None:
        setup = Setup()
        setup.write("alice")
        async with setup.following():
            await until(lambda: setup.fake.watches)
            setup.fake.forget()
            setup.write("alice", "bob")
            setup.fake.cut()
            await until(lambda: setup.out("bob"))
            assert setup.out("alice")

    asyncio.run(story())


def test_broken_entry_is_reported_removes_no_denial_and_denies_nobody_else() -> None:
    async def story() -> None:
        setup = Setup()
        setup.write("alice")
        async with setup.following():
            await until(lambda: setup.out("alice"))
            setup.write(**{ALICE: "{}", "by-hand": "bob", "broken": "[1]"})
            await until(lambda: setup.out("bob"))
            assert setup.out("alice")
            assert not setup.out("carol")
            assert {problem.key for problem in setup.observer.problems} == {ALICE, "by-hand", "broken"}
            # A denial is ended by hand by removing its entry.
            setup.write(broken="[1]")
            await until(lambda: not setup.out("alice"))
            setup.write(x="bob")
            await until(lambda: setup.out("bob"))
            setup.fake.put(PATH, NAME, {"binaryData": {"x": "AAAA"}})
            await until(lambda: "is binary data, and names nobody" in str(setup.observer.problems))
            assert setup.out("bob")

    asyncio.run(story())


def test_status_query_answers_state_end_and_last_sign_in() -> None:
    async def story() -> None:
        setup = Setup()
        async with setup.following():
            await until(lambda: setup.list.ready)
            assert setup.probe(ALICE) == StatusAnswer(NONCE, "c0ffee", NOT_IN_FORCE)
            setup.steady += 1
            setup.list.record_sign_in(session("alice"))
            setup.steady += 12.5
            setup.write("alice", "bob")
            await until(lambda: setup.out("alice"))
            assert setup.probe(ALICE) == StatusAnswer(NONCE, "c0ffee", IN_FORCE, END, 12.5, True)
            setup.steady += 10
            bob = denial_of("bob", until=END).name
            assert setup.probe(bob) == StatusAnswer(NONCE, "c0ffee", IN_FORCE, END, 23.5, False)
            setup.now = END
            assert setup.probe(ALICE).state == NOT_IN_FORCE
            assert setup.list.answer_status_query("kube-iam-deny-status-v1.no") is None

    asyncio.run(story())


def test_repeated_status_query_does_not_search_the_sign_ins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    last = RecentSignIns.last_sign_in

    def searching(self: RecentSignIns, denial: Denial, now: float) -> tuple[float, bool]:
        searched.append(denial.name)
        return last(self, denial, now)

    monkeypatch.setattr(RecentSignIns, "last_sign_in", searching)

    async def story() -> None:
        setup = Setup()
        async with setup.following():
            await until(lambda: setup.list.ready)
            setup.steady += 1
            setup.list.record_sign_in(session("alice"))
            setup.steady += 12.5
            setup.write("alice")
            await until(lambda: setup.out("alice"))
            for seconds in (12.5, 22.5, 32.5):
                assert setup.probe(ALICE) == StatusAnswer(NONCE, "c0ffee", IN_FORCE, END, seconds, True)
                setup.steady += 10
            assert searched == [ALICE]
            # Removed, admitted, and denied again: the first result is not used any more.
            setup.write("bob")
            await until(lambda: not setup.out("alice"))
            setup.list.record_sign_in(session("alice"))
            setup.steady += 2
            setup.write("alice")
            await until(lambda: setup.out("alice"))
            assert setup.probe(ALICE).last_sign_in == 2

    asyncio.run(story())


def test_denial_written_by_hand_without_an_end_is_in_force_without_an_end() -> None:
    async def story() -> None:
        setup = Setup()
        setup.write(x=json.dumps({"kind": "userName", "value": "alice"}))
        async with setup.following():
            await until(lambda: setup.out("alice"))
            assert setup.probe("x").until == float("inf")
            assert len(setup.observer.problems) == 1

    asyncio.run(story())


def test_entry_with_several_values_denies_each_and_is_one_status_query() -> None:
    async def story() -> None:
        setup = Setup()
        setup.write(x=json.dumps([{"kind": "userName", "value": "alice", "until": "2099-01-01T00:00:00Z"}, "bob"]))
        async with setup.following():
            await until(lambda: setup.list.ready)
            assert setup.out("alice")
            assert setup.out("bob")
            assert not setup.out("carol")
            setup.steady += 5
            assert setup.probe("x") == StatusAnswer(NONCE, "c0ffee", IN_FORCE, 4070908800.0, 5.0, False)
            setup.write(x="[]")
            await until(lambda: len(setup.observer.problems) == 1 and "names nobody" in str(setup.observer.problems[0]))
            assert setup.out("alice")
            assert setup.out("bob")
            setup.fake.delete(PATH, NAME)
            await until(lambda: "is gone" in str(setup.observer.problems[0]))
            assert setup.out("bob")

    asyncio.run(story())
