"""access.yaml: defaults, and every problem of a file at once, each with its line, its key and what to do."""

from pathlib import Path

import pytest
from access_texts import HEAD, problems, write

from kube_iam.access.levels import Bind, Method, TargetKind
from kube_iam.config.access import load_access
from kube_iam.config.durations import parse_duration, show_duration

EXAMPLES = Path(__file__).parents[2] / "examples"
LEVELS = "levels:\n  - name: admin\n    bind: [{clusterRole: cluster-admin}]\n"


def test_a_short_file_gets_the_whole_method_by_default(tmp_path: Path) -> None:
    access = load_access(write(tmp_path, HEAD + LEVELS))
    (level,) = access.levels
    assert level.username == "awsiam:{{SessionNameRaw}}"
    assert level.groups == ("kube-iam:admin",)
    assert (level.role_name, level.policy_name, level.group_name) == ("prod-admin", "prod-admin", "prod-admin")
    assert (level.path, level.role_path, level.session_seconds, level.mfa) == ("/kube-iam/prod/", "/", 3600, False)
    assert level.bind == (Bind("cluster-admin"),)
    assert access.partition == "aws"
    assert access.mapping.kind is TargetKind.CONFIG_FILE
    assert access.mapping.describe() == "ConfigMap kube-system/aws-iam-authenticator"


def test_what_is_written_is_what_counts(tmp_path: Path) -> None:
    text = (
        HEAD.replace("name: prod, ", "").replace("eu-central-1", "us-gov-west-1")
        + "mapping: {file: maps/config.yaml}\niam: {pathPrefix: /teams/, rolePath: /people/}\n"
        + "levels:\n  - {name: ops, groups: [ops], username: ops, mfa: true, sessionDuration: PT1H30M,"
        + " iam: {role: r, policy: p, group: g}, bind: [{role: deployer, namespaces: [shop]}]}\n"
    )
    access = load_access(write(tmp_path, text))
    (level,) = access.levels
    assert access.name == "prod.example.com"
    assert access.partition == "aws-us-gov"
    assert access.path == level.path == "/teams/kube-iam/prod.example.com/"
    assert access.mapping.describe() == str(tmp_path / "maps/config.yaml")
    assert (level.role_name, level.policy_name, level.group_name, level.role_path) == ("r", "p", "g", "/people/")
    assert (level.mfa, level.session_seconds) == (True, 5400)
    assert level.bind == (Bind("", "deployer", ("shop",)),)


def test_a_level_by_group_and_membership_by_session_are_read(tmp_path: Path) -> None:
    access = load_access(
        write(tmp_path, HEAD + "membershipCheck: assumeRole\nlevels: [{name: viewer, method: group}]\n")
    )
    (level,) = access.levels
    assert not access.checks_sign_in
    assert (level.method, level.username) == (Method.GROUP, "awsiam:{{UserName}}")
    access = load_access(write(tmp_path, HEAD + LEVELS))
    assert access.checks_sign_in
    assert access.levels[0].method is Method.ROLE


def test_identity_mapping_objects_are_a_place_for_levels_by_role(tmp_path: Path) -> None:
    access = load_access(write(tmp_path, HEAD + "mapping: {crd: {}}\n" + LEVELS))
    assert (access.mapping.kind, access.mapping.describe()) == (TargetKind.CRD, "IAMIdentityMapping objects")
    found = problems(tmp_path, HEAD + "mapping: {crd: {}}\nlevels: [{name: viewer, method: group}]\n")
    assert found == [
        "line 7: levels[0].method: cannot be mapped by IAMIdentityMapping objects, which name a role or a user "
        "(method: role, or another mapping)"
    ]


@pytest.mark.parametrize(
    "written",
    ['""', "12", "[a]", r'"\e[31mred"', r'"a\rb"', r'"\u202etxt"', r'"\u009b2J"', '"' + "x" * 2001 + '"', "null"],
)
def test_an_install_hint_is_text_that_a_terminal_can_show(tmp_path: Path, written: str) -> None:
    (found,) = problems(tmp_path, HEAD + f"installHint: {written}\n" + LEVELS)
    assert found.startswith("line 6: installHint: ")


