"""The ConfigMap aws-auth as many hands write it: what is good serves, what is not is reported, a typing error locks nobody out."""

from __future__ import annotations

import pytest

from identities import principal
from kube_iam.config.config_map import ConfigMapMappings, read_config_map
from kube_iam.kube.mapping_view import view_aws_auth

ACCOUNT = "555555555555"
NODE = f"arn:aws:iam::{ACCOUNT}:role/Node"
ADMIN = f"arn:aws:iam::{ACCOUNT}:user/admin"
ROLES = f"- rolearn: {NODE}\n  username: node\n  groups:\n    - nodes\n"
USERS = f"- userarn: {ADMIN}\n  username: admin\n  groups: [admins]\n"
GOOD = {"mapRoles": ROLES, "mapUsers": USERS, "mapAccounts": f"- {ACCOUNT}\n"}


def user_of(mappings: ConfigMapMappings, arn: str) -> str | None:
    mapped = mappings.table.find(principal(arn))
    return mapped.username.text if mapped is not None and mapped.username.usable else None


def problems(mappings: ConfigMapMappings) -> str:
    return "\n".join(str(problem) for problem in mappings.problems)


def test_all_three_keys_are_read() -> None:
    mappings = read_config_map(GOOD, {})
    assert (user_of(mappings, NODE), user_of(mappings, ADMIN)) == ("node", "admin")
    assert mappings.table.account_match(ACCOUNT)
    assert (mappings.entries, mappings.good) == (3, GOOD)


@pytest.mark.parametrize("spelled", ["rolearn", "roleARN", "RoleArn", "ROLEARN"])
def test_keys_of_entries_count_in_any_letter_case(spelled: str) -> None:
    assert user_of(read_config_map({"mapRoles": ROLES.replace("rolearn", spelled)}, {}), NODE) == "node"


@pytest.mark.parametrize("key", ["maproles", "MapRoles"])
def test_keys_of_the_config_map_count_as_the_reference_spells_them_only(key: str) -> None:
    assert read_config_map({key: ROLES}, {}).entries == 0


@pytest.mark.parametrize("text", ["", " \n", '""', "''", "``", "[]", "{}", "null", "---", "# nothing\n"])
def test_the_ways_to_write_nothing_are_nothing(text: str) -> None:
    mappings = read_config_map({"mapRoles": text, "mapUsers": USERS}, {"mapRoles": ROLES})
    assert user_of(mappings, NODE) is None
    assert (mappings.entries, problems(mappings)) == (1, "")


@pytest.mark.parametrize("text", ["- rolearn: [\n", "- a\n b:", "\t- x", "word", "{a: b}", "3", "- &a [*a]\n- *b"])
def test_a_key_that_cannot_be_read_keeps_its_last_good_value(text: str) -> None:
    before = read_config_map(GOOD, {})
    now = read_config_map({**GOOD, "mapRoles": text, "mapUsers": ""}, before.good)
    assert user_of(now, NODE) == "node"
    assert user_of(now, ADMIN) is None
    assert "mapRoles" in problems(now)
    assert "its last good value stays in force" in problems(now)
    again = read_config_map({"mapRoles": text}, now.good)
    assert user_of(again, NODE) == "node"


def test_a_key_that_was_never_good_serves_nobody_and_leaves_the_others_alone() -> None:
    mappings = read_config_map({"mapRoles": "- rolearn: [\n", "mapUsers": USERS}, {})
    assert user_of(mappings, ADMIN) == "admin"
    assert "line 2: mapRoles: is not YAML" in problems(mappings)
    assert "none of its entries serve" in problems(mappings)


def test_a_key_that_is_taken_out_is_gone() -> None:
    assert user_of(read_config_map({"mapUsers": USERS}, GOOD), NODE) is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{rolearn: no-arn, username: x}", "is not an ARN"),
        ("{username: x}", "needs one of rolearn and sso"),
        (f"{{rolearn: '{NODE}2'}}", "is required"),
        (f"{{rolearn: '{NODE}2', username: '{{{{Nope}}}}'}}", "unknown template"),
        (f"{{rolearn: '{NODE}2', username: x, username: y}}", "stands twice"),
        ("3", "must be a mapping"),
    ],
)
def test_an_entry_that_cannot_be_used_is_left_out_and_the_others_serve(entry: str, message: str) -> None:
    mappings = read_config_map({"mapRoles": f"- {entry}\n{ROLES}"}, {})
    assert user_of(mappings, NODE) == "node"
    assert user_of(mappings, f"{NODE}2") is None
    (problem,) = mappings.problems
    assert (problem.key[:11], problem.line) == ("mapRoles[0]", 1)
    assert message in problem.message
    assert "left out" in problem.message


@pytest.mark.parametrize(
    "rest",
    [
        "username: a, groups: 'system:masters'",
        "username: a, groups: {a: b}",
        "username: a, username: b",
        "username: a, USERNAME: b",
    ],
)
def test_entry_that_is_readable_up_to_its_arn_also_blocks_the_account_mapping(rest: str) -> None:
    text = f"- {{rolearn: '{NODE}', {rest}}}\n"
    mappings = read_config_map({"mapRoles": text, "mapAccounts": f"- '{ACCOUNT}'\n"}, {})
    mapped = mappings.table.find(principal(NODE))
    assert mapped is not None
    assert not mapped.username.usable
    assert "left out" in problems(mappings)


def test_entry_with_the_arn_of_one_session_admits_nobody() -> None:
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/Node/i-1"
    mappings = read_config_map({"mapRoles": f"- rolearn: {session}\n  username: node\n"}, {})
    assert user_of(mappings, NODE) is None
    assert "names one session of a role" in problems(mappings)


@pytest.mark.parametrize("written", ["012345670123", "098765432109", "555555555555"])
def test_an_unquoted_account_id_is_taken_as_written_with_a_leading_zero_too(written: str) -> None:
    mappings = read_config_map({"mapAccounts": f"- {written}   # note\n"}, {})
    assert mappings.table.account_match(written)
    assert f"quote it: '{written}'" in problems(mappings)


@pytest.mark.parametrize("word", ["0x1234567890", "1234_5678_9012", "12345670123", "123456789012.0", "~"])
def test_what_is_no_account_id_as_written_is_left_out(word: str) -> None:
    mappings = read_config_map({"mapAccounts": f"- {word}\n- '{ACCOUNT}'\n"}, {})
    assert mappings.entries == 1
    assert "mapAccounts[0]" in problems(mappings)


@pytest.mark.parametrize("escape", [r"\/", r"\ud83d\ude00"])
def test_escapes_of_json_that_eks_refuses_serve_with_a_warning(escape: str) -> None:
    text = f'[{{"rolearn": "{NODE}", "username": "node", "groups": ["a{escape}b"]}}]'
    mappings = read_config_map({"mapRoles": text}, {})
    assert user_of(mappings, NODE) == "node"
    assert f"line 1: mapRoles: has the escape {escape}, which the reference and EKS refuse" in problems(mappings)
    view = view_aws_auth({"mapRoles": text}, "aws-auth")
    assert "EKS drops the whole key" in view.fatal[0]
    assert len(view.mappings.roles) == 1


def test_escapes_of_json_that_everybody_reads_are_no_problem() -> None:
    text = f'[{{"rolearn": "{NODE}", "username": "n\\u00f6de", "groups": ["a\\\\/b"]}}]'
    assert problems(read_config_map({"mapRoles": text}, {})) == ""
