"""The backend CRD keeps what every backend promises, on an API server that can be told to fail."""

from __future__ import annotations

import asyncio

import pytest

from backend_suite import *  # noqa: F403
from backend_suite import ROLE, RecordingObserver, until
from kube_iam.config.identity_mapping import IAM_GROUP
from kube_iam.mappings.crd_status import PATH
from kube_sources import Faked, IdentityMappingSource


@pytest.fixture
def source() -> IdentityMappingSource:
    return IdentityMappingSource(Faked())


def test_a_changed_group_of_an_object_is_in_force_and_known_to_the_membership_cache() -> None:
    faked = Faked()

    def put(group: str) -> None:
        metadata = {"annotations": {IAM_GROUP: group}} if group else {"annotations": {}}
        faked.put(PATH, "admin", {"metadata": metadata, "spec": {"arn": ROLE, "username": "admin"}})

    async def story() -> None:
        put("admins")
        backend = IdentityMappingSource(faked).backend(RecordingObserver())
        await backend.start()

        def groups() -> list[str]:
            assert backend.snapshot.table is not None
            return [each.iam_group for each in backend.snapshot.table.requirements]

        try:
            assert groups() == ["admins"]
            put("others")
            await until(lambda: groups() == ["others"])
            put("")
            await until(lambda: groups() == [])
        finally:
            await backend.stop()

    asyncio.run(story())
