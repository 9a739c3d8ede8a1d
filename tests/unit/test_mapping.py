import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identities import principal
from kube_iam.core.arns import Sso, canonical_arn, strip_role_path
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingMatch, MappingTable, render
from kube_iam.core.mapping_entries import RoleMapping, UserMapping
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.templates import Template, parse_template
from kube_iam.errors import Problem

ACCOUNT = "111122223333"
DIGITS = "0123456789abcdef"


def identity(resource: str, *, service: str = "iam", account: str = ACCOUNT, partition: str = "aws") -> Identity:
    arn = f"arn:{partition}:{service}::{account}:{resource}"
    return principal(arn, canonical_arn(arn), session_name="alice")


def role(who: str | Sso, name: str = "name", groups: tuple[str, ...] = (), where: str = "") -> RoleMapping:
    text = who if isinstance(who, Sso) or who.startswith("arn:") else f"arn:aws:iam::{ACCOUNT}:{who}"
    return RoleMapping(text, parse_template(name), tuple(map(parse_template, groups)), where)


def user(resource: str, name: str = "name", where: str = "") -> UserMapping:
    return UserMapping(f"arn:aws:iam::{ACCOUNT}:{resource}", parse_template(name), (), where)


def build(
    roles: Sequence[RoleMapping] = (), users: Sequence[UserMapping] = (), accounts: Sequence[str] = ()
) -> tuple[MappingTable, list[Problem]]:
    return MappingTable.build(roles, users, accounts)


def found(table: MappingTable, who: Identity) -> str | None:
    mapped = table.find(who)
    return mapped.username.text if mapped else None


def test_an_assumed_role_finds_its_role_whatever_the_case() -> None:
    table, problems = build([role("role/KubeAdmin", "admin")], [user("user/people/Alice", "alice")])
    assert problems == []
    assert found(table, identity("assumed-role/KubeAdmin/alice", service="sts")) == "admin"
    assert found(table, identity("assumed-role/kubeADMIN/alice", service="sts")) == "admin"
    assert found(table, identity("user/people/alice")) == "alice"


@pytest.mark.parametrize(
    "who",
    [
        identity("role/Other"),
        identity("role/KubeAdmin2"),
        identity("user/KubeAdmin"),
        identity("role/KubeAdmin", account="444455556666"),
        identity("role/KubeAdmin", partition="aws-cn"),
        identity("user/alice"),  # a user's path is part of its ARN
        identity("root"),
    ],
)
def test_unmapped_identity_is_not_found(who: Identity) -> None:
    table, _ = build([role("role/KubeAdmin")], [user("user/people/alice")])
    assert table.find(who) is None


def test_a_role_path_is_reported_and_matched_without() -> None:
    table, problems = build([role("role/team/a/KubeAdmin", where="mapRoles[0].rolearn")])
    assert found(table, identity("assumed-role/KubeAdmin/alice", service="sts")) == "name"
    assert [problem.key for problem in problems] == ["mapRoles[0].rolearn"]
    assert "path" in problems[0].message


