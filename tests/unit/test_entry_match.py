"""The entry of a mapping that the server uses for a principal, and the nearest entries with the difference of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.access.entry_match import CODES, EntryMatch, match_entries, principal_identity
from kube_iam.access.mapping import ServerMapping
from kube_iam.config.identity_mapping import mapping_spec, read_identity_mappings
from kube_iam.core.mapping import MappingTable
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.kube.mapping_view import view_aws_auth, view_config

ACCOUNT = "111122223333"
IAM = f"arn:aws:iam::{ACCOUNT}:"
ALICE = f"arn:aws:sts::{ACCOUNT}:assumed-role/developer/alice"
SSO = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/alice@example.com"
NOW = 1_800_000_000.0


def read(lists: str) -> ServerMapping:
    indented = "\n".join(f"  {line}" for line in lists.splitlines())
    return view_config(f"clusterID: prod\nserver:\n{indented}\n", "config.yaml").server_mapping("config.yaml")


def entry(arn: str, key: str = "rolearn", more: str = "") -> str:
    return f"- {key}: {arn}\n  username: name\n{more}"


def roles(*arns: str, more: str = "") -> str:
    return "mapRoles:\n" + "".join(entry(arn, more=more) for arn in arns)


def users(*arns: str) -> str:
    return "mapUsers:\n" + "".join(entry(arn, "userarn") for arn in arns)


def sso(name: str, account: str = ACCOUNT, partition: str = "aws") -> str:
    key = f"{{permissionSetName: '{name}', accountID: '{account}', partition: {partition}}}"
    return f"mapRoles:\n- sso: {key}\n  username: name\n"


def found(arn: str, lists: str, groups: tuple[str, ...] | None = None) -> EntryMatch:
    return match_entries(principal_identity(arn), read(lists), groups, NOW)


def nearest(arn: str, lists: str, groups: tuple[str, ...] | None = ()) -> list[str]:
    return [each.code for each in found(arn, lists, groups).nearest]


def test_entry_is_found_with_its_line_user_and_groups() -> None:
    result = found(ALICE, roles(f"{IAM}role/viewer", f"{IAM}role/team/Developer", more="  groups: [dev]\n"))
    assert result.entry is not None
    assert result.entry.place == "config.yaml, line 7, server.mapRoles[1]"
    assert result.entry.principal == f"{IAM}role/team/Developer"
    assert result.entry.user == ("name", ("dev",))
    assert result.missing is None
    assert result.nearest == ()


def test_templates_that_wait_for_a_sign_in_stay_in_the_names() -> None:
    lists = f"mapRoles:\n- rolearn: {IAM}role/developer\n  username: a:{{{{SessionName}}}}:{{{{AccessKeyID}}}}\n"
    result = found(ALICE, lists)
    assert result.entry is not None
    assert result.entry.user == ("a:{{SessionName}}:{{AccessKeyID}}", ())
    assert result.entry.open_variables == ("AccessKeyID",)


def test_role_without_session_leaves_the_session_name_open() -> None:
    lists = f"mapRoles:\n- rolearn: {IAM}role/developer\n  username: a:{{{{SessionNameRaw}}}}\n"
    result = found(f"{IAM}role/developer", lists)
    assert result.entry is not None
    assert (result.entry.user, result.entry.open_variables) == (("a:{{SessionNameRaw}}", ()), ("SessionNameRaw",))


GOV = "arn:aws-us-gov:iam::"


@pytest.mark.parametrize(
    ("arn", "lists", "codes"),
    [
        (f"{IAM}user/team/alice", users(f"{IAM}user/alice"), ["path"]),
        (ALICE, roles("arn:aws:iam::444455556666:role/developer"), ["account"]),
        (ALICE, roles(f"{GOV}{ACCOUNT}:role/developer"), ["partition"]),
        (ALICE, roles(f"{IAM}role/develper"), ["name"]),
        (ALICE, users(f"{IAM}user/alice"), ["principal_kind"]),
        (f"{IAM}user/alice", roles(f"{IAM}role/alice"), ["principal_kind"]),
        (ALICE, roles(f"{IAM}role/viewer"), []),
        (ALICE, "mapRoles:\n" + entry(f"{IAM}role/developer", "userarn"), ["wrong_list"]),
        (f"{IAM}user/alice", "mapUsers:\n" + entry(f"{IAM}user/alice", "rolearn"), ["wrong_list"]),
        (ALICE, roles("developer"), ["invalid_entry"]),
        (SSO, roles(f"{IAM}role/AWSReservedSSO_Admin_fedcba9876543210"), ["sso_suffix"]),
        (SSO, roles(f"{IAM}role/AWSReservedSSO_Admin"), ["sso_suffix"]),
        (SSO, sso("Admin", account="444455556666"), ["account"]),
        (SSO, sso("Admin", partition="aws-cn"), ["partition"]),
        (SSO, sso("Admins"), ["permission_set"]),
        (SSO, sso("ReadOnly"), []),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice", sso("Admin"), ["sso_suffix"]),
        (f"{IAM}user/alice", "mapGroups:\n- iamGroup: devs\n  username: name\n", ["not_member"]),
        (f"{IAM}root", roles(f"{IAM}role/developer"), []),
    ],
)
def test_nearest_entry_is_named_with_its_difference(arn: str, lists: str, codes: list[str]) -> None:
    assert found(arn, lists).entry is None
    assert nearest(arn, lists) == codes


@pytest.mark.parametrize("arn", [f"{IAM}role/DEVELOPER", f"{IAM}role/a/b/developer", ALICE.upper()])
def test_role_matches_in_any_letter_case_and_path(arn: str) -> None:
    assert found(ALICE, roles(arn)).entry is not None


def test_entry_behind_another_one_is_shadowed_with_its_line() -> None:
    lists = sso("A*") + entry(f"{IAM}role/AWSReservedSSO_Admin_0123456789abcdef")
    result = found(SSO, lists)
    assert result.entry is not None
    assert "server.mapRoles[0]" in result.entry.place
    (near,) = result.nearest
    assert near.code == "shadowed"
    assert near.place == "config.yaml, line 6, server.mapRoles[1]"
    assert "config.yaml, line 4, server.mapRoles[0]" in near.reason


def test_session_in_aws_auth_matches_nobody() -> None:
    view = view_aws_auth({"mapRoles": entry(ALICE)}, "ConfigMap kube-system/aws-auth")
    result = match_entries(principal_identity(ALICE), view.server_mapping("ConfigMap kube-system/aws-auth"))
    assert result.entry is None
    assert [each.code for each in result.nearest] == ["session_arn"]
    assert "names one session of a role" in result.nearest[0].reason


def test_unusable_template_is_missing_with_the_report_of_the_server() -> None:
    lists = f"mapRoles:\n- rolearn: {IAM}role/developer\n  username: a:{{{{Session}}}}\n"
    result = found(ALICE, lists)
    assert result.entry is not None
    assert isinstance(result.entry.user, Refusal)
    assert result.entry.user.reason is Reason.TEMPLATE_VALUE
    assert result.missing is not None
    assert result.missing[0] == "template"
    assert "unknown template" in result.missing[1]


GROUP = "  iamGroup: devs\n  temporary:\n  - {userName: bob, userId: AIDABOB0000000, until: '%s'}\n"


@pytest.mark.parametrize(
    ("session", "groups", "until", "code"),
    [
        ("alice", ("devs",), "2000-01-01T00:00:00Z", None),
        ("alice", None, "2000-01-01T00:00:00Z", None),
        ("alice", (), "2100-01-01T00:00:00Z", "not_member"),
        ("bob", (), "2100-01-01T00:00:00Z", None),
        ("bob", (), "2000-01-01T00:00:00Z", "not_member"),
    ],
)
def test_entry_for_a_group_needs_membership_or_a_grant(
    session: str, groups: tuple[str, ...] | None, until: str, code: str | None
) -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/developer/{session}"
    result = found(arn, roles(f"{IAM}role/developer", more=GROUP % until), groups)
    assert result.entry is not None
    assert (result.missing[0] if result.missing else None) == code


def test_ended_grant_is_named_with_its_end() -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/developer/bob"
    result = found(arn, roles(f"{IAM}role/developer", more=GROUP % "2000-01-01T00:00:00Z"), ())
    assert result.missing is not None
    assert "ended at 2000-01-01T00:00:00Z" in result.missing[1]


GROUPS = "mapGroups:\n- iamGroup: devs\n  username: u:{{UserName}}\n  groups: [dev]\n"


def test_group_entries_of_members_are_merged() -> None:
    lists = GROUPS + "- iamGroup: ops\n  username: other\n  groups: [ops]\n"
    result = found(f"{IAM}user/alice", lists, ("devs", "ops"))
    assert result.entry is not None
    assert result.entry.user == ("u:alice", ("dev", "ops"))
    assert "server.mapGroups[0]" in result.entry.place
    assert "server.mapGroups[1]" in result.entry.place


@pytest.mark.parametrize(
    ("arn", "lists", "groups", "code"),
    [
        (f"{IAM}user/alice", GROUPS, ("Devs",), "letter_case"),
        (ALICE, GROUPS, ("devs",), "principal_kind"),
        (f"{IAM}user/alice", GROUPS + users(f"{IAM}user/alice"), ("devs",), "shadowed"),
    ],
)
def test_group_entry_that_is_not_used_says_why(arn: str, lists: str, groups: tuple[str, ...], code: str) -> None:
    assert nearest(arn, lists, groups) == [code]


def test_account_entry_comes_after_all_others() -> None:
    lists = f"mapAccounts: ['{ACCOUNT}']\n" + roles(f"{IAM}role/developer")
    assert found(ALICE, lists).entry is not None
    result = found(f"{IAM}user/alice", lists)
    assert result.entry is not None
    assert result.entry.user == (f"{IAM}user/alice", ())


def test_oldest_object_of_a_role_counts_and_the_other_is_shadowed() -> None:
    specs = [
        mapping_spec(name, created, {"arn": f"{IAM}role/developer", "username": name})
        for name, created in (("new", "2026-02-01T00:00:00Z"), ("old", "2026-01-01T00:00:00Z"))
    ]
    objects = read_identity_mappings(specs)
    result = match_entries(principal_identity(ALICE), ServerMapping("objects", objects.roles, objects.users))
    assert result.entry is not None
    assert result.entry.place == "objects, old"


NAMES = st.sampled_from(["developer", "developers", "alice", "Admin", "AWSReservedSSO_Admin_0123456789abcdef"])
ACCOUNTS = st.sampled_from([ACCOUNT, "444455556666"])
KINDS = st.sampled_from(["role", "role/team", "user", "user/team"])
ARNS = st.builds("arn:aws:iam::{}:{}/{}".format, ACCOUNTS, KINDS, NAMES)


@given(ARNS, st.lists(ARNS, max_size=5), st.lists(ARNS, max_size=5), st.lists(ACCOUNTS, max_size=1))
def test_answer_agrees_with_the_index_of_the_server(
    arn: str, role_arns: list[str], user_arns: list[str], accounts: list[str]
) -> None:
    mapping = read(roles(*role_arns) + users(*user_arns) + f"mapAccounts: {accounts!r}")
    identity = principal_identity(arn)
    table, _ = MappingTable.build(mapping.roles, mapping.users, mapping.accounts)
    result = match_entries(identity, mapping, ())
    used = table.find(identity)
    assert (result.entry is not None) == (used is not None or table.account_match(identity.account_id))
    if used is not None:
        assert result.entry is not None
        assert result.entry.match.source == used.source
    assert all(near.code in CODES for near in result.nearest)
