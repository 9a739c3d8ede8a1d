from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.config.mappings import MAPPING_KEYS, Mappings, build_table, parse_mappings
from kube_iam.config.section import Findings, Section
from kube_iam.config.yaml_file import parse_yaml
from kube_iam.core.arns import Sso
from kube_iam.errors import ConfigError


def parse(text: str) -> tuple[Mappings, Findings]:
    document = parse_yaml(text, "x.yaml")
    section = Section(document, document.data, (), MAPPING_KEYS, Findings())
    mappings = parse_mappings(section)
    build_table(mappings, section)
    return mappings, section.found


def errors(text: str) -> list[str]:
    return [str(problem) for problem in parse(text)[1].errors]


def warnings(text: str) -> list[str]:
    found = parse(text)[1]
    assert not found.errors
    return [str(problem) for problem in found.warnings]


@pytest.mark.parametrize("key", MAPPING_KEYS)
@pytest.mark.parametrize("word", ["", "null", "~", '""', "''", "{}", "[]"])
def test_empty_text_and_an_empty_mapping_are_an_empty_list(key: str, word: str) -> None:
    mappings, found = parse(f"{key}: {word}\n")
    assert (mappings.count, found.errors, found.warnings) == (0, [], [])


@pytest.mark.parametrize("word", ["''", "{}", "[]"])
def test_an_entry_may_have_empty_groups_in_any_spelling(word: str) -> None:
    mappings, found = parse(f"mapRoles: [{{rolearn: 'arn:aws:iam::123456789012:role/a', username: x, groups: {word}}}]")
    assert (mappings.roles[0].groups, found.errors) == ((), [])


def test_entries_are_read_in_the_reference_s_spelling_and_in_any_other_case() -> None:
    mappings, found = parse(
        """
mapRoles:
- roleARN: arn:aws:iam::123456789012:role/Admin
  username: admin:{{SessionName}}
  groups: ["system:masters"]
MAPUSERS:
- USERARN: arn:aws:iam::123456789012:user/alice
  UserName: alice
mapaccounts: ["012345670123"]
"""
    )
    assert not found.errors
    assert not found.warnings
    role, user = mappings.roles[0], mappings.users[0]
    assert (role.who, role.username.text, [group.text for group in role.groups]) == (
        "arn:aws:iam::123456789012:role/Admin",
        "admin:{{SessionName}}",
        ["system:masters"],
    )
    assert (user.arn, user.username.text, user.groups) == ("arn:aws:iam::123456789012:user/alice", "alice", ())
    assert mappings.accounts == ("012345670123",)


def test_a_permission_set_stands_in_for_a_role() -> None:
    text = "mapRoles: [{sso: {permissionSetName: Admin, accountID: '012345670123'}, username: x}]"
    assert parse(text)[0].roles[0].who == Sso("Admin", "012345670123", "aws")


def test_an_account_id_that_yaml_made_a_number_is_read_as_written_where_that_is_safe() -> None:
    assert parse("mapAccounts: [123456789012]")[0].accounts == ("123456789012",)
    assert warnings("mapAccounts: [123456789012]") == [
        "line 1: mapAccounts[0]: is an account id without quotes (YAML reads it as a number; quote it: '123456789012')"
    ]
    text = "mapRoles: [{sso: {permissionSetName: Admin, accountID: 123456789012}, username: x}]"
    assert parse(text)[0].roles[0].who == Sso("Admin", "123456789012")


