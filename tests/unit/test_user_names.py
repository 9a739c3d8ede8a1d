"""User names of levels: warnings of templates that give one name to two users, and of names that EKS access entries refuse."""

import re
from dataclasses import replace

import pytest
from fake_account import FakeAccount
from levels_for_tests import ADMIN, VIEWER, access

from kube_iam.access.levels import DEFAULT_USERNAME, DEFAULT_USERNAME_OF_GROUP, Level, MappingTarget, Method, TargetKind
from kube_iam.access.plan import access_warnings, plan_apply
from kube_iam.core.access_entries import RESERVED_PREFIXES, access_entry_refusals
from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Refusal
from kube_iam.core.templates import VARIABLES, parse_template

ACCOUNT = "123456789012"
USERS = (
    *("alice", "alice@example.com", "alice-example.com", "dev-alice", "alice-dev", "alice.x", "admin"),
    *("dev-alice@example.com", f"{ACCOUNT}-alice", ACCOUNT),
)
"""IAM users, among them two for each collision that templates of the tables can have."""
BY_ROLE = (
    "awsiam:{{SessionNameRaw}}",
    "awsiam:{{SessionName}}",
    "{{SessionNameRaw}}",
    "{{SessionName}}",
    "dev-{{SessionNameRaw}}",
    "dev-{{SessionName}}",
    "dev:{{SessionNameRaw}}",
    "{{SessionNameRaw}}-dev",
    "{{SessionNameRaw}}.x",
    "{{AccountID}}:{{SessionNameRaw}}",
    "{{AccountID}}-{{SessionName}}",
    "{{SessionName}}/{{SessionNameRaw}}",
    "{{SessionName}}-{{AccessKeyID}}",
    "{{AccessKeyID}}",
    "{{AccountID}}",
    "admin",
    "dev-alice",
    "dev-alice@example.com",
    "team:admin",
)
BY_GROUP = (
    "awsiam:{{UserName}}",
    "{{UserName}}",
    "dev-{{UserName}}",
    "{{AccountID}}:{{UserName}}",
    "{{AccessKeyID}}",
    "admin",
    "dev-alice",
)


def by_role(username: str, base: Level = ADMIN) -> Level:
    return replace(base, username=username)


def by_group(username: str, base: Level = ADMIN) -> Level:
    return replace(base, username=username, method=Method.GROUP)


LEVELS = [*map(by_role, BY_ROLE), *map(by_group, BY_GROUP)]


def name_of(level: Level, user: str) -> str:
    """Return the Kubernetes user name that the server makes of an IAM user at this level."""
    session = user if level.method is Method.ROLE else ""
    key = f"AKIA{user.upper():X<16}"
    arn = f"arn:aws:iam::{ACCOUNT}:user/{user}"
    identity = Identity(arn, arn, ACCOUNT, "AIDA", session, key, "")
    name = parse_template(level.username, (*VARIABLES, "UserName")).render(identity)
    assert not isinstance(name, Refusal), name
    return name


def shown(*levels: Level) -> str:
    return "\n".join(access_warnings(access(*levels)))


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: f"{level.method.value} {level.username}")
def test_a_template_that_gives_one_name_to_two_users_is_a_warning(level: Level) -> None:
    """The table's users include each kind of pair that collides. What collides is found by the server's own rendering."""
    names = {name_of(level, user) for user in USERS}
    text = shown(level)
    if len(names) == 1:
        assert "the user name of all users of level admin" in text
    elif len(names) < len(USERS):
        assert "{{SessionName}} writes - for @" in text
        assert "write {{SessionNameRaw}}" in text
    else:
        assert text == ""


@pytest.mark.parametrize("first", LEVELS, ids=lambda level: f"{level.method.value} {level.username}")
def test_two_levels_that_give_one_name_to_two_users_are_a_warning(first: Level) -> None:
    for second in LEVELS:
        other = replace(VIEWER, username=second.username, method=second.method)
        text = shown(first, other)
        one, two = ({user: name_of(level, user) for user in USERS} for level in (first, other))
        collides = any(one[user] == two[friend] for user in USERS for friend in USERS if user != friend)
        # Where the templates are alike, what collides does so within one of the levels, whose own warning says it.
        assert ("can have the user name" in text) == (collides and not alike(first, other)), (other.username, text)


def alike(*levels: Level) -> bool:
    """Return whether the levels have the same template, or a constant each."""
    texts = {re.sub(r"SessionName}}|UserName}}", "SessionNameRaw}}", level.username) for level in levels}
    return len(texts) == 1 or not any("Name" in text or "Key" in text for text in texts)


