"""access.yaml in an organization that has its own IAM: existing roles and groups, tags, boundaries, and names by a template."""

from pathlib import Path

import pytest

from kube_iam.access.levels import ClusterAccess, Level
from kube_iam.config.access import parse_access
from kube_iam.errors import ConfigError

BOUNDARY = "arn:aws:iam::123456789012:policy/boundaries/developer"
HEAD = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod}
account: "123456789012"
region: eu-central-1
"""
TWO = HEAD + "levels:\n  - {name: a, iam: {group: team, existing: true}}\n"


def load(text: str) -> ClusterAccess:
    return parse_access(text.encode(), "access.yaml", Path())


def only(level: str, *, iam: str = "{}") -> Level:
    (found,) = load(f"{HEAD}iam: {iam}\nlevels:\n  - {level}\n").levels
    return found


def problems(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("iam", "role", "group"),
    [
        ("{group: team, existing: true}", False, True),
        ("{role: shared, existing: true}", True, False),
        ("{role: shared, group: team, existing: true}", True, True),
        ("{role: mine, group: team, existing: group}", False, True),
        ("{role: shared, group: mine, existing: role}", True, False),
        ("{role: mine, group: mine, existing: false}", False, False),
        ("{role: mine, group: mine}", False, False),
    ],
)
def test_existing_is_about_the_names_beside_it(iam: str, role: bool, group: bool) -> None:
    level = only(f"{{name: dev, iam: {iam}}}")
    assert (level.existing_role, level.existing_group) == (role, group)


def test_levels_may_share_an_existing_group_that_all_of_them_call_existing() -> None:
    found = load(TWO + "  - {name: b, iam: {group: team, existing: true}}\n")
    assert [level.group_name for level in found.levels] == ["team", "team"]


def test_tags_of_a_level_join_those_of_the_file_and_replace_equal_keys() -> None:
    level = only("{name: dev, iam: {tags: {costcenter: shop, Env: prod}}}", iam="{tags: {CostCenter: all, Owner: ops}}")
    assert dict(level.tags) == {"Owner": "ops", "costcenter": "shop", "Env": "prod"}


def test_a_boundary_of_a_level_replaces_that_of_the_file() -> None:
    assert only("{name: dev}").permissions_boundary is None
    assert only("{name: dev}", iam=f"{{permissionsBoundary: {BOUNDARY}}}").permissions_boundary == BOUNDARY
    none = only("{name: dev, iam: {permissionsBoundary: none}}", iam=f"{{permissionsBoundary: {BOUNDARY}}}")
    assert none.permissions_boundary == ""
    of_aws = "arn:aws:iam::aws:policy/PowerUserAccess"
    assert only(f"{{name: dev, iam: {{permissionsBoundary: '{of_aws}'}}}}").permissions_boundary == of_aws


def test_a_template_names_what_the_level_does_not() -> None:
    level = only("{name: dev, iam: {group: team}}", iam='{naming: "k8s-{cluster}-{level}"}')
    assert (level.role_name, level.policy_name, level.group_name) == ("k8s-prod-dev", "k8s-prod-dev", "team")


def test_default_names_are_told_from_those_of_other_clusters_by_the_cluster() -> None:
    pattern = {
        naming: load(f"{HEAD}iam: {{naming: '{naming}'}}\nlevels: [{{name: dev}}]\n").name_pattern
        for naming in ("{cluster}-{level}", "{level}.{cluster}", "k8s-{level}")
    }
    assert pattern == {"{cluster}-{level}": "prod-*", "{level}.{cluster}": "*.prod", "k8s-{level}": ""}


def test_a_level_may_check_membership_otherwise_than_the_file() -> None:
    found = load(HEAD + "levels: [{name: a}, {name: b, membershipCheck: assumeRole}]\n")
    assert [found.asks_membership(level) for level in found.levels] == [True, False]
    found = load(HEAD + "membershipCheck: assumeRole\nlevels: [{name: a}, {name: b, membershipCheck: signIn}]\n")
    assert [found.asks_membership(level) for level in found.levels] == [False, True]


def level(iam: str, more: str = "") -> str:
    return f"{HEAD}levels:\n  - {{name: dev, {more}iam: {{{iam}}}}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            level("existing: true"),
            "line 7: levels[0].iam.existing: names nothing (name beside it the role or the group",
        ),
        (level("policy: p, existing: true"), "levels[0].iam.existing: names nothing"),
        (level("role: r, existing: group"), "levels[0].iam.existing: names no group (name beside it the group"),
        (level("group: g, existing: 1"), "iam.existing: '1' is not known (one of true, false, role, group)"),
        (level("group: g, existing: groups"), "(did you mean 'group'?)"),
        (
            level("group: g, existing: true", "members: [bob], "),
            "levels[0].members: means nothing with an existing group",
        ),
        (level("role: r, existing: true", "mfa: true, "), "levels[0].mfa: means nothing with an existing role"),
        (
            level("role: r, existing: true", "sessionDuration: 2h, "),
            "sessionDuration: means nothing with an existing role",
        ),
        (
            level("role: r, existing: true, permissionsBoundary: none"),
            "permissionsBoundary: means nothing with an existing",
        ),
        (
            level("permissionsBoundary: none", "method: group, "),
            "permissionsBoundary: means nothing with method group: there is no role",
        ),
        (TWO + "  - {name: b, iam: {group: team}}\n", "is also level a's (another name, or, for a group that exists"),
        (
            TWO.replace("name: a", "name: a, method: group")
            + "  - {name: b, method: group, iam: {group: TEAM, existing: true}}\n",
            "line 8: levels[1].iam.group: the IAM group team admits its members to level a already, by method group",
        ),
        (level("tags: {'aws:x': y}"), "levels[0].iam.tags['aws:x']: keys that begin with aws: belong to AWS"),
        (level("tags: {KUBE-IAM.dev/level: y}"), "keys that begin with kube-iam.dev/ are kube-iam's own"),
        (level("tags: {Cost: 12}"), 'levels[0].iam.tags.Cost: YAML reads 12 as a number (quote it: "12")'),
        (level("tags: {Cost: a, COST: b}"), "differs from Cost in letter case only"),
        (level("tags: {Cost: 'a#b'}"), "the value contains '#' (IAM takes letters, digits, spaces and"),
        (level("tags: {'a,b': c}"), "the key contains ','"),
        (level(f"tags: {{{'k' * 129}: v}}"), "the key has 129 characters (IAM takes 1 to 128)"),
        (level(f"tags: {{k: {'v' * 257}}}"), "has 257 characters, at most 256 are allowed"),
        (
            level(f"tags: {{{', '.join(f'k{number}: v' for number in range(49))}}}"),
            "49 tags and 2 of kube-iam's are more than 50",
        ),
        (level("permissionsBoundary: developer"), "the ARN of a policy, such as arn:aws:iam::123456789012:policy/"),
        (level("permissionsBoundary: 'arn:aws:iam::123456789012:role/x'"), "the ARN of a policy"),
        (level("permissionsBoundary: 'arn:aws:iam::210987654321:policy/x'"), "is a policy of account 210987654321"),
        (level("permissionsBoundary: 'arn:aws-cn:iam::123456789012:policy/x'"), "(one that begins with arn:aws:iam:)"),
        (
            HEAD + "iam: {naming: 'k8s-{cluster}'}\nlevels: [{name: a}]\n",
            "line 6: iam.naming: does not contain {level}",
        ),
        (
            HEAD + "iam: {naming: '{env}-{level}'}\nlevels: [{name: a}]\n",
            "{env} is not a placeholder (the placeholders are",
        ),
        (HEAD + "iam: {naming: '{{level}}'}\nlevels: [{name: a}]\n", "each in one pair of braces"),
        (HEAD + "iam: {naming: 'k8s/{level}'}\nlevels: [{name: a}]\n", "has characters that names in IAM cannot have"),
        (
            HEAD + f"iam: {{naming: '{'n' * 62}-{{level}}'}}\nlevels: [{{name: ab}}]\n",
            "65 characters, at most 64 are allowed (set iam.role, or a shorter cluster.name or iam.naming)",
        ),
        (
            level("group: g", "method: group, membershipCheck: assumeRole, "),
            "membershipCheck: means nothing with method group",
        ),
    ],
)
def test_a_mistake_is_named_with_its_remedy(text: str, expected: str) -> None:
    assert expected in problems(text)