@pytest.mark.parametrize("account", ["012345670123", "0o1234567", "12345678901", "1e11"])
def test_account_id_that_yaml_read_as_another_number_is_an_error_with_quoting_hint(account: str) -> None:
    (message,) = errors(f"mapAccounts:\n- {account}\n")
    assert message.startswith("line 2: mapAccounts[0]: ")
    assert f"quote it: '{account}'" in message
    (message,) = errors(f"mapRoles: [{{sso: {{permissionSetName: A, accountID: {account}}}, username: x}}]")
    assert f"quote it: '{account}'" in message


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("mapRoles: 3", "mapRoles", "must be a list of entries"),
        ("mapRoles: [x]", "mapRoles[0]", "must be a mapping of keys, not text"),
        ("mapRoles: [{username: x}]", "mapRoles[0]", "needs one of rolearn and sso, and has neither"),
        ("mapRoles: [{rolearn: '', username: x}]", "mapRoles[0].rolearn", "is required"),
        ("mapRoles: [{rolearn: no-arn, username: x}]", "mapRoles[0].rolearn", "'no-arn' is not an ARN"),
        ("mapRoles: [{rolearn: [a], username: x}]", "mapRoles[0].rolearn", "must be text, not a list"),
        ("mapUsers: [{username: x}]", "mapUsers[0].userarn", "is required"),
        ("mapUsers: [{userarn: 'arn:aws:iam::123456789012:user/a'}]", "mapUsers[0].username", "is required"),
        (
            "mapUsers: [{userarn: 'arn:aws:iam::123456789012:user/a', username: 012}]",
            "mapUsers[0].username",
            "must be text, not a number",
        ),
        (
            "mapUsers: [{userarn: 'arn:aws:iam::123456789012:user/a', username: '{{Nope}}'}]",
            "mapUsers[0].username",
            "unknown template {{Nope}}",
        ),
        (
            "mapUsers: [{userarn: 'arn:aws:iam::123456789012:user/a', username: x, groups: [1.5]}]",
            "mapUsers[0].groups[0]",
            "must be text, not a number",
        ),
        (
            "mapRoles: [{sso: {accountID: '123456789012'}, username: x}]",
            "mapRoles[0].sso.permissionSetName",
            "required",
        ),
        (
            "mapRoles: [{sso: {permissionSetName: 'a b', accountID: '123456789012'}, username: x}]",
            "mapRoles[0].sso",
            "'a b' is not a permission set name",
        ),
        ("mapAccounts: ['12']", "mapAccounts[0]", "'12' is not an account id"),
        ("mapAccounts: {a: b}", "mapAccounts", "must be a list"),
        ("mapRoles: []\nMapRoles: []", "MapRoles", "stands twice"),
    ],
)
def test_what_cannot_be_used_is_an_error_with_its_key_path(text: str, key: str, message: str) -> None:
    found = parse(text)[1]
    assert [problem.key for problem in found.errors] == [key]
    assert message in found.errors[0].message
    assert found.errors[0].line is not None


def test_a_role_and_a_permission_set_together_are_an_error() -> None:
    text = (
        "mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/a', username: x,"
        " sso: {permissionSetName: A, accountID: '123456789012'}}]"
    )
    assert errors(text) == ["line 1: mapRoles[0]: needs one of rolearn and sso, and has both"]


def test_all_problems_are_reported_and_the_good_entries_are_still_there() -> None:
    mappings, found = parse(
        """
mapUsers:
- {userarn: no-arn, username: a}
- {userarn: 'arn:aws:iam::123456789012:user/b', username: b}
- {userarn: 'arn:aws:iam::123456789012:user/c'}
mapAccounts: [x]
"""
    )
    assert [problem.line for problem in found.errors] == [3, 5, 6]
    assert [(user.username.text, user.username.usable) for user in mappings.users] == [("b", True), ("", False)]
    assert [problem.local for problem in found.errors] == [False, True, True]


def test_a_number_that_stands_for_a_name_counts_as_written() -> None:
    text = "mapUsers: [{userarn: 'arn:aws:iam::123456789012:user/a', username: 12, groups: [0, 7]}]"
    (user,) = parse(text)[0].users
    assert (user.username.text, [group.text for group in user.groups]) == ("12", ["0", "7"])
    assert [warning.partition(" (")[0] for warning in warnings(text)] == [
        f"line 1: mapUsers[0].{key}: is a name without quotes" for key in ("username", "groups[0]", "groups[1]")
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{rolearn: 'arn:aws:iam::123456789012:role/a', username: x, usrname: y}", "did you mean 'username'?"),
        ("{rolearn: 'arn:aws:iam::123456789012:role/p/a', username: x}", "has a path"),
        ("{rolearn: 'arn:aws:iam::123456789012:user/a', username: x}", "is not the ARN of a role"),
    ],
)
def test_what_is_odd_but_clear_is_a_warning(entry: str, message: str) -> None:
    (warning,) = warnings(f"mapRoles:\n- {entry}\n")
    assert warning.startswith("line 2: mapRoles[0]")
    assert message in warning


def test_a_second_entry_for_one_arn_is_a_warning_at_its_own_line() -> None:
    entry = "- {rolearn: 'arn:aws:iam::123456789012:role/a', username: x}\n"
    (warning,) = warnings(f"mapRoles:\n{entry}{entry}")
    assert warning.startswith("line 3: mapRoles[1]: ")
    assert "is mapped before at mapRoles[0]" in warning


def test_one_string_stands_for_a_list_of_groups() -> None:
    text = "mapUsers: [{userarn: 'arn:aws:iam::123456789012:user/a', username: x, groups: 'a,b c'}]"
    assert [group.text for group in parse(text)[0].users[0].groups] == ["a", "b c"]


KEYS = st.sampled_from(
    ["mapRoles", "mapUsers", "mapAccounts", "rolearn", "userarn", "sso", "username", "groups", "accountID"]
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.just("arn:aws:iam::123456789012:role/a"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, ANYTHING))
def test_no_shape_of_data_is_more_than_a_problem(data: dict[str, object]) -> None:
    # A key of more than 1024 characters is no YAML, and neither is JSON's spelling of what lies beyond the basic plane.
    with suppress(ConfigError):
        parse(json.dumps(data))
