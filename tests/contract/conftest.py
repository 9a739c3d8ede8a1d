from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_sts import FakeSts
from running_server import RunningServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests with a server of their own or of their module."""
    for item in items:
        if {"make_server", "shared"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.process)


@pytest.fixture
def sts(tmp_path: Path) -> Iterator[FakeSts]:
    fake = FakeSts(tmp_path / "sts")
    yield fake
    fake.stop()


@pytest.fixture
def make_server(tmp_path: Path, sts: FakeSts) -> Iterator[Callable[..., RunningServer]]:
    """Yield a function that makes servers. All of them are stopped at the end, whatever happens."""
    made: list[RunningServer] = []

    def make(**settings: str) -> RunningServer:
        directory = tmp_path / f"server{len(made)}"
        directory.mkdir()
        made.append(RunningServer(directory, sts, **settings))
        return made[-1]

    yield make
    for server in made:
        if server.process is not None:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the tests of a module that only ask."""
    directory = tmp_path_factory.mktemp("shared")
    fake = FakeSts(directory / "sts")
    settings = (
        "  scrubbedAccounts: ['999999999999']\n"
        "  reservedPrefixConfig:\n  - backendMode: MountedFile\n    usernamePrefixReserveList: ['aws:']\n"
    )
    server = RunningServer(directory, fake, settings=settings)
    server.write_config(server_mappings())
    server.start("-v", "debug")
    yield server
    server.stop()
    fake.stop()


def server_mappings() -> str:
    from running_server import MAPPINGS

    return MAPPINGS.replace(
        "  mapUsers:\n",
        "  - roleARN: arn:aws:iam::999999999999:role/Hidden\n    username: hidden\n  mapUsers:\n",
    )
