"""What every backend promises, run against each of them; a new backend is done when it passes with its own source."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kube_iam.config.server import ServerConfig
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import rendered
from kube_iam.errors import ConfigError, KubeIamError, Problem
from kube_iam.mappings.backend import Backend
from kube_iam.mappings.chain import make_backends
from kube_iam.mappings.mounted_file import MountedFile

ROLE = "arn:aws:iam::123456789012:role/Admin"
ADMIN = Identity(
    "arn:aws:sts::123456789012:assumed-role/Admin/alice",
    ROLE,
    "123456789012",
    "AROA1",
    "alice",
    "ASIA1",
    "sts.amazonaws.com",
)


@dataclass
class Heard:
    """An observer that remembers."""

    loads: list[int] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    failures: list[tuple[str, bool]] = field(default_factory=list)

    def loaded(self, backend: str, entries: int, warnings: list[Problem]) -> None:
        self.loads.append(entries)
        self.warnings += warnings

    def failed(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        self.failures.append((str(error), kept))

    def interrupted(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        self.failures.append((str(error), kept))


class FileSource:
    """How the suite changes what MountedFile reads."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "config.yaml"

    def write(self, groups: str, extra: str = "") -> None:
        entry = f"  - {{rolearn: '{ROLE}', username: '{{{{SessionName}}}}', groups: [{groups}]}}\n"
        reserved = "  reservedPrefixConfig: [{backendMode: MountedFile, usernamePrefixReserveList: ['aws:']}]\n"
        self.path.write_text(f"clusterID: x\nserver:\n{reserved}  mapRoles:\n{entry}{extra}")

    def damage(self) -> None:
        self.path.write_text("server: {mapRoles: 3}")

    def backend(self, heard: Heard) -> Backend:
        return MountedFile(self.path, heard)


@pytest.fixture(params=[FileSource])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileSource]:
    yield request.param(tmp_path)


async def until(condition: object, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def groups_of(backend: Backend) -> tuple[str, ...]:
    assert backend.table is not None
    mapped = backend.table.find(ADMIN)
    assert mapped is not None
    names = rendered(mapped, ADMIN, backend.reserved_prefixes)
    assert isinstance(names, tuple)
    return names[1]


def test_there_is_no_table_before_the_first_load(source: FileSource) -> None:
    backend = source.backend(Heard())
    assert backend.table is None
    assert backend.reserved_prefixes == ()


def test_the_table_is_there_when_start_returns_and_follows_its_source(source: FileSource) -> None:
    async def story() -> None:
        heard = Heard()
        source.write("one")
        backend = source.backend(heard)
        await backend.start()
        assert groups_of(backend) == ("one",)
        assert backend.reserved_prefixes == ("aws:",)
        source.write("two")
        await until(lambda: len(heard.loads) == 2)
        assert groups_of(backend) == ("two",)
        await backend.stop()
        assert groups_of(backend) == ("two",)

    asyncio.run(story())


def test_a_source_that_cannot_be_used_never_replaces_one_that_could(source: FileSource) -> None:
    async def story() -> None:
        heard = Heard()
        source.write("one")
        backend = source.backend(heard)
        await backend.start()
        source.damage()
        await until(lambda: heard.failures)
        assert heard.failures[0][1] is True
        assert groups_of(backend) == ("one",)
        await backend.stop()

    asyncio.run(story())


def test_a_source_that_was_never_usable_leaves_no_table_and_is_followed(source: FileSource) -> None:
    async def story() -> None:
        heard = Heard()
        source.damage()
        backend = source.backend(heard)
        await backend.start()
        assert backend.table is None
        assert heard.failures[0][1] is False
        source.write("one")
        await until(lambda: backend.table is not None)
        assert groups_of(backend) == ("one",)
        await backend.stop()

    asyncio.run(story())


def test_odd_entries_are_reported_with_the_load(source: FileSource) -> None:
    async def story() -> None:
        heard = Heard()
        source.write("one", f"  - {{rolearn: '{ROLE}', username: other}}\n")
        backend = source.backend(heard)
        await backend.start()
        await backend.stop()
        assert "is mapped before" in str(heard.warnings[0])
        assert groups_of(backend) == ("one",)

    asyncio.run(story())


def test_no_file_means_no_mappings_and_that_is_loaded() -> None:
    async def story() -> None:
        backend = MountedFile(None, Heard())
        await backend.start()
        await backend.stop()
        assert backend.table is not None
        assert backend.table.find(ADMIN) is None

    asyncio.run(story())


def test_a_backend_that_is_not_supported_yet_is_an_error_and_not_an_empty_table() -> None:
    config = ServerConfig("x", backend_mode=("MountedFile", "CRD"))
    with pytest.raises(ConfigError, match="CRD is not supported yet"):
        make_backends(config, Heard(), {})
