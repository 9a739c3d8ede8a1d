"""Removal of users from synced bindings by the commands, beside others who write to the same bindings."""

from __future__ import annotations

from typing import Any

import pytest
from api_in_memory import ApiInMemory

from kube_iam.errors import Conflict
from kube_iam.kube.synced_bindings import read_synced, remove_users

PATH = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
NAME = "kube-iam:ops:view"
LABELS = {"app.kubernetes.io/managed-by": "kube-iam", "kube-iam.dev/cluster": "prod", "kube-iam.dev/level": "ops"}
SYNCED = {
    "kube-iam.dev/iam-group": "prod-ops",
    "kube-iam.dev/role-arn": "arn:aws:iam::123456789012:role/prod-ops",
    "kube-iam.dev/username": "awsiam:ops:{{SessionNameRaw}}",
}


@pytest.fixture
def memory() -> ApiInMemory:
    made = ApiInMemory()
    made.empty.add("/apis/rbac.authorization.k8s.io/v1/rolebindings")
    put(made, NAME, SYNCED, "alice", "bob")
    put(made, "kube-iam:audit:view", {}, "alice")
    return made


def put(memory: ApiInMemory, name: str, annotations: dict[str, str], *users: str) -> None:
    subjects: list[Any] = [{"kind": "User", "name": f"awsiam:ops:{user}", "apiGroup": "x"} for user in users]
    memory.objects[f"{PATH}/{name}"] = {
        "metadata": {"name": name, "labels": LABELS, "annotations": annotations, "resourceVersion": "1"},
        "roleRef": {"kind": "ClusterRole", "name": "view", "apiGroup": "x"},
        "subjects": [*subjects, {"kind": "ServiceAccount", "name": "robot", "namespace": "shop"}],
    }


def subjects(memory: ApiInMemory, name: str = NAME) -> list[str]:
    return [each["name"].removeprefix("awsiam:ops:") for each in memory.objects[f"{PATH}/{name}"]["subjects"]]


def remove(memory: ApiInMemory, user: str) -> list[str]:
    api = memory.api()
    return [str(each) for each in remove_users(api, read_synced(api), lambda _: [f"awsiam:ops:{user}"], lambda _: None)]


def test_one_user_is_removed_from_synced_bindings_alone(memory: ApiInMemory) -> None:
    assert remove(memory, "alice") == [f"awsiam:ops:alice: removed from ClusterRoleBinding {NAME} (level ops)"]
    assert subjects(memory) == ["bob", "robot"]
    assert subjects(memory, "kube-iam:audit:view") == ["alice", "robot"]


def test_nothing_is_written_where_the_user_is_not_in_the_binding(memory: ApiInMemory) -> None:
    assert remove(memory, "carl") == []
    assert memory.writes == []


def test_user_who_was_added_meanwhile_stays(memory: ApiInMemory) -> None:
    def added() -> None:
        memory.before_write = lambda: None
        put(memory, NAME, SYNCED, "alice", "bob", "carl")
        memory.objects[f"{PATH}/{NAME}"]["metadata"]["resourceVersion"] = "2"

    memory.before_write = added
    assert len(remove(memory, "alice")) == 1
    assert subjects(memory) == ["bob", "carl", "robot"]


def test_removal_by_the_sync_or_a_deletion_meanwhile_is_a_success(memory: ApiInMemory) -> None:
    api = memory.api()
    bindings = read_synced(api)
    put(memory, NAME, SYNCED, "bob")
    assert len(remove_users(api, bindings, lambda _: ["awsiam:ops:alice"])) == 1
    del memory.objects[f"{PATH}/{NAME}"]
    assert len(remove_users(api, bindings, lambda _: ["awsiam:ops:alice"])) == 1
    assert memory.writes == []


def test_endless_conflicts_are_an_error(memory: ApiInMemory) -> None:
    memory.status["PATCH", f"{PATH}/{NAME}"] = 409
    with pytest.raises(Conflict, match="something else wrote to it first"):
        remove(memory, "alice")
