"""Backends in any order, also changed while the server runs: a change refuses no mapped principal and admits no other."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest

from backend_suite import ADMIN, ROLE, RecordingObserver, until
from identities import principal
from kube_iam.authn.decide import Allowed, Authenticator, Denied
from kube_iam.config.backends import BACKENDS
from kube_iam.config.server import ServerConfig
from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.mappings.chain import Chain
from kube_sources import ConfigMapSource, Faked, IdentityMappingSource


class Nobody:
    async def verify(self, token: str) -> Identity | Refusal:
        raise AssertionError("not asked here")


class World:
    """All four sources; each gives ADMIN a user name that says where it comes from."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cluster = Faked()
        self.observer = RecordingObserver()
        self.mode = directory / "mode.json"
        self.config = directory / "config.yaml"
        self.dynamic = directory / "dynamic.json"
        self.config.write_text(f"clusterID: x\nserver: {{mapRoles: [{{rolearn: '{ROLE}', username: MountedFile}}]}}")
        self.dynamic.write_text(json.dumps({"mapRoles": [{"rolearn": ROLE, "username": "DynamicFile"}]}))
        ConfigMapSource(self.cluster).write({ROLE: ("EKSConfigMap", ())})
        IdentityMappingSource(self.cluster).write({ROLE: ("CRD", ())})

    def chain(self, *names: str, patience: float = 10) -> Chain:
        config = ServerConfig(
            "x",
            source=self.config,
            backend_mode=names,
            backend_mode_path=self.mode,
            master=f"http://127.0.0.1:{self.cluster.fake.port}",
            dynamic_file=self.dynamic,
        )
        return Chain(config, self.observer, {}, patience=patience)

    def is_asked(self, names: tuple[str, ...]) -> bool:
        return self.observer.chains[-1] == names

    def switch(self, names: str) -> None:
        self.mode.write_text(json.dumps({"LastUpdatedDateTime": "1", "Version": "2", "backendMode": names}))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def answer(chain: Chain) -> str:
    """Return the user name for ADMIN, or the reason of the refusal."""
    decision = await Authenticator(Nobody(), chain).decide(ADMIN)
    assert isinstance(decision, Allowed | Denied)
    return decision.user.username if isinstance(decision, Allowed) else decision.refusal.reason.value


@pytest.mark.parametrize("first", BACKENDS)
def test_the_first_in_the_order_answers(world: World, first: str) -> None:
    async def story() -> None:
        chain = world.chain(first, *(name for name in BACKENDS if name != first))
        await chain.start()
        assert await answer(chain) == first
        assert chain.waiting() == []
        await chain.stop()

    asyncio.run(story())


def test_a_backend_that_has_not_loaded_denies_and_is_named_and_the_start_goes_on(world: World) -> None:
    async def story() -> None:
        world.cluster.hide()
        chain = world.chain("EKSConfigMap", "MountedFile")
        await chain.start()
        assert await answer(chain) == Reason.MAPPINGS_NOT_LOADED.value
        assert chain.waiting() == ["EKSConfigMap"]
        world.cluster.show()
        await until(lambda: chain.waiting() == [])
        assert await answer(chain) == "EKSConfigMap"
        await chain.stop()

    asyncio.run(story())


def test_the_file_names_other_backends_and_without_it_the_configured_ones_are_back(world: World) -> None:
    async def story() -> None:
        chain = world.chain("MountedFile")
        await chain.start()
        assert await answer(chain) == "MountedFile"
        for names in ("CRD MountedFile", "DynamicFile EKSConfigMap", "EKSConfigMap DynamicFile"):
            world.switch(names)
            wanted = tuple(names.split())
            await until(partial(world.is_asked, wanted))
            assert await answer(chain) == names.split()[0]
        world.mode.unlink()
        await until(lambda: world.observer.chains[-1] == ("MountedFile",))
        assert await answer(chain) == "MountedFile"
        assert {kind for kind, _ in world.observer.stamps} == {"dynamic_backend_mode"}
        await chain.stop()

    asyncio.run(story())


def test_the_file_counts_from_the_start(world: World) -> None:
    async def story() -> None:
        world.switch("DynamicFile")
        chain = world.chain("MountedFile")
        await chain.start()
        assert await answer(chain) == "DynamicFile"
        assert world.observer.stamps == []
        await chain.stop()

    asyncio.run(story())


@pytest.mark.parametrize("text", ["{", "[]", '{"backendMode": "NoBackend"}', '{"backendMode": ""}', "{}"])
def test_a_file_that_cannot_be_used_changes_nothing_later_and_denies_at_the_start(world: World, text: str) -> None:
    async def story() -> None:
        chain = world.chain("MountedFile")
        await chain.start()
        world.mode.write_text(text)
        await until(lambda: world.observer.failures)
        assert await answer(chain) == "MountedFile"
        await chain.stop()

        fresh = world.chain("MountedFile")
        await fresh.start()
        assert await answer(fresh) == Reason.MAPPINGS_NOT_LOADED.value
        assert fresh.waiting() == ["dynamicBackendModePath"]
        world.switch("MountedFile")
        await until(lambda: fresh.waiting() == [])
        assert await answer(fresh) == "MountedFile"
        await fresh.stop()

    asyncio.run(story())


def test_the_old_backends_answer_until_the_new_one_has_loaded(world: World) -> None:
    async def story() -> None:
        world.cluster.hide()
        chain = world.chain("MountedFile")
        await chain.start()
        world.switch("EKSConfigMap MountedFile")
        await until(lambda: world.observer.failures)
        assert await answer(chain) == "MountedFile"
        world.cluster.show()
        await until(lambda: world.observer.chains[-1] == ("EKSConfigMap", "MountedFile"))
        assert await answer(chain) == "EKSConfigMap"
        await chain.stop()

    asyncio.run(story())


def test_the_old_backends_do_not_answer_for_ever_when_the_new_one_does_not_load(world: World) -> None:
    async def story() -> None:
        world.cluster.hide()
        chain = world.chain("MountedFile", patience=0.1)
        await chain.start()
        world.switch("EKSConfigMap")
        await until(lambda: world.observer.chains[-1] == ("EKSConfigMap",))
        assert await answer(chain) == Reason.MAPPINGS_NOT_LOADED.value
        await chain.stop()

    asyncio.run(story())


def test_a_backend_that_stays_is_not_loaded_again(world: World) -> None:
    async def story() -> None:
        chain = world.chain("MountedFile", "DynamicFile")
        await chain.start()
        before = {each.name: each.table for each in chain.snapshots()}
        world.switch("DynamicFile MountedFile")
        await until(lambda: world.observer.chains[-1] == ("DynamicFile", "MountedFile"))
        assert {each.name: each.table for each in chain.snapshots()} == before
        world.config.write_text("clusterID: x\nserver: {mapRoles: []}")
        await until(lambda: world.observer.loads[-1] == 0)
        await chain.stop()

    asyncio.run(story())


def test_principal_without_a_mapping_is_denied_as_not_mapped(world: World) -> None:
    async def story() -> None:
        chain = world.chain(*BACKENDS)
        await chain.start()
        stranger = principal(f"{ROLE}2", user_id="AROA9")
        decision = await Authenticator(Nobody(), chain).decide(stranger)
        assert isinstance(decision, Denied)
        assert decision.refusal.reason is Reason.NOT_MAPPED
        await chain.stop()

    asyncio.run(story())
