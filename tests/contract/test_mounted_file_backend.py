"""The backend MountedFile keeps what every backend promises."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backend_suite import *  # noqa: F403
from backend_suite import RESERVED, ROLE, People, RecordingObserver, names_of
from kube_iam.mappings.backend import Backend
from kube_iam.mappings.mounted_file import MountedFile


class FileSource:
    empty_when_deleted = False

    def __init__(self, directory: Path) -> None:
        self.path = directory / "config.yaml"
        self.hidden = directory / "hidden"

    def backend(self, observer: RecordingObserver) -> Backend:
        return MountedFile(self.path, observer)

    def write(self, people: People, *, role_twice: bool = False) -> None:
        roles, users = "  mapRoles:\n", "  mapUsers:\n"
        for arn, (username, groups) in people.items():
            kind = "role" if ":role/" in arn else "user"
            entry = f"  - {{{kind}arn: '{arn}', username: '{username}', groups: [{', '.join(groups)}]}}\n"
            roles, users = (roles + entry, users) if kind == "role" else (roles, users + entry)
        if role_twice:
            roles += f"  - {{rolearn: '{ROLE}', username: other}}\n"
        reserved = (
            f"  reservedPrefixConfig: [{{backendMode: MountedFile, usernamePrefixReserveList: ['{RESERVED}']}}]\n"
        )
        self.path.write_text(f"clusterID: x\nserver:\n{reserved}{roles}{users}")

    def damage(self) -> None:
        self.path.write_text("server: {mapRoles: 3}")

    def delete(self) -> None:
        self.path.unlink()

    def hide(self) -> None:
        self.path.rename(self.hidden)

    def show(self) -> None:
        self.hidden.rename(self.path)


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    return FileSource(tmp_path)


def test_no_file_means_no_mappings_and_that_is_loaded() -> None:
    async def story() -> None:
        backend = MountedFile(None, RecordingObserver())
        await backend.start()
        await backend.stop()
        assert names_of(backend) is None

    asyncio.run(story())