def test_entry_for_one_session_is_reported_as_matching_all() -> None:
    table, problems = build([role(f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/bob")])
    assert found(table, identity("assumed-role/Admin/alice", service="sts")) == "name"
    assert "every session" in problems[0].message


def test_two_entries_for_one_arn_are_reported_and_the_first_wins() -> None:
    roles = [role("role/A", "first", where="mapRoles[0]"), role("role/x/a", "second", where="mapRoles[1]")]
    table, problems = build(roles, [user("user/u", "third"), user("user/U", "fourth", where="mapUsers[1]")])
    assert found(table, identity("role/A")) == "first"
    assert found(table, identity("user/u")) == "third"
    assert [problem.key for problem in problems] == ["mapRoles[1]", "mapRoles[1]", "mapUsers[1]"]
    assert "mapRoles[0]" in problems[1].message


def test_one_bad_entry_costs_only_itself() -> None:
    table, problems = build([role("arn:aws:iam::1:role/A", where="mapRoles[0]"), role("role/B", "b")])
    assert found(table, identity("role/B")) == "b"
    assert [problem.key for problem in problems] == ["mapRoles[0]"]


ADMIN = Sso("Admin", ACCOUNT)


def sso_role(name: str, suffix: str = DIGITS, **where: str) -> Identity:
    return identity(f"assumed-role/AWSReservedSSO_{name}_{suffix}/alice", service="sts", **where)


def test_a_permission_set_matches_its_role_whatever_the_digits() -> None:
    table, _ = build([role(ADMIN, "admin")])
    assert found(table, sso_role("Admin")) == "admin"
    assert found(table, sso_role("Admin", "f" * 16)) == "admin"


@pytest.mark.parametrize(
    "who",
    [
        sso_role("Admin_ReadOnly"),  # the reference matches this one
        sso_role("Admin", DIGITS + "0"),
        sso_role("Admin", DIGITS[1:]),
        sso_role("Admin", "g" * 16),
        sso_role("Admin", account="444455556666"),
        sso_role("Admin", partition="aws-us-gov"),
        identity(f"role/AWSReservedSSO_Admin_{DIGITS}x"),
        identity(f"role/xAWSReservedSSO_Admin_{DIGITS}"),
        identity(f"user/AWSReservedSSO_Admin_{DIGITS}"),
    ],
)
def test_a_permission_set_matches_nothing_else(who: Identity) -> None:
    table, _ = build([role(ADMIN)])
    assert table.find(who) is None


def test_a_permission_sets_partition_is_honoured() -> None:
    table, _ = build([role(Sso("Admin", ACCOUNT, "aws-us-gov"), "gov")])
    assert found(table, sso_role("Admin", partition="aws-us-gov")) == "gov"
    assert table.find(sso_role("Admin")) is None


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("Team*", "TeamBlue", True),
        ("Team*", "Team", True),
        ("Team?", "TeamA", True),
        ("Team?", "Team", False),
        ("Team?", "TeamAB", False),
        ("*", "Anything_At_All", True),
        ("a.c*", "abc", False),
        ("a+*", "a+b", True),
        ("*a" * 15 + "b", "a" * 40, False),  # a naive pattern would backtrack for hours
    ],
)
def test_wildcards_in_a_permission_sets_name(pattern: str, name: str, matches: bool) -> None:
    table, _ = build([role(Sso(pattern, ACCOUNT), "hit")])
    assert (found(table, sso_role(name)) == "hit") == matches
    assert table.find(sso_role(name, account="444455556666")) is None


def test_repeated_permission_sets_are_reported() -> None:
    roles = [
        role(who, where=f"mapRoles[{i}]")
        for i, who in enumerate((ADMIN, Sso("admin", ACCOUNT), Sso("T*", ACCOUNT), Sso("t*", ACCOUNT)))
    ]
    _, problems = build(roles)
    assert [problem.key for problem in problems] == ["mapRoles[1]", "mapRoles[3]"]


@pytest.mark.parametrize(
    ("name", "account", "partition"),
    [
        ("", ACCOUNT, "aws"),
        ("a b", ACCOUNT, "aws"),
        ("a/b", ACCOUNT, "aws"),
        ("x" * 33, ACCOUNT, "aws"),
        ("A", "1", "aws"),
        ("A", ACCOUNT, "aws-us-govt"),
    ],
)
def test_a_permission_set_that_cannot_be_is_an_error(name: str, account: str, partition: str) -> None:
    with pytest.raises(ValueError):
        Sso(name, account, partition)


def test_accounts_are_asked_separately_and_bad_ones_reported() -> None:
    table, problems = build(accounts=[ACCOUNT, "12345"])
    assert table.account_match(ACCOUNT)
    assert not table.account_match("12345")
    assert not table.account_match("")
    assert table.find(identity("role/A")) is None
    assert ["12345" in problem.message for problem in problems] == [True]


def mapped(username: str, *groups: str) -> MappingMatch:
    return MappingMatch(parse_template(username), tuple(map(parse_template, groups)))


WHO = identity("assumed-role/Admin/alice", service="sts")


def test_names_are_rendered() -> None:
    assert render(mapped("awsiam:{{SessionName}}", "a", "acct:{{AccountID}}"), WHO, ()) == (
        "awsiam:alice",
        ("a", f"acct:{ACCOUNT}"),
    )


def test_what_an_administrator_writes_out_in_system_is_legal() -> None:
    assert render(mapped("system:node:{{SessionName}}", "system:masters"), WHO, ()) == (
        "system:node:alice",
        ("system:masters",),
    )


def test_a_value_cannot_make_a_group_in_system() -> None:
    system = principal(WHO.arn, WHO.canonical_arn, session_name="system")
    refusal = render(mapped("x", "{{SessionName}}:masters"), system, ())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.RESERVED_NAME


@pytest.mark.parametrize("username", ["{{SessionName}}", "al{{SessionName}}", "alice"])
def test_reserved_prefixes_are_checked_after_templates(username: str) -> None:
    refusal = render(mapped(username), WHO, ("", "al"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.RESERVED_NAME
    assert not isinstance(render(mapped(username), WHO, ("", "bob")), Refusal)


def test_a_node_mapping_says_that_it_needs_ec2() -> None:
    assert mapped("x", "{{EC2PrivateDNSName}}").needs_ec2
    assert not mapped("x", "{{SessionName}}").needs_ec2
    entry = mapped("system:node:{{EC2PrivateDNSName}}")
    assert isinstance(render(entry, WHO, ()), Refusal)
    assert render(entry, WHO, (), "ip-10-0-0-1") == ("system:node:ip-10-0-0-1", ())


names = st.sampled_from(["Admin", "admin", "Admin_ReadOnly", "Dev", "Ops"])
accounts = st.sampled_from([ACCOUNT, "444455556666"])
partitions = st.sampled_from(["aws", "aws-cn"])
arns = st.builds(
    lambda partition, account, kind, path, name, sso: (
        f"arn:{partition}:iam::{account}:{kind}/{path}{f'AWSReservedSSO_{name}_{DIGITS}' if sso else name}"
    ),
    partitions,
    accounts,
    st.sampled_from(["role", "user"]),
    st.sampled_from(["", "team/"]),
    names,
    st.booleans(),
)
patterns = st.one_of(names, st.sampled_from(["*", "Ad*", "?ev", "D??", "*Only"]))
whos = st.one_of(arns, st.builds(Sso, patterns, accounts, partitions))


def glob(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(glob(pattern[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and glob(pattern[1:], text[1:])


def matches_slowly(who: str | Sso, arn: str) -> bool:
    """Return whether one entry matches, by the rules of docs/protocol.md, section 5.2."""
    bare = strip_role_path(arn).lower()
    if isinstance(who, str):
        return strip_role_path(who).lower() == bare
    found = re.fullmatch(r"arn:(.*):iam::(.*):role/awsreservedsso_(.*)_[0-9a-f]{16}", bare)
    name = who.permission_set_name.lower()
    return found is not None and found.groups()[:2] == (who.partition, who.account_id) and glob(name, found[3])


@given(st.lists(whos, max_size=12), st.lists(arns, max_size=4), arns)
def test_the_index_finds_what_a_scan_in_order_finds(roles: list[str | Sso], users: list[str], arn: str) -> None:
    entries: list[str | Sso] = [*roles, *users]
    table, _ = build(
        [RoleMapping(who, Template(str(i), (str(i),))) for i, who in enumerate(roles)],
        [UserMapping(who, Template(str(i), (str(i),))) for i, who in enumerate(users, len(roles))],
    )
    who = principal(arn)
    first = next((str(i) for i, entry in enumerate(entries) if matches_slowly(entry, arn)), None)
    assert found(table, who) == first
