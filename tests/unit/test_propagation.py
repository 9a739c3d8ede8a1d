"""Propagation of a denial: status queries to API servers, accepted answers, and the time of caches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kube_iam.denylist.denial import Denial
from kube_iam.denylist.propagation import Clock, Propagation, wait_for_propagation
from kube_iam.denylist.status_query import IN_FORCE, NOT_IN_FORCE, StatusAnswer
from kube_iam.errors import KubeError, KubeIamError, Unreachable

WANTED = Denial("alice-1", "userName", "alice", until=500.0)


@dataclass
class World:
    """Servers by address; each answers as its function says, at the time of the call. Asking takes 10 ms."""

    servers: dict[str, Callable[[float], StatusAnswer]]
    now: float = 1000.0
    asked: list[str] = field(default_factory=list)
    refuses: Callable[[str], bool] | None = None
    """Whether the authorizer of the API server at an address refuses the user."""

    def review(self, address: str, denial: Denial) -> bool:
        assert denial == WANTED
        self.now += 0.02
        return self.refuses is not None and self.refuses(address)

    def ask(self, address: str, denial: str) -> StatusAnswer:
        assert denial == WANTED.name
        self.asked.append(address)
        self.now += 0.01
        return self.servers[address](self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, *addresses: str, cache_ttl: float = 120.0, listing_error: str = "") -> Propagation:
        clock = Clock(lambda: self.now, self.sleep)
        return wait_for_propagation(
            self.ask,
            addresses,
            [WANTED],
            clock,
            began=self.now,
            cache_ttl=cache_ttl,
            listing_error=listing_error,
            refuses=self.review if self.refuses is not None else None,
        )


def applying(
    name: str, *, seconds: float = 1000.0, after: float = 0.0, until: float = 500.0
) -> Callable[[float], StatusAnswer]:
    def answer(now: float) -> StatusAnswer:
        if now < after:
            return StatusAnswer("n", name, NOT_IN_FORCE)
        return StatusAnswer("n", name, IN_FORCE, until, seconds, True)

    return answer


def failing(error: KubeIamError) -> Callable[[float], StatusAnswer]:
    def answer(_: float) -> StatusAnswer:
        raise error

    return answer


def test_every_api_server_is_asked_until_all_apply_the_denial() -> None:
    world = World({"a": applying("1"), "b": applying("2", after=1000.5)})
    closed = world.run("a", "b")
    assert (closed.error, closed.asked, closed.servers, closed.complete) == (None, ["a", "b"], {"1", "2"}, True)
    assert closed.signed_in == {WANTED.name}
    assert 0.5 <= closed.elapsed < 0.7


def test_an_older_denial_that_ends_earlier_is_not_the_one_that_was_written() -> None:
    world = World({"a": applying("1", until=499.0)})
    closed = world.run("a")
    assert closed.error is not None
    assert "does not apply" in closed.error.message
    assert not closed.complete


def test_without_addresses_the_one_that_there_is_is_asked_more_than_once() -> None:
    world = World({"": applying("1")})
    closed = world.run()
    assert (closed.error, len(world.asked) > 3, closed.servers) == (None, True, {"1"})
    assert (closed.complete, closed.single_address) == (False, True)


def test_where_the_addresses_cannot_be_read_nobody_knows_how_many_there_are() -> None:
    closed = World({"": applying("1")}).run(listing_error="forbidden")
    assert (closed.error, closed.listing_error, closed.servers) == (None, "forbidden", {"1"})
    assert (closed.complete, closed.single_address) == (False, False)


def test_a_single_api_server_behind_another_address_is_asked_there() -> None:
    world = World({"a": failing(Unreachable("private")), "": applying("1")})
    assert world.run("a").complete


def test_unreachable_api_server_is_named_and_probed_through_the_one_address() -> None:
    turns = iter([applying("1"), applying("1"), applying("2")])
    world = World({"a": applying("1"), "b": failing(Unreachable("no way")), "": lambda now: next(turns)(now)})
    closed = world.run("a", "b")
    assert (closed.unreachable, closed.complete, closed.error) == ({"b": "no way"}, True, None)
    alone = World({"a": applying("1"), "b": failing(Unreachable("no way")), "": applying("1")}).run("a", "b")
    assert (alone.complete, alone.single_address, alone.error) == (False, False, None)


def test_a_server_without_a_deny_list_is_an_error_and_not_an_answer() -> None:
    closed = World({"a": failing(KubeError("no deny list")), "": failing(KubeError("no deny list"))}).run("a")
    assert closed.error is not None
    assert not closed.complete


def test_caches_answer_until_the_last_sign_in_has_expired_in_them() -> None:
    world = World({"a": applying("1", seconds=100.0), "b": applying("2", seconds=20.0)})
    closed = world.run("a", "b", cache_ttl=120.0)
    assert abs(closed.cached_for - (120 + 10 + 1 - 20)) < 0.1
    assert abs(closed.last_sign_in - 20) < 0.1
    assert World({"a": applying("1", seconds=132.0)}).run("a").cached_for == 0
    assert World({"a": applying("1", seconds=5.0)}).run("a", cache_ttl=2.0).cached_for < 8.1


def test_nothing_is_left_in_caches_where_each_authorizer_refuses() -> None:
    found = World({"a": applying("1"), "b": applying("2")}, refuses=lambda _: True).run("a", "b")
    assert (found.refused, found.cached_for, found.not_reviewed) == (True, 0.0, "")
    assert 0.04 <= found.refused_after <= found.elapsed
    assert found.confirmation() == " (2 of 2 servers confirmed; kube-apiserver refuses known tokens too)"


def test_one_api_server_without_the_authorizer_leaves_its_cache() -> None:
    servers = {"a": applying("1", seconds=20.0), "b": applying("2", seconds=20.0)}
    found = World(servers, refuses=lambda address: address == "a").run("a", "b")
    assert found.refused is False
    assert found.cached_for > 100
    assert found.confirmation() == " (2 of 2 servers confirmed)"


def test_an_answer_that_may_not_be_had_is_reported_and_leaves_the_cache() -> None:
    def forbidden(_: str) -> bool:
        raise KubeError("may not create subjectaccessreviews")

    found = World({"a": applying("1", seconds=20.0)}, refuses=forbidden).run("a")
    assert (found.refused, found.not_reviewed) == (None, "may not create subjectaccessreviews")
    assert found.unconfirmed() is None
    assert found.cached_for > 100
