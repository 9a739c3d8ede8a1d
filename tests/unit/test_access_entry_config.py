"""Access files with `mapping: {accessEntries: {}}`: what EKS's authenticator does not know, and what its API refuses."""

from pathlib import Path

import pytest

from kube_iam.access.levels import TargetKind
from kube_iam.access.plan import access_warnings
from kube_iam.config.access import load_access
from kube_iam.errors import ConfigError

HEAD = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: demo_1-x}
account: "123456789012"
region: eu-central-1
mapping: {accessEntries: {}}
"""
CHECK = "membershipCheck: assumeRole\n"
LEVELS = "levels: [{name: viewer, bind: [{clusterRole: view}]}]\n"


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "access.yaml"
    path.write_text(text)
    try:
        load_access(path)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_levels_by_role_with_assume_role_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "access.yaml"
    path.write_text(HEAD + CHECK + LEVELS)
    access = load_access(path)
    assert access.mapping.kind is TargetKind.ACCESS_ENTRIES
    assert access.mapping.describe() == "EKS cluster demo_1-x (access entries)"
    assert list(access_warnings(access)) == []


def test_membership_check_by_default_is_refused_with_reason_and_remedy(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, HEAD + LEVELS)
    assert "membershipCheck: is signIn by default" in said
    assert "EKS's own authenticator reads no IAM groups" in said
    assert "write membershipCheck: assumeRole" in said


def test_synced_levels_are_valid_and_have_no_groups(tmp_path: Path) -> None:
    path = tmp_path / "access.yaml"
    path.write_text(HEAD + "membershipCheck: rbac\n" + LEVELS)
    (level,) = load_access(path).levels
    assert level.groups == ()


def test_sign_in_of_the_file_is_refused(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, HEAD + "membershipCheck: signIn\n" + LEVELS)
    assert said.startswith("line 7: membershipCheck: signIn cannot work with mapping accessEntries")


def test_sign_in_of_a_level_is_refused(tmp_path: Path) -> None:
    levels = "levels: [{name: a}, {name: b, membershipCheck: signIn}]\n"
    (said,) = problems(tmp_path, HEAD + CHECK + levels)
    assert "levels[1].membershipCheck: signIn cannot work" in said


def test_levels_that_all_state_assume_role_need_no_default(tmp_path: Path) -> None:
    assert problems(tmp_path, HEAD + "levels: [{name: a, membershipCheck: assumeRole}]\n") == []


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("method: group, username: 'x:{{UserName}}'", "levels[0].method: cannot be mapped by EKS access entries"),
        (
            "method: permissionSet, permissionSet: Ops",
            "write method: mappedRole, with the ARN of the permission set's role",
        ),
        ("username: 'iam:{{SessionNameRaw}}'", "begins with iam:"),
        ("username: 'aws:{{SessionNameRaw}}'", "begins with aws:"),
        ("username: 'u-{{SessionNameRaw}}'", "has no colon before {{SessionNameRaw}}"),
        ("username: 'u:{{SessionNameRaw}}-x'", "EKS documents {{SessionNameRaw}} at the end"),
        ("username: 'u:{{AccountID}}:{{SessionNameRaw}}'", "for access entries, and not {{AccountID}}"),
        (
            "groups: ['system:masters']",
            "levels[0].groups[0]: an EKS access entry refuses it: group system:masters begins",
        ),
        ("groups: [ok, 'eks:x']", "levels[0].groups[1]: an EKS access entry refuses it: group eks:x begins"),
        (
            "method: mappedRole, mappedRole: 'arn:aws:iam::123456789012:role/x', username: 'eks:x'",
            "levels[0].username: an EKS access entry refuses it: user name eks:x begins with eks:",
        ),
    ],
)
def test_levels_that_eks_would_refuse_are_problems(tmp_path: Path, level: str, said: str) -> None:
    (found,) = problems(tmp_path, HEAD + CHECK + f"levels:\n  - {{name: a, {level}}}\n")
    assert said in found


@pytest.mark.parametrize("name", ["demo.example.com", "a" * 101, "a/b"])
def test_cluster_id_has_to_be_a_name_of_eks(tmp_path: Path, name: str) -> None:
    said = problems(tmp_path, HEAD.replace("demo_1-x", f"{name}, name: x") + CHECK + LEVELS)[0]
    assert said.startswith(f"line 3: cluster.id: '{name}' is no name of an EKS cluster")
    assert "aws eks list-clusters" in said
