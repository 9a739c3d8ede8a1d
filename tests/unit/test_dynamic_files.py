"""The JSON files that other programs write: taken whole or not at all where they are not done, by unique id where that is wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identities import principal
from kube_iam.config.dynamic import DynamicMappings, Stamp, load_backend_mode, load_dynamic_mappings
from kube_iam.errors import ConfigError

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Admin"
USER = f"arn:aws:iam::{ACCOUNT}:user/people/bob"
ENTRY = {"rolearn": ROLE, "username": "admin", "groups": ["g"], "userid": "AROA1"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "dynamic.json"


def load(file: Path, data: Any, *, user_ids: bool = False) -> DynamicMappings:
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    loaded = load_dynamic_mappings(file, user_ids=user_ids)
    assert loaded is not None
    return loaded


def user_of(mappings: DynamicMappings, arn: str = ROLE, user_id: str = "AROA1") -> str | None:
    mapped = mappings.table.find(principal(arn, user_id=user_id))
    return mapped.username.text if mapped is not None and mapped.username.usable else None


def test_no_file_is_not_a_broken_one(file: Path) -> None:
    assert load_dynamic_mappings(file, user_ids=False) is None
    assert load_backend_mode(file) is None


@pytest.mark.parametrize("user_ids", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", '{"mapRoles": 3}', '{"mapRoles": [3]}', '{"mapRoles": [{}]}', '{"a": 1, "a": 1}'),
        '{"mapRoles": [{"username": "x"}]}',
        '{"mapUsers": [{"username": "x", "userarn": "", "userid": ""}]}',
        "\ufeff{}\0",
        "[" * 100_000,
    ],
)
def test_a_file_that_is_not_done_is_refused_whole(file: Path, text: str, user_ids: bool) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError):
        load_dynamic_mappings(file, user_ids=user_ids)


@pytest.mark.parametrize("user_ids", [False, True])
def test_an_entry_that_cannot_be_used_is_left_out_and_the_others_serve(file: Path, user_ids: bool) -> None:
    bad = {"rolearn": f"{ROLE}2", "username": "{{Nope}}", "userid": "AROA2"}
    loaded = load(file, {"mapRoles": [bad, ENTRY]}, user_ids=user_ids)
    assert user_of(loaded) == "admin"
    assert user_of(loaded, f"{ROLE}2", "AROA2") is None
    assert "left out" in str(loaded.problems[0])


@pytest.mark.parametrize("user_ids", [False, True])
def test_groups_as_one_text_are_no_list_in_json_and_the_entry_admits_nobody(file: Path, user_ids: bool) -> None:
    loaded = load(file, {"mapRoles": [{**ENTRY, "groups": "system:masters,x"}]}, user_ids=user_ids)
    assert user_of(loaded) is None
    assert "groups: must be a list, not text" in str(loaded.problems[0])


def test_by_arn_the_unique_id_counts_for_nothing_and_is_not_odd(file: Path) -> None:
    loaded = load(file, {"mapRoles": [ENTRY], "mapAccounts": [ACCOUNT], "ClusterId": "x"})
    assert user_of(loaded, user_id="AROA9") == "admin"
    assert loaded.table.account_match(ACCOUNT)
    assert (loaded.entries, loaded.problems) == (2, [])


def test_by_unique_id_a_role_made_again_under_its_name_is_another(file: Path) -> None:
    loaded = load(file, {"mapRoles": [ENTRY], "mapAccounts": [ACCOUNT]}, user_ids=True)
    assert user_of(loaded) == "admin"
    assert user_of(loaded, user_id="AROA2") is None
    assert user_of(loaded, user_id="aroa1") is None
    assert loaded.table.account_match(ACCOUNT)


@pytest.mark.parametrize(
    ("given_arn", "expected"),
    [
        (ROLE, "admin"),
        (ROLE.upper(), "admin"),
        (ROLE.replace("role/", "role/team/a/"), "admin"),
        ("", "admin"),
        (f"{ROLE}2", None),
        ("no-arn", None),
        (ROLE.replace("arn:aws:", "arn:aws-cn:"), None),
    ],
)
def test_by_unique_id_an_arn_that_is_given_must_agree_and_one_that_is_none_denies(
    file: Path, given_arn: str, expected: str | None
) -> None:
    loaded = load(file, {"mapRoles": [{**ENTRY, "rolearn": given_arn}]}, user_ids=True)
    assert user_of(loaded) == expected
    assert bool(loaded.problems) == (given_arn == "no-arn")


def test_by_unique_id_the_path_of_a_user_counts(file: Path) -> None:
    loaded = load(file, {"mapUsers": [{"userarn": USER, "userid": "AIDA1", "username": "bob"}]}, user_ids=True)
    assert user_of(loaded, USER, "AIDA1") == "bob"
    assert user_of(loaded, USER.replace("people/", ""), "AIDA1") is None


def test_first_entry_with_a_unique_id_counts_and_roles_precede_users(file: Path) -> None:
    second = {"userarn": USER, "userid": "AROA1", "username": "bob"}
    loaded = load(file, {"mapUsers": [second], "mapRoles": [ENTRY, {**ENTRY, "username": "x"}]}, user_ids=True)
    assert user_of(loaded) == "admin"
    assert user_of(loaded, USER) is None
    assert [problem.key for problem in loaded.problems] == ["mapRoles[1]", "mapUsers[0]"]


@pytest.mark.parametrize(
    ("written", "updated"),
    [("1700000000", 1700000000), (1700000000, 1700000000), ("", None), ("soon", None), (None, None), (True, None)],
)
def test_the_stamp_is_read_as_text_and_as_a_number(file: Path, written: object, updated: int | None) -> None:
    assert load(file, {"LastUpdatedDateTime": written, "Version": "7"}).stamp == Stamp("7", updated)


def test_the_backends_are_named_with_spaces_or_commas_and_by_their_old_names(file: Path) -> None:
    file.write_text('{"backendMode": "ConfigMap File,CRD", "Version": 3, "LastUpdatedDateTime": "9"}')
    assert load_backend_mode(file) == (("EKSConfigMap", "MountedFile", "CRD"), Stamp("3", 9))


@pytest.mark.parametrize("text", ["{", "{}", '{"backendMode": ["CRD"]}', '{"backendMode": "CRD CRD"}'])
def test_a_file_that_names_no_chain_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError):
        load_backend_mode(file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ENTRY, "userarn", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["mapRoles", "mapUsers", "mapAccounts", "Version"]), JSON), st.booleans())
def test_no_shape_of_json_is_more_than_a_problem(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object], user_ids: bool
) -> None:
    file = tmp_path_factory.mktemp("dynamic") / "file"
    file.write_text(json.dumps(data))
    try:
        load_dynamic_mappings(file, user_ids=user_ids)
    except ConfigError as error:
        assert error.problems
