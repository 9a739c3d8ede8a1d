"""`policy admin|operator|auditor` and `manifest rbac --for admin|operator|auditor`: what is printed for an access file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from access_commands import FILE

from kube_iam.cli.root import run_command
from kube_iam.core.server_policy import LONGEST_MANAGED
from kube_iam.errors import UsageError

HOME = "arn:aws:iam::123456789012"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "access.yaml"
    path.write_text(FILE)
    return path


def printed(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert run_command("kube-iam", list(map(str, words)), {}) == 0
    return capsys.readouterr().out


def policy(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    document = json.loads(printed(capsys, "policy", *words))
    assert len(json.dumps(document, separators=(",", ":"))) < LONGEST_MANAGED
    return {statement["Sid"]: statement for statement in document["Statement"]}


def manifests(capsys: pytest.CaptureFixture[str], *words: str | Path) -> list[Any]:
    return list(yaml.safe_load_all(printed(capsys, "manifest", "rbac", *words)))


def rules(found: list[Any]) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """Return the namespace, the resource, the names and the verbs of each rule."""
    return [
        (each["metadata"].get("namespace", ""), resource, tuple(rule.get("resourceNames", ())), tuple(rule["verbs"]))
        for each in found
        for rule in each.get("rules", ())
        for resource in rule["resources"]
    ]


@pytest.mark.parametrize("job", ["admin", "operator"])
def test_policy_covers_paths_and_names_of_the_file(job: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = (
        "iam: {pathPrefix: /teams/*/, rolePath: /people/}\nlevels:\n  - {name: ops, iam: {group: operators, role: ops}}"
    )
    file.write_text(FILE.replace("levels:", own))
    found = policy(capsys, job, "-f", file)
    roles = found["ManageRoles" if job == "admin" else "ReadRoles"]["Resource"]
    assert roles == [
        f"{HOME}:role/{path}{name}" for path in ("ops", "people/ops", "people/prod-*", "prod-*") for name in [""]
    ]
    groups = found["ManageGroups" if job == "admin" else "ReadGroups"]["Resource"]
    assert groups == [f"{HOME}:group/operators", f"{HOME}:group/prod-*", f"{HOME}:group/teams/${{*}}/kube-iam/prod/*"]
    assert f"{HOME}:policy/teams/${{*}}/kube-iam/prod/*" in found["ReadPolicies"]["Resource"]


def test_operator_writes_members_of_the_clusters_groups_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = policy(capsys, "operator", "-f", file)
    writing = {
        sid: statement["Resource"]
        for sid, statement in found.items()
        if any(not action.startswith(("iam:Get", "iam:List")) for action in statement["Action"])
    }
    assert writing == {"ChangeGroupMembers": [f"{HOME}:group/kube-iam/prod/*"]}
    assert found["ChangeGroupMembers"]["Action"] == ["iam:AddUserToGroup", "iam:RemoveUserFromGroup"]


def test_rights_to_write_user_policies_need_a_flag_and_get_a_warning(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command("kube-iam", ["policy", "operator", "--temporary", "-f", str(file)], {})
    captured = capsys.readouterr()
    assert "iam:PutUserPolicy" in captured.out
    assert "can write any rights for any user" in captured.err
    run_command("kube-iam", ["policy", "operator", "-f", str(file)], {})
    assert "without --temporary it allows neither `grant --for`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "policy admin --temporary",
        "policy auditor --temporary",
        "policy server --temporary",
        "policy operator -c config.yaml",
        "manifest rbac --temporary",
        "manifest rbac --for admin --temporary",
        "manifest rbac --group x",
    ],
)
def test_options_of_another_job_are_refused(words: str, file: Path) -> None:
    with pytest.raises(UsageError):
        run_command("kube-iam", [*words.split(), "-f", str(file)], {})


def test_administrator_binds_the_roles_of_the_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bind = "bind: [{clusterRole: view}, {role: deployer, namespaces: [shop, blog]}]"
    file.write_text(FILE.replace("bind: [{clusterRole: view}]", bind))
    found = rules(manifests(capsys, "--for", "admin", "-f", file))
    assert [rule for rule in found if rule[3] == ("bind",)] == [
        ("", "clusterroles", ("cluster-admin", "view"), ("bind",)),
        ("blog", "roles", ("deployer",), ("bind",)),
        ("shop", "roles", ("deployer",), ("bind",)),
    ]
    assert ("kube-system", "configmaps", ("aws-iam-authenticator",), ("get", "patch")) in found


def test_operator_writes_the_deny_list_and_events_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = manifests(capsys, "--for", "operator", "-f", file)
    assert found[0]["metadata"]["name"] == "kube-iam-denied"
    assert "data" not in found[0]  # `kubectl apply` leaves the denials
    writing = [rule for rule in rules(found) if set(rule[3]) - {"get", "list"}]
    assert writing == [
        ("", "tokenreviews", (), ("create",)),
        ("", "subjectaccessreviews", (), ("create",)),
        ("kube-system", "configmaps", ("kube-iam-denied",), ("get", "patch")),
        ("kube-system", "events", (), ("create",)),
    ]
    temporary = rules(manifests(capsys, "--for", "operator", "--temporary", "-f", file))
    assert set(temporary) - set(rules(found)) == {
        ("kube-system", "configmaps", ("aws-iam-authenticator",), ("get", "patch"))
    }


def test_auditor_reads_and_changes_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    actions = {action for each in policy(capsys, "auditor", "-f", file).values() for action in each["Action"]}
    assert {action.removeprefix("iam:")[:3] for action in actions} == {"Get", "Lis", "Sim"}
    found = rules(manifests(capsys, "--for", "auditor", "-f", file))
    assert {verb for rule in found for verb in rule[3]} == {"get", "list"}
    assert ("kube-system", "configmaps", ("kube-iam-denied",), ("get",)) in found


def test_manifests_follow_mapping_deny_list_and_group(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FILE + "mapping: {configFile: {namespace: iam, name: mapping}}\n")
    for job in ("admin", "operator", "auditor"):
        found = manifests(capsys, "--for", job, "-f", file, "--deny-list", "default/denied", "--group", "g")
        subjects = {subject["name"] for each in found for subject in each.get("subjects", ())}
        assert subjects == {"g"}
        named = {(where, name) for where, _, names, _ in rules(found) for name in names if where}
        assert {("iam", "mapping"), ("default", "denied")} <= named
    file.write_text(FILE + "mapping: {file: config.yaml}\n")
    found = manifests(capsys, "--for", "admin", "-f", file)
    assert {each["subjects"][0]["name"] for each in found if "subjects" in each} == {"kube-iam-admins"}
    assert ("kube-system", "configmaps", (), ("create",)) not in rules(found)


def test_objects_of_the_backend_crd_are_the_mapping_where_the_file_names_them(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FILE + "mapping: {crd: {}}\n")
    expected = {
        ("--for", "admin"): ("create", "delete", "list", "patch"),
        ("--for", "operator"): ("list",),
        ("--for", "operator", "--temporary"): ("list", "patch"),
    }
    for words, verbs in expected.items():
        found = rules(manifests(capsys, *words, "-f", file))
        assert ("", "iamidentitymappings", (), verbs) in found
        assert not any("aws-iam-authenticator" in names for _, _, names, _ in found)


EXISTING = """\
iam: {naming: "k8s-{cluster}-{level}", permissionsBoundary: "arn:aws:iam::123456789012:policy/boundary"}
levels:
  - {name: dev, iam: {group: team, existing: true}}
  - {name: ops, iam: {role: operator, existing: true}}
  - {name: viewer, iam: {permissionsBoundary: none}}
