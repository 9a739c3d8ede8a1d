"""Tests of the promises of every backend. A backend is done when a module that imports these tests and gives them a source passes.

A source is read by one backend and written by a test: see `Source`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from identities import principal, role_session
from kube_iam.config.dynamic import Stamp
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import render
from kube_iam.core.reasons import Refusal
from kube_iam.errors import KubeIamError, Problem
from kube_iam.mappings.backend import Backend

ROLE = "arn:aws:iam::123456789012:role/Admin"
USER = "arn:aws:iam::123456789012:user/bob"
IDS = {ROLE: "AROA1", USER: "AIDA1"}
RESERVED = "aws:"
ADMIN = role_session(account="123456789012", user_id=IDS[ROLE])
BOB = principal(USER, user_id=IDS[USER])

People = Mapping[str, tuple[str, tuple[str, ...]]]
"""User name and groups by ARN."""
ONE: People = {ROLE: ("{{SessionName}}", ("one",)), USER: ("bob", ())}
TWO: People = {ROLE: ("{{SessionName}}", ("two", "more")), USER: ("bob", ())}


@dataclass
class RecordingObserver:
    """An observer that records its calls."""

    loads: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failures: list[tuple[str, bool]] = field(default_factory=list)
    stamps: list[tuple[str, Stamp]] = field(default_factory=list)
    chains: list[tuple[str, ...]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def loaded(self, backend: str, entries: int, warnings: list[Problem]) -> None:
        self.loads.append(entries)
        self.warnings += [str(warning) for warning in warnings]

    def failed(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        self.failures.append((str(error), kept))

    def interrupted(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        self.failures.append((str(error), kept))

    def arrived(self, kind: str, stamp: Stamp) -> None:
        self.stamps.append((kind, stamp))

    def chained(self, backends: tuple[str, ...]) -> None:
        self.chains.append(backends)

    def troubled(self, backend: str, error: KubeIamError) -> None:
        self.troubles.append(str(error))


class Source(Protocol):
    """The source of one backend. `empty_when_deleted`: a deleted source means no mappings; otherwise the last good ones stay."""

    empty_when_deleted: bool

    def backend(self, observer: RecordingObserver) -> Backend:
        """Return a backend that reads this source and reserves the prefix RESERVED."""

    def write(self, people: People, *, role_twice: bool = False) -> None:
        """Put these mappings in the place of all others. `role_twice`: a second entry for ROLE, with the user name `other`."""

    def damage(self) -> None:
        """Write something that cannot be used."""

    def delete(self) -> None:
        """Take the source away for good."""

    def hide(self) -> None:
        """Make the source unusable as a whole, and not because it was deleted."""

    def show(self) -> None:
        """Take `hide` back."""


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def names_of(backend: Backend, identity: Identity = ADMIN) -> tuple[str, tuple[str, ...]] | Refusal | None:
    """User name and groups that the backend gives, why it refuses, or None where it knows nobody of that kind."""
    assert backend.snapshot.table is not None
    mapped = backend.snapshot.table.find(identity)
    return render(mapped, identity, backend.snapshot.reserved_prefixes) if mapped is not None else None


def gives(backend: Backend, *groups: str) -> Callable[[], bool]:
    return lambda: names_of(backend) == ("alice", groups)


def test_there_is_no_table_before_the_start(source: Source) -> None:
    assert source.backend(RecordingObserver()).snapshot.table is None


def test_the_mappings_are_there_when_start_returns_and_follow_their_source(source: Source) -> None:
    async def story() -> None:
        source.write(ONE)
        backend = source.backend(RecordingObserver())
        await backend.start()
        try:
            assert names_of(backend) == ("alice", ("one",))
            assert names_of(backend, BOB) == ("bob", ())
            source.write(TWO)
            await until(gives(backend, "two", "more"))
        finally:
            await backend.stop()
        assert names_of(backend) == ("alice", ("two", "more"))

    asyncio.run(story())


def test_principal_whose_mapping_is_removed_is_not_mapped(source: Source) -> None:
    async def story() -> None:
        source.write(ONE)
        backend = source.backend(RecordingObserver())
        await backend.start()
        try:
            source.write({USER: ONE[USER]})
            await until(lambda: names_of(backend) is None)
            assert names_of(backend, BOB) == ("bob", ())
        finally:
            await backend.stop()

    asyncio.run(story())


def test_a_table_never_changes_under_a_decision(source: Source) -> None:
    async def story() -> None:
        source.write(ONE)
        backend = source.backend(RecordingObserver())
        await backend.start()
        try:
            held = backend.snapshot.table
            source.write(TWO)
            await until(gives(backend, "two", "more"))
            assert held is not None
            mapped = held.find(ADMIN)
            assert mapped is not None
            assert [group.text for group in mapped.groups] == ["one"]
        finally:
            await backend.stop()

    asyncio.run(story())


def test_damage_is_reported_and_changes_nothing_until_it_is_repaired(source: Source) -> None:
    async def story() -> None:
        source.write(ONE)
        observer = RecordingObserver()
        backend = source.backend(observer)
        await backend.start()
        try:
            source.damage()
            await until(lambda: observer.failures or observer.warnings)
            assert all(kept for _, kept in observer.failures)
            assert names_of(backend) == ("alice", ("one",))
            source.write(TWO)
            await until(gives(backend, "two", "more"))
        finally:
            await backend.stop()

    asyncio.run(story())


def test_source_that_is_unavailable_at_start_delays_nothing_and_is_read_later(source: Source) -> None:
    async def story() -> None:
        source.write(ONE)
        source.hide()
        observer = RecordingObserver()
        backend = source.backend(observer)
        await backend.start()
        try:
            assert backend.snapshot.table is None
            assert observer.failures
            assert not any(kept for _, kept in observer.failures)
            source.show()
            await until(lambda: backend.snapshot.table is not None)
            assert names_of(backend) == ("alice", ("one",))
        finally:
            await backend.stop()

    asyncio.run(story())


def test_a_source_that_cannot_be_had_any_more_leaves_the_last_good_mappings(source: Source) -> None:
    async def story() -> None:
        source.write(ONE)
        backend = source.backend(RecordingObserver())
        await backend.start()
        source.hide()
        try:
            await asyncio.sleep(0.3)
            assert names_of(backend) == ("alice", ("one",))
            source.show()
            source.write(TWO)
            await until(gives(backend, "two", "more"))
        finally:
            await backend.stop()

    asyncio.run(story())


def test_a_source_that_is_deleted_and_made_again_is_followed_throughout(source: Source) -> None:
    async def story() -> None:
        source.write(ONE)
        observer = RecordingObserver()
        backend = source.backend(observer)
        await backend.start()
        try:
            source.delete()
            if source.empty_when_deleted:
                await until(lambda: names_of(backend) is None)
            else:
                await until(lambda: observer.failures)
                assert names_of(backend) == ("alice", ("one",))
            source.write(TWO)
            await until(gives(backend, "two", "more"))
        finally:
            await backend.stop()

    asyncio.run(story())


def test_the_first_of_two_entries_counts_and_the_second_is_reported(source: Source) -> None:
    async def story() -> None:
        observer = RecordingObserver()
        source.write(ONE, role_twice=True)
        backend = source.backend(observer)
        await backend.start()
        await backend.stop()
        assert names_of(backend) == ("alice", ("one",))
        assert any("is mapped" in warning and "ignored" in warning for warning in observer.warnings)

    asyncio.run(story())


def test_a_reserved_prefix_refuses_the_finished_user_name(source: Source) -> None:
    async def story() -> None:
        source.write({ROLE: (f"{RESERVED}{{{{SessionName}}}}", ())})
        backend = source.backend(RecordingObserver())
        await backend.start()
        await backend.stop()
        assert backend.snapshot.reserved_prefixes == (RESERVED,)
        assert isinstance(names_of(backend), Refusal)

    asyncio.run(story())
