"""The backend DynamicFile keeps what every backend promises, by ARN and by unique id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend_suite import *  # noqa: F403
from backend_suite import IDS, RESERVED, ROLE, People, RecordingObserver
from kube_iam.mappings.backend import Backend
from kube_iam.mappings.dynamic_file import DynamicFile


class JsonSource:
    empty_when_deleted = True

    def __init__(self, directory: Path, user_ids: bool) -> None:
        self.path = directory / "mappings.json"
        self.hidden = directory / "hidden"
        self.user_ids = user_ids

    def backend(self, observer: RecordingObserver) -> Backend:
        return DynamicFile(self.path, observer, (RESERVED,), user_ids=self.user_ids)

    def write(self, people: People, *, role_twice: bool = False) -> None:
        data: dict[str, list[Any]] = {"mapRoles": [], "mapUsers": []}
        for arn, (username, groups) in people.items():
            key, name = ("mapRoles", "rolearn") if ":role/" in arn else ("mapUsers", "userarn")
            data[key].append({name: arn, "userid": IDS[arn], "username": username, "groups": groups})
        if role_twice:
            data["mapRoles"].append({"rolearn": ROLE, "userid": IDS[ROLE], "username": "other"})
        self.path.write_text(json.dumps({"Version": "1", "LastUpdatedDateTime": "1700000000", **data}))

    def damage(self) -> None:
        self.path.write_text('{"mapRoles": [')

    def delete(self) -> None:
        self.path.unlink()

    def hide(self) -> None:
        # No file would mean no mappings; a directory is something that cannot be read.
        self.path.rename(self.hidden)
        self.path.mkdir()

    def show(self) -> None:
        self.path.rmdir()
        self.hidden.rename(self.path)


@pytest.fixture(params=[False, True], ids=["by ARN", "by unique id"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> JsonSource:
    return JsonSource(tmp_path, request.param)