def test_all_problems_of_a_file_come_together_in_the_order_of_their_lines(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
apiVersion: kube-iam.dev/v1
kind: ClusterAccess
cluster: {id: prod, endpoind: "https://x"}
account: 123456789012
region: eu-central-1
levels:
  - name: admin
    sessionDuration: 13h
    bind: [{clusterRole: [edit]}]
  - name: admin
    username: "awsiam:{{SessionNam}}"
    groups: ["{{SessionNameRaw}}", "system:nodes"]
""",
    )
    assert found[0] == "line 1: apiVersion: must be kube-iam.dev/v1alpha1"
    assert found[1] == "line 3: cluster.endpoind: is not a key that is known here (did you mean 'endpoint'?)"
    assert found[2] == 'line 4: account: YAML reads 123456789012 as a number (quote it: "123456789012")'
    assert found[3].startswith("line 8: levels[0].sessionDuration: 13h is out of range: IAM allows 1h to 12h")
    assert found[4] == "line 9: levels[0].bind[0].clusterRole: must be text, not a list"
    assert found[5] == "line 10: levels[1].name: level admin is repeated (each level once)"
    assert found[6].startswith("line 11: levels[1].username: unknown template {{SessionNam}}")
    assert found[7].startswith("line 12: levels[1].groups[0]: a template in a group")
    assert found[8].startswith("line 12: levels[1].groups[1]: system:nodes is a group of Kubernetes itself")
    assert len(found) == 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD, "levels is missing"),
        (HEAD + "levels: []\n", "line 6: levels: is an empty list"),
        (HEAD + "levels: {admin: {}}\n", "levels: must be a list, not a mapping"),
        (HEAD + "levels:\n  - admin\n", "line 7: levels[0]: must be a mapping of keys to values, not text"),
        (HEAD + LEVELS + "    mfa: yes\n", "levels[0].mfa: must be true or false, not text"),
        (HEAD + LEVELS + "    iam: {role: 'arn:aws:iam::123456789012:role/x'}\n", "an IAM name, not an ARN"),
        (HEAD + LEVELS + f"    iam: {{role: {'r' * 65}}}\n", "65 characters, at most 64 are allowed"),
        (HEAD + LEVELS.replace("admin", "a" * 63, 1), "the IAM role would be named"),
        (HEAD + LEVELS + "    sessionDuration: '3600'\n", "(give the unit: 3600s)"),
        (HEAD + LEVELS + "    sessionDuration: 3600\n", "3600 has no unit of time (give the unit: 3600s)"),
        (HEAD + LEVELS + "    sessionDuration: 30m\n", "30m is out of range"),
        (HEAD + LEVELS + "    username: system:admin\n", "names in system: belong to Kubernetes itself"),
        (HEAD + LEVELS + "    username: '{{EC2PrivateDNSName}}'\n", "levels are for people"),
        (HEAD + LEVELS + "    username: ''\n", "levels[0].username: is empty"),
        (HEAD + LEVELS + "    groups: []\n", "levels[0].groups: is an empty list"),
        (HEAD + LEVELS + "    groups: [a, a]\n", "'a' is repeated"),
        (HEAD + "levels: [{name: x, bind: [{role: r}]}]\n", "a role needs namespaces"),
        (
            HEAD.replace("name: prod", f"name: {'c' * 60}")
            + LEVELS.replace("admin", "a" * 60, 1)
            + "    iam: {role: r}\n",
            "own policies would be named",
        ),
        (HEAD + LEVELS + "    method: groups\n", "levels[0].method: 'groups' is not known (did you mean"),
        (HEAD + "membershipCheck: signIns\n" + LEVELS, "(did you mean 'signIn'?)"),
        (HEAD + LEVELS + "    method: group\n    mfa: true\n", "does not say whether there was MFA (method: role"),
        (HEAD + LEVELS + "    method: group\n    sessionDuration: 1h\n", "there is no session (leave it out)"),
        (HEAD + LEVELS + "    method: group\n    iam: {role: r}\n", "iam.role: means nothing with method group"),
        (
            HEAD + LEVELS + "    method: group\n    username: '{{SessionNameRaw}}'\n",
            "there is no session (the IAM user's",
        ),
        (HEAD + LEVELS + "    username: '{{UserName}}'\n", "{{UserName}} is for method group"),
        (HEAD + "levels: [{name: x, groups: [g]}, {name: y, groups: [g], method: group}]\n", "cannot tell them apart"),
        (HEAD + "levels: [{name: x, bind: [{}]}]\n", "takes exactly one of clusterRole, role"),
        (HEAD + "levels: [{name: x, bind: [{clusterRole: a, role: b, namespaces: [c]}]}]\n", "takes exactly one of"),
        (HEAD + "levels: [{name: x, bind: [{clusterRole: a}, {clusterRole: a}]}]\n", "is granted twice"),
        (HEAD + "levels: [{name: x}, {name: X}]\n", "level X is repeated"),
        (HEAD + "levels: [{name: x}, {name: y, iam: {role: prod-X}}]\n", "the IAM role prod-x is also level x's"),
        (HEAD + "levels: [{name: x}, {name: y, groups: ['kube-iam:x']}]\n", "the cluster cannot tell them apart"),
        (
            HEAD + "mapping: {awsAuth: {}, file: x}\n" + LEVELS,
            "takes exactly one of configFile, accessEntries, awsAuth, crd, file",
        ),
        (HEAD + "mapping: {}\n" + LEVELS, "takes exactly one of"),
        (HEAD + "partition: aws-cn\n" + LEVELS, "region eu-central-1 is in partition aws (leave partition out)"),
        (HEAD + "partition: aws-chn\n" + LEVELS, "'aws-chn' is not known (did you mean 'aws-cn'?)"),
        (HEAD.replace("https://", "http://") + LEVELS, "a URL such as https://"),
        (HEAD.replace('"123456789012"', '"12345678901"') + LEVELS, "an AWS account id has 12 digits"),
        (HEAD.replace('"123456789012"', '"123456789012\\n"') + LEVELS, "an AWS account id has 12 digits"),
        (HEAD.replace('"123456789012"', "012345670123") + LEVELS, 'quote it: "012345670123"'),
        (HEAD + "iam: {rolePath: people}\n" + LEVELS, "an IAM path begins and ends with /"),
        (HEAD.replace("id: prod.example.com, ", "") + LEVELS, "cluster: id is missing"),
        (HEAD.replace("name: prod", "certificateAuthority: ca.pem") + LEVELS, "ca.pem cannot be read: No such file"),
        (HEAD.replace("name: prod", "certificateAuthorityData: '?'") + LEVELS, "is not the base64 of PEM text"),
        (HEAD.replace("name: prod", "certificateAuthorityData: aGVsbG8=") + LEVELS, "holds no certificate"),
        ("", "is empty"),
        ("[]", "must be a mapping of keys to values, not a list"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(tmp_path: Path, text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(tmp_path, text)), problems(tmp_path, text)


def test_a_private_key_in_the_certificate_authority_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n-----BEGIN EC PRIVATE KEY-----\nsecret\n")
    found = problems(tmp_path, HEAD.replace("name: prod", "certificateAuthority: ca.pem") + LEVELS)
    assert "holds a private key" in found[0]
    assert "secret" not in "".join(found)


def test_the_certificate_authority_is_found_beside_the_file_or_in_it(tmp_path: Path) -> None:
    pem = (EXAMPLES / "prod-ca.pem").read_text()
    assert load_access(EXAMPLES / "access.yaml").certificate_authority == pem
    import base64

    data = base64.b64encode(pem.encode()).decode()
    text = HEAD.replace("name: prod", f"certificateAuthorityData: {data}") + LEVELS
    assert load_access(write(tmp_path, text)).certificate_authority == pem


def test_every_example_loads() -> None:
    for example in sorted(path.name for path in EXAMPLES.glob("*.yaml")):
        assert load_access(EXAMPLES / example).levels


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3600), ("90m", 5400), ("1h30m", 5400), ("PT12H", 43200), ("3600s", 3600)]
)
def test_durations_are_read_as_go_and_iso_write_them(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "PT", "1d", "-1h", "1h ", "1.5h", "١h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a length of time"):
        parse_duration(text)


@pytest.mark.parametrize(("seconds", "text"), [(3600, "1h"), (5400, "1h30m"), (45, "45s"), (0, "0s")])
def test_durations_are_shown_short(seconds: int, text: str) -> None:
    assert show_duration(seconds) == text


def test_members_are_read_with_their_lines(tmp_path: Path) -> None:
    text = (
        HEAD
        + "levels:\n  - name: admin\n    members:\n      - alice\n      - bob\n  - {name: ops, members: []}\n  - name: viewer\n"
    )
    admin, ops, viewer = load_access(write(tmp_path, text)).levels
    assert admin.members is not None
    assert (admin.members.users, admin.members.line, admin.members.lines) == (("alice", "bob"), 8, (9, 10))
    assert ops.members is not None
    assert ops.members.users == ()
    assert viewer.members is None


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ("[alice, bob, alice]", "levels[0].members[2]: 'alice' is repeated"),
        ("[alice, Alice]", "levels[0].members[1]: Alice and alice are one IAM user"),
        ("[a]", "levels[0].members[0]: 'a' cannot sign in"),
        (
            "['arn:aws:iam::123456789012:user/bob']",
            "levels[0].members[0]: 'arn:aws:iam::123456789012:user/bob' is not allowed",
        ),
        ("[12]", "levels[0].members[0]: YAML reads 12 as a number"),
        ("", "levels[0].members: must be a list, not empty"),
        ("alice", "levels[0].members: must be a list"),
    ],
)
def test_members_that_cannot_be_meant_are_refused_with_line(tmp_path: Path, members: str, problem: str) -> None:
    (found,) = problems(tmp_path, HEAD + f"levels:\n  - name: admin\n    members: {members}\n")
    assert found.startswith(f"line 8: {problem}")


SET = "levels: [{name: ops, method: permissionSet, permissionSet: Ops}]\n"


def test_a_permission_set_has_no_names_in_iam_and_a_user_name_of_its_own(tmp_path: Path) -> None:
    (level,) = load_access(write(tmp_path, HEAD + SET)).levels
    assert (level.method, level.permission_set) == (Method.PERMISSION_SET, "Ops")
    assert level.username == "sso:{{SessionNameRaw}}"
    assert (level.role_name, level.policy_name, level.group_name) == ("", "", "")
    assert load_access(write(tmp_path, HEAD + "mapping: {file: config.yaml}\n" + SET)).levels == (level,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SET.replace(", permissionSet: Ops", ""), "levels[0].method: takes the name of the permission set"),
        (SET.replace("method: permissionSet, ", ""), "levels[0].permissionSet: goes with method permissionSet"),
        (SET.replace("Ops", "'O*'"), "levels[0].permissionSet: 'O*' is not allowed"),
        (SET.replace("Ops", "O" * 33), "levels[0].permissionSet: has 33 characters"),
        (SET.replace("Ops}", "Ops, mfa: true}"), "levels[0].mfa: means nothing with method permissionSet"),
        (SET.replace("Ops}", "Ops, sessionDuration: 1h}"), "levels[0].sessionDuration: means nothing with"),
        (SET.replace("Ops}", "Ops, iam: {role: r}}"), "levels[0].iam: means nothing with"),
        (SET.replace("Ops}", "Ops, members: [alice]}"), "levels[0].members: means nothing with"),
        (SET.replace("Ops}", "Ops, membershipCheck: signIn}"), "levels[0].membershipCheck: means nothing with"),
        (
            SET.replace("Ops}", "Ops, username: 'a:{{UserName}}'}"),
            "levels[0].username: {{UserName}} is for method group",
        ),
        (
            SET.replace("}]", "}, {name: two, method: permissionSet, permissionSet: ops}]"),
            "levels[1].permissionSet: the IAM permission set ops is also level ops's",
        ),
        (
            "mapping: {awsAuth: {}}\n" + SET,
            "levels[0].method: the authenticator that reads awsAuth knows no permission sets",
        ),
    ],
)
def test_a_permission_set_that_cannot_work_is_refused_with_its_key(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems(tmp_path, HEAD + text)
    assert problem in found