@pytest.mark.parametrize(
    ("first", "second", "example"),
    [
        (
            by_role("{{SessionNameRaw}}"),
            by_role("dev-{{SessionNameRaw}}"),
            "dev-alice (admin: dev-alice, viewer: alice)",
        ),
        (by_role("{{SessionNameRaw}}-x"), by_group("{{UserName}}"), "alice-x (admin: alice, viewer: alice-x)"),
        (
            by_role("a-{{SessionNameRaw}}"),
            by_role("{{SessionNameRaw}}-x"),
            "a-alice-x (admin: alice-x, viewer: a-alice)",
        ),
        (by_role("team-root"), by_role("{{SessionNameRaw}}"), "team-root (admin: every user, viewer: team-root)"),
        (by_group("{{UserName}}"), by_role("team-root"), "team-root (admin: team-root, viewer: every user)"),
        (by_role("awsiam:root"), by_role(DEFAULT_USERNAME), "awsiam:root (admin: every user, viewer: root)"),
    ],
)
def test_the_warning_of_two_levels_has_an_example(first: Level, second: Level, example: str) -> None:
    other = replace(VIEWER, username=second.username, method=second.method)
    assert f"can have the user name {example}, and RBAC" in shown(first, other)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (by_role(DEFAULT_USERNAME), by_role(DEFAULT_USERNAME)),
        # One user by two methods: the trust policy makes the session name the user's own.
        (by_role(DEFAULT_USERNAME), by_group(DEFAULT_USERNAME_OF_GROUP)),
        (by_role("admin:{{SessionNameRaw}}"), by_role("dev:{{SessionNameRaw}}")),
        (by_role("x-{{SessionNameRaw}}"), by_role("y-{{SessionNameRaw}}")),
        (by_role("{{SessionNameRaw}}"), by_role("dev:{{SessionNameRaw}}")),
        # No IAM user is called `team:root`.
        (by_role("{{SessionNameRaw}}"), by_role("{{SessionNameRaw}}:{{AccessKeyID}}")),
    ],
)
def test_levels_that_tell_users_apart_get_no_warning(first: Level, second: Level) -> None:
    other = replace(VIEWER, username=second.username, method=second.method)
    assert shown(first, other) == ""


def test_two_levels_by_group_with_different_user_names_are_a_warning() -> None:
    levels = by_group("a:{{UserName}}"), replace(VIEWER, username="b:{{UserName}}", method=Method.GROUP)
    assert "a user in several of them has the user name of the entry that comes first in mapGroups" in shown(*levels)
    assert shown(levels[0], replace(levels[1], username="a:{{UserName}}")) == ""


@pytest.mark.parametrize("username", [DEFAULT_USERNAME, DEFAULT_USERNAME_OF_GROUP])
def test_the_default_user_names_are_accepted_by_every_target(username: str) -> None:
    assert list(access_entry_refusals(username, ("kube-iam:viewer",))) == []


@pytest.mark.parametrize(
    ("username", "said"),
    [
        *((f"{prefix}{{{{SessionNameRaw}}}}", f"begins with {prefix}") for prefix in RESERVED_PREFIXES),
        *((f"{prefix}admin", f"begins with {prefix}") for prefix in RESERVED_PREFIXES),
        *((f"{prefix.rstrip(':')}-x:{{{{SessionNameRaw}}}}", "") for prefix in RESERVED_PREFIXES),
        *((f"x{prefix}{{{{SessionNameRaw}}}}", "") for prefix in RESERVED_PREFIXES),
        # The examples of the EKS User Guide.
        ("john{{SessionName}}", "no colon before {{SessionName}}"),
        (":john{{SessionName}}", ""),
        ("jo:hn{{SessionName}}", ""),
        ("{{SessionNameRaw}}", "no colon before {{SessionNameRaw}}"),
        ("{{SessionNameRaw}}:admin", "no colon before {{SessionNameRaw}}"),
        ("{{AccountID}}:{{SessionNameRaw}}", ""),
        ("admin", ""),
        ("sts:admin", ""),
    ],
)
def test_user_names_that_access_entries_refuse(username: str, said: str) -> None:
    found = list(access_entry_refusals(username, ()))
    assert len(found) == bool(said)
    assert said in "".join(found)


@pytest.mark.parametrize("prefix", RESERVED_PREFIXES)
def test_groups_that_access_entries_refuse(prefix: str) -> None:
    (found,) = access_entry_refusals("admin", ("ops", f"{prefix}ops", f"x{prefix}ops"))
    assert f"group {prefix}ops begins with {prefix}" in found


@pytest.mark.parametrize("kind", list(TargetKind))
def test_a_name_for_aws_auth_that_no_access_entry_takes_is_a_warning(kind: TargetKind) -> None:
    """EKS takes such names in aws-auth, so that the file is valid; they stop a move to access entries."""
    level = replace(VIEWER, username="iam:{{SessionNameRaw}}", groups=("eks:viewers",))
    file = access(level, mapping=MappingTarget(kind), checks_sign_in=False)
    said = (
        "level viewer cannot move from aws-auth to EKS access entries as it is: "
        "user name iam:{{SessionNameRaw}} begins with iam:; group eks:viewers begins with eks:; "
        "they take awsiam:{{SessionNameRaw}} and groups of your own"
    )
    assert list(access_warnings(file)) == ([said] if kind is TargetKind.AWS_AUTH else [])


def test_a_plan_shows_the_warnings_of_user_names() -> None:
    plan = plan_apply(access(replace(VIEWER, username="viewers")), FakeAccount().ports)
    assert any("the user name of all users of level viewer" in said for said in plan.warnings)