"""


@pytest.mark.parametrize("job", ["admin", "operator"])
def test_existing_roles_and_groups_are_read_and_never_managed(
    job: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FILE.partition("levels:")[0] + EXISTING)
    found = policy(capsys, job, "-f", file)
    groups, roles = (
        [f"{HOME}:{kind}/*/{name}", f"{HOME}:{kind}/{name}"] for kind, name in (("group", "team"), ("role", "operator"))
    )
    assert found["ReadExistingGroups"]["Resource"] == groups
    assert "iam:ListGroupPolicies" in found["ReadExistingGroups"]["Action"]
    assert found["ReadExistingRoles"]["Resource"] == roles
    writing = {
        sid
        for sid, statement in found.items()
        if {*groups, *roles} & {*statement["Resource"]}
        and any(not action.startswith(("iam:Get", "iam:List")) for action in statement["Action"])
    }
    assert writing == {"AttachPoliciesOfCluster" if job == "admin" else "ChangeGroupMembers"}
    named = found["ManageRoles" if job == "admin" else "ReadRoles"]["Resource"]
    assert named == [f"{HOME}:role/k8s-prod-*"]


def test_boundaries_of_the_file_are_set_and_no_others(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not [sid for sid in policy(capsys, "admin", "-f", file) if "Boundar" in sid]
    file.write_text(FILE.partition("levels:")[0] + EXISTING)
    found = policy(capsys, "admin", "-f", file)
    assert found["SetPermissionsBoundaries"] == {
        "Sid": "SetPermissionsBoundaries",
        "Effect": "Allow",
        "Action": ["iam:PutRolePermissionsBoundary"],
        "Resource": [f"{HOME}:role/k8s-prod-*"],
        "Condition": {"StringEquals": {"iam:PermissionsBoundary": [f"{HOME}:policy/boundary"]}},
    }
    # The present boundary of a role that shall have none is not in the file, so that the role is named.
    removal = found["RemovePermissionsBoundaries"]
    assert (removal["Action"], removal["Resource"]) == (
        ["iam:DeleteRolePermissionsBoundary"],
        [f"{HOME}:role/k8s-prod-viewer"],
    )
    assert not [sid for sid in policy(capsys, "operator", "-f", file) if "Boundar" in sid]


def test_tags_of_policies_are_removed_also_when_no_level_uses_what_exists(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A level that no longer uses an existing group leaves a tag with the group's name.
    assert "iam:UntagPolicy" in policy(capsys, "admin", "-f", file)["ManagePolicies"]["Action"]


EKS = "arn:aws:eks:eu-central-1:123456789012"
ON_EKS = (
    FILE.replace("id: prod.example.com", "id: demo") + "mapping: {accessEntries: {}}\nmembershipCheck: assumeRole\n"
)


def eks_rights(found: dict[str, Any]) -> dict[str, set[str]]:
    """Return the resources of each action of EKS."""
    rights: dict[str, set[str]] = {}
    for statement in found.values():
        for action in statement["Action"]:
            if action.startswith("eks:"):
                rights.setdefault(action, set()).update(statement["Resource"])
    return rights


def test_policies_cover_the_access_entries_of_one_cluster(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(ON_EKS)
    cluster, entries = {f"{EKS}:cluster/demo"}, {f"{EKS}:access-entry/demo/*"}
    reading = {
        "eks:DescribeCluster": cluster,
        "eks:ListAccessEntries": cluster,
        "eks:DescribeAccessEntry": entries,
        "eks:ListAssociatedAccessPolicies": entries,
    }
    changing = dict.fromkeys(("eks:DeleteAccessEntry", "eks:TagResource", "eks:UpdateAccessEntry"), cluster | entries)
    assert eks_rights(policy(capsys, "admin", "-f", file)) == {
        **reading,
        **changing,
        "eks:CreateAccessEntry": cluster,
    }
    for job in ("operator", "auditor"):
        assert eks_rights(policy(capsys, job, "-f", file)) == reading
    file.write_text(FILE)
    assert eks_rights(policy(capsys, "admin", "-f", file)) == {}


def test_administrator_on_eks_may_take_entries_out_of_aws_auth(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(ON_EKS)
    found = rules(manifests(capsys, "--for", "admin", "-f", file))
    assert ("kube-system", "configmaps", ("aws-auth",), ("get", "patch")) in found
    for job in ("operator", "auditor"):
        assert "aws-auth" not in str(manifests(capsys, "--for", job, "-f", file))
