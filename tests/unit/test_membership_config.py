"""Entries that ask for membership in an IAM group, as people write them; and that no slip makes one ask for less."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from identities import iam_user, role_session
from kube_iam.config.config_map import read_config_map
from kube_iam.config.dynamic import load_dynamic_mappings
from kube_iam.config.mappings import MAPPING_KEYS, Mappings, build_table, parse_mappings
from kube_iam.config.section import Findings, Section
from kube_iam.config.server import load_server_config
from kube_iam.config.yaml_file import parse_yaml
from kube_iam.core.mapping import MappingMatch, MappingTable, render
from kube_iam.core.mapping_entries import MembershipRequirement, TemporaryGrant
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.errors import ConfigError

ACCOUNT = "123456789012"
ARN = f"arn:aws:iam::{ACCOUNT}:role/Admin"
WHO = role_session(account=ACCOUNT, user_id="AROA")
BOB = iam_user("bob", path="/x/", account=ACCOUNT, user_id="AIDABOB")
ITEM = '{userName: bob, userId: AIDAJQABLZS4A3QDU576Q, until: "2026-11-24T14:00:00Z", reason: on call}'


def entries_of(table: MappingTable, member_of: list[str], user_id: str) -> list[MappingMatch]:
    """Return the entries of whole groups for a user, with all groups loaded."""
    return table.group_mappings.find(member_of, user_id, 0, is_current=lambda _: True)


def parse(text: str) -> tuple[Mappings, MappingTable, Findings]:
    document = parse_yaml(text, "x.yaml")
    section = Section(document, document.data, (), MAPPING_KEYS, Findings())
    mappings = parse_mappings(section)
    return mappings, build_table(mappings, section), section.found


def role(keys: str, who: str = f"rolearn: {ARN}") -> str:
    return f"mapRoles: [{{{who}, username: x, {keys}}}]"


def test_entry_has_group_level_and_temporary_grants() -> None:
    _, table, found = parse(role(f"IAMGROUP: prod-admin, Level: admin, temporary: [{ITEM}]"))
    assert not found.errors + found.warnings
    mapped = table.find(WHO)
    assert mapped is not None
    assert mapped.levels == ("admin",)
    item = TemporaryGrant("bob", "AIDAJQABLZS4A3QDU576Q", "2026-11-24T14:00:00Z", "on call")
    assert mapped.requirement == MembershipRequirement("prod-admin", ARN.lower(), "Admin", (item,))
    assert table.requirements == (mapped.requirement,)


@pytest.mark.parametrize(
    "arn", [f"arn:aws:iam::{ACCOUNT}:role/team/Admin", ARN.replace("arn:aws:iam", "ARN:aws:IAM"), WHO.arn]
)
def test_the_role_is_known_by_its_name_however_its_arn_is_spelt(arn: str) -> None:
    _, table, _ = parse(role("iamGroup: g", f"rolearn: {arn}"))
    assert table.requirements == (MembershipRequirement("g", ARN.lower(), "Admin"),)


def test_an_entry_without_the_keys_asks_for_nothing() -> None:
    _, table, _ = parse(f"mapRoles: [{{rolearn: {ARN}, username: x}}]")
    mapped = table.find(WHO)
    assert mapped is not None
    assert (mapped.requirement, mapped.levels, table.requirements, bool(table.group_mappings)) == (None, (), (), False)


@pytest.mark.parametrize(
    "key", ["gruops: []", "usrname: y", "group: g", "levle: x", "comment: y", "description: y", "iam: y"]
)
def test_a_key_that_is_nearer_to_another_or_to_none_has_no_effect(key: str) -> None:
    _, table, found = parse(role(key))
    assert (len(found.errors), len(found.warnings)) == (0, 1)
    assert not isinstance(render(table.find(WHO), WHO, ()), Refusal)  # type: ignore[arg-type]


def test_misspelt_temporary_beside_a_group_refuses_no_member() -> None:
    _, table, found = parse(role(f"iamGroup: g, temporry: [{ITEM}]"))
    assert (len(found.errors), len(found.warnings)) == (0, 1)
    assert table.requirements == (MembershipRequirement("g", ARN.lower(), "Admin"),)


def test_a_misspelt_group_of_a_permission_set_is_reported_once() -> None:
    _, table, found = parse(role("iamGruop: g", SSO))
    assert [problem.message for problem in found.errors] == ["has no meaning with sso"]
    mapped = table.find(role_session(role="AWSReservedSSO_Admin_0123456789abcdef", account=ACCOUNT))
    assert mapped is not None
    assert isinstance(render(mapped, WHO, ()), Refusal)


SSO = f"sso: {{permissionSetName: Admin, accountID: '{ACCOUNT}'}}"


@pytest.mark.parametrize(
    "keys",
    [
        "iamGroup: null",
        'iamGroup: ""',
        "iamGroup: ~",
        "iamGroup: []",
        "iamGroup: {}",
        "iamGroup: 1.5",
        "iamGroup: a/b",
        "iamGroup: a b",
        "iamGroup: 'arn:aws:iam::123456789012:group/x'",
        f"iamGroup: {'a' * 129}",
        "iamGroups: g",
        "iam_group: g",
        "iam-group: g",
        "iamGroup: g, iamGroupName: g",
        "iamGruop: g",
        "iamgrp: g",
        "imaGroup: g",
        "amGroup: g",
        "ïamGroup: g",
        "iam_gruop: g",
        "iamGroup: g, iamGruop: h",
        "temporry: []",
        "temporaries: []",
        "iamGroup: g, level: []",
        "iamGroup: g, level: ''",
        "temporary: []",
        f"temporary: [{ITEM}]",
        "temporary: ~",
    ],
)
def test_mistake_makes_an_entry_that_admits_nobody_and_hides_no_other(keys: str) -> None:
    _, table, found = parse(role(keys) + f'\nmapAccounts: ["{ACCOUNT}"]')
    assert found.errors
    assert all(problem.local for problem in found.errors)
    mapped = table.find(WHO)
    assert mapped is not None
    assert isinstance(render(mapped, WHO, ()), Refusal)
    assert table.requirements == ()


def test_a_permission_set_cannot_ask_for_a_group() -> None:
    _, table, found = parse(role("iamGroup: g", SSO))
    assert [str(problem) for problem in found.errors] == ["line 1: mapRoles[0].iamGroup: has no meaning with sso"]
    mapped = table.find(role_session(role="AWSReservedSSO_Admin_0123456789abcdef", account=ACCOUNT))
    assert mapped is not None
    assert isinstance(render(mapped, WHO, ()), Refusal)


@pytest.mark.parametrize(
    "keys", ["iamGroup: g", "IAMGroup: g", "iam_groups: g", f"temporary: [{ITEM}]", "iamGruop: g", "tmporary: []"]
)
def test_a_user_s_entry_cannot_ask_for_a_group(keys: str) -> None:
    _, table, found = parse(f"mapUsers: [{{userarn: '{BOB.arn}', username: x, {keys}}}]")
    assert [problem.message for problem in found.errors] == ["has no meaning in mapUsers"]
    mapped = table.find(BOB)
    assert mapped is not None
    assert isinstance(render(mapped, BOB, ()), Refusal)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("{userId: AIDAJQABLZS4A3QDU576Q, until: '2026-11-24T14:00:00Z'}", "must be the name of an IAM user"),
        ("{userName: bob, until: '2026-11-24T14:00:00Z'}", "must be the unique id of an IAM user (AIDA…)"),
        ("{userName: bob, userId: '123456789012', until: '2026-11-24T14:00:00Z'}", "must be the unique id"),
        ("{userName: bob, userId: AIDAJQABLZS4A3QDU576Q}", "must be a time such as"),
        ("{userName: bob, userId: AIDAJQABLZS4A3QDU576Q, until: 2026-11-24}", "must be a time such as"),
        ("{userName: bob, userId: AIDAJQABLZS4A3QDU576Q, until: '2026-11-24T14:00:00'}", "must be a time such as"),
        ("{userName: bob, userId: AIDAJQABLZS4A3QDU576Q, until: 1795528800}", "must be a time such as"),
        ("bob", "must be a mapping of keys"),
    ],
)
def test_invalid_grant_admits_nobody_and_refuses_no_member(item: str, said: str) -> None:
    _, table, found = parse(role(f"iamGroup: g, temporary: [{item}, {ITEM}]"))
    assert said in str(found.errors[0])
    assert all(problem.local for problem in found.errors)
    (requirement,) = table.requirements
    assert [one.user_name for one in requirement.temporary] == ["bob"]
    assert not isinstance(render(table.find(WHO), WHO, ()), Refusal)  # type: ignore[arg-type]


def test_a_whole_group_is_mapped_by_its_members_own_names() -> None:
    text = 'mapGroups: [{iamGroup: g, username: "awsiam:{{UserName}}", groups: [a], level: viewer}]'
    mappings, table, found = parse(text)
    assert not found.errors + found.warnings
    assert mappings.count == 1
    (mapped,) = entries_of(table, ["g"], "AIDABOB")
    assert render(mapped, BOB, ()) == ("awsiam:bob", ("a",))
    assert mapped.levels == ("viewer",)


@pytest.mark.parametrize("template", ["{{SessionName}}", "{{SessionNameRaw}}", "{{EC2PrivateDNSName}}", ""])
def test_user_name_that_a_group_would_share_by_mistake_admits_nobody(template: str) -> None:
    entry = f'{{iamGroup: g, username: "{template}", groups: [a]}}'
    _, table, found = parse(f"mapGroups: [{entry}]")
    assert len(found.errors) == 1
    assert found.errors[0].local
    (mapped,) = entries_of(table, ["g"], "AIDABOB")
    refusal = render(mapped, BOB, ())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TEMPLATE_VALUE


def test_the_user_s_name_is_for_groups_only() -> None:
    assert "unknown template {{UserName}}" in str(parse(role("groups: ['{{UserName}}']"))[2].errors[0])


@pytest.mark.parametrize("keys", ["username: x", "iamGroup: '', username: x", "iamgroups: g, username: x"])
def test_an_entry_of_a_group_without_a_group_gives_nobody_anything(keys: str) -> None:
    mappings, table, found = parse(f"mapGroups: [{{{keys}}}]")
    assert found.errors
    assert (mappings.groups, bool(table.group_mappings)) == ((), False)


@pytest.mark.parametrize("keys", ["level: ''", "level: []", "iamGroupName: h", "iamgroups: [h]"])
def test_entry_that_is_readable_up_to_its_group_admits_no_member_anywhere(keys: str) -> None:
    _, table, found = parse(f"mapGroups: [{{iamGroup: g, username: x, groups: [a], temporary: [{ITEM}], {keys}}}]")
    assert found.errors
    assert all(problem.local for problem in found.errors)
    assert table.group_mappings.iam_groups == ("g",)
    for given in (entries_of(table, ["g"], "AIDABOB"), entries_of(table, [], "AIDAJQABLZS4A3QDU576Q")):
        (mapped,) = given
        assert isinstance(render(mapped, BOB, ()), Refusal)


@pytest.mark.parametrize("name", ["a/b", "[]", "'arn:aws:iam::123456789012:group/x'"])
def test_what_cannot_be_a_group_is_not_asked_about(name: str) -> None:
    mappings, _, found = parse(f"mapGroups: [{{iamGroup: {name}, username: x}}]")
    assert (len(found.errors), mappings.groups) == (1, ())


def test_aws_auth_may_hold_groups_and_requirements() -> None:
    data = {"mapRoles": f"- {{rolearn: {ARN}, username: x, iamGroup: g}}", "mapGroups": "- {iamGroup: h, username: x}"}
    read = read_config_map(data, {})
    assert (read.entries, read.problems) == (2, [])
    assert [requirement.iam_group for requirement in read.table.requirements] == ["g"]
    assert read.table.group_mappings.iam_groups == ("h",)


@pytest.mark.parametrize("user_ids", [False, True])
def test_dynamic_file_may_hold_groups_and_by_arn_requirements(tmp_path: Path, user_ids: bool) -> None:
    path = tmp_path / "dynamic.json"
    entry = {"rolearn": ARN, "userid": "AROA", "username": "x", "iamGroup": "g"}
    path.write_text(json.dumps({"mapRoles": [entry], "mapGroups": [{"iamGroup": "h", "username": "x"}]}))
    read = load_dynamic_mappings(path, user_ids=user_ids)
    assert read is not None
    assert read.table.group_mappings.iam_groups == ("h",)
    assert [requirement.iam_group for requirement in read.table.requirements] == ([] if user_ids else ["g"])
    mapped = read.table.find(WHO)
    assert mapped is not None
    # By unique id the entry cannot be checked, and so admits nobody.
    assert isinstance(render(mapped, WHO, ()), Refusal) is user_ids


def settings(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(["clusterID: c", "server:", "  port: 1", *(f"  {line}" for line in lines)]))
    return path


def test_membership_refresh_interval_can_be_set(tmp_path: Path) -> None:
    membership = load_server_config(settings(tmp_path), {})[0].membership
    assert (membership.refresh, membership.max_age) == (15, 300)
    path = settings(tmp_path, "MembershipRefresh: 1m", "membershipmaxage: 1h")
    membership = load_server_config(path, {})[0].membership
    assert (membership.refresh, membership.max_age) == (60, 3600)


@pytest.mark.parametrize(
    "line", ["membershipRefresh: 10m", "membershipMaxAge: 2h", "membershipRefresh: 0s", "membershipRefresh: 15"]
)
def test_unusable_ages_of_snapshots_are_an_error(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.membership"):
        load_server_config(settings(tmp_path, line), {})
