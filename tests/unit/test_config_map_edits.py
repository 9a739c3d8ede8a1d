"""Edits of ConfigMaps while others write too: no write is lost, and one that did not happen is never reported as done."""

from __future__ import annotations

import pytest
from api_in_memory import ApiInMemory

from kube_iam.access.levels import MappingTarget, TargetKind
from kube_iam.errors import ConfigError, Conflict, KubeError, NotFound
from kube_iam.kube.config_map import ATTEMPTS, ConfigMapEditor, ConfigMapText, Contents, Edit

NAME = "kube-system/aws-auth"
PATH = "/api/v1/namespaces/kube-system/configmaps"
TARGET = MappingTarget(TargetKind.AWS_AUTH, namespace="kube-system", name="aws-auth", key="mapRoles")


@pytest.fixture
def memory() -> ApiInMemory:
    return ApiInMemory()


@pytest.fixture
def text(memory: ApiInMemory) -> ConfigMapText:
    return ConfigMapText(memory.api(), TARGET, sleep=lambda _: None)


def once(memory: ApiInMemory, write: object) -> None:
    """Let somebody else write first, one time."""

    def before_write() -> None:
        memory.before_write = lambda: None
        assert callable(write)
        write()

    memory.before_write = before_write


def test_a_key_is_read_and_a_missing_one_is_none(memory: ApiInMemory, text: ConfigMapText) -> None:
    assert text.read() is None
    memory.put_config_map(NAME, {"mapUsers": "x"})
    assert text.read() is None
    memory.put_config_map(NAME, {"mapRoles": "- a"})
    assert text.read() == "- a"


def test_binary_data_under_the_key_is_an_error_and_stays(memory: ApiInMemory, text: ConfigMapText) -> None:
    memory.put_config_map(NAME, {}, binaryData={"mapRoles": "AAAA"})
    with pytest.raises(ConfigError, match="mapRoles: is binary data"):
        text.read()
    with pytest.raises(ConfigError, match="mapRoles: is binary data"):
        text.edit(lambda _: "x")
    assert memory.writes == []


def test_an_edit_changes_its_key_alone_and_creates_a_missing_config_map(
    memory: ApiInMemory, text: ConfigMapText
) -> None:
    text.edit(lambda _: "first")
    assert memory.data(NAME) == {"mapRoles": "first"}
    labels = memory.objects[f"{PATH}/aws-auth"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/managed-by": "kube-iam"}
    memory.put_config_map(NAME, {"mapRoles": "first", "mapUsers": "theirs"})
    text.edit(lambda before: f"{before} second")
    assert memory.data(NAME) == {"mapRoles": "first second", "mapUsers": "theirs"}


def test_an_edit_that_changes_nothing_writes_nothing(memory: ApiInMemory, text: ConfigMapText) -> None:
    memory.put_config_map(NAME, {"mapRoles": "same"})
    text.edit(lambda before: before)
    text.edit(lambda before: None)
    assert memory.writes == []


@pytest.mark.parametrize("other", ["write", "create", "recreate", "delete"])
def test_an_edit_that_loses_a_race_is_computed_from_what_won(
    memory: ApiInMemory, text: ConfigMapText, other: str
) -> None:
    if other != "create":
        memory.put_config_map(NAME, {"mapRoles": "old "})

    def faster() -> None:
        if other in ("recreate", "delete"):
            memory.delete_config_map(NAME)
        if other != "delete":
            memory.put_config_map(NAME, {"mapRoles": "theirs ", "mapUsers": "theirs"})

    once(memory, faster)
    text.edit(lambda before: f"{before or ''}ours")
    expected = {"mapRoles": "ours"} if other == "delete" else {"mapRoles": "theirs ours", "mapUsers": "theirs"}
    assert memory.data(NAME) == expected


def test_an_edit_that_loses_every_race_is_an_error_and_changed_nothing(
    memory: ApiInMemory, text: ConfigMapText
) -> None:
    memory.put_config_map(NAME, {"mapRoles": "theirs"})
    memory.before_write = lambda: memory.put_config_map(NAME, {"mapRoles": "theirs"})
    computed: list[str | None] = []

    def change(before: str | None) -> str:
        computed.append(before)
        return "ours"

    with pytest.raises(Conflict, match="ConfigMap kube-system/aws-auth was not changed: something else wrote to it"):
        text.edit(change)
    assert len(computed) == len(memory.writes) == ATTEMPTS
    assert memory.data(NAME) == {"mapRoles": "theirs"}


def test_a_race_that_is_won_at_the_last_attempt_counts(memory: ApiInMemory, text: ConfigMapText) -> None:
    memory.put_config_map(NAME, {"mapRoles": "theirs"})

    def faster() -> None:
        if len(memory.writes) < ATTEMPTS:
            memory.put_config_map(NAME, {"mapRoles": f"theirs {len(memory.writes)} "})

    memory.before_write = faster
    text.edit(lambda before: f"{before}ours")
    assert memory.data(NAME) == {"mapRoles": f"theirs {ATTEMPTS - 1} ours"}


def test_a_conflict_that_the_change_itself_raises_is_not_tried_again(memory: ApiInMemory, text: ConfigMapText) -> None:
    computed = []

    def change(before: str | None) -> str:
        computed.append(before)
        raise Conflict("there is an entry already")

    with pytest.raises(Conflict, match="there is an entry already"):
        text.edit(change)
    assert len(computed) == 1


def test_without_create_a_missing_config_map_is_an_error(memory: ApiInMemory, text: ConfigMapText) -> None:
    with pytest.raises(NotFound, match="there is no ConfigMap kube-system/aws-auth in this cluster"):
        text.edit(lambda _: "x", create=False)
    assert memory.objects == {}


def test_a_missing_namespace_is_an_error_at_once(memory: ApiInMemory, text: ConfigMapText) -> None:
    memory.status["POST", PATH] = 404
    with pytest.raises(NotFound, match="cannot create ConfigMap kube-system/aws-auth"):
        text.edit(lambda _: "x")
    assert len(memory.asked) == 2


@pytest.mark.parametrize(("method", "doing"), [("GET", "read"), ("PATCH", "change")])
def test_what_the_api_server_refuses_is_an_error_at_once(
    memory: ApiInMemory, text: ConfigMapText, method: str, doing: str
) -> None:
    memory.put_config_map(NAME, {"mapRoles": "theirs"})
    memory.status[method, f"{PATH}/aws-auth"] = 403
    with pytest.raises(KubeError, match=f"cannot {doing} ConfigMap kube-system/aws-auth"):
        text.edit(lambda _: "x")
    assert memory.data(NAME) == {"mapRoles": "theirs"}


def test_the_result_is_that_of_the_change_that_was_written(memory: ApiInMemory) -> None:
    editor = ConfigMapEditor(memory.api(), "kube-system", "aws-auth", sleep=lambda _: None)
    memory.put_config_map(NAME, {"x": "1", "gone": "soon"})
    once(memory, lambda: memory.put_config_map(NAME, {"x": "2", "gone": "soon"}))

    def change(contents: Contents) -> Edit[str]:
        return Edit({"y": contents.data["x"], "gone": None}, contents.data["x"])

    assert editor.edit(change) == "2"
    assert memory.data(NAME) == {"x": "2", "y": "2"}
