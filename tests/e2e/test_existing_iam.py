"""Levels by IAM groups and roles of others, and mandatory tags and boundaries, on real parts: apply, sign in, destroy, compare."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.session import Session
from whole_sandbox import Sandbox

from binaries import control_plane_binaries
from kube_iam.access.server_policy import server_document
from kube_iam.config.access import load_access
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import ACCOUNT, REGION, Home
from kube_iam.sandbox.up import down, up
from kube_iam.sandbox.users import put_server_policy

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("existing-iam")]
HOME_ARN = f"arn:aws:iam::{ACCOUNT}"
BOUNDARY = f"{HOME_ARN}:policy/boundaries/developer"
EXISTING = """
levels:
  - name: dev
    iam: {group: platform-team, existing: true}
    bind: [{clusterRole: edit, namespaces: [shop]}]
  - name: look
    method: group
    iam: {group: platform-team, existing: true}
    bind: [{clusterRole: view}]
  - name: ops
    iam: {role: operator, group: operators, existing: true}
    bind: [{clusterRole: view}]
"""
ORGANIZATION = """
iam:
  naming: "k8s-{cluster}-{level}"
  permissionsBoundary: %s
  tags: {CostCenter: "4711", Owner: platform@example.com}
levels:
  - name: dev
    bind: [{clusterRole: view}]
    iam: {tags: {Criticality: high}}
"""
OTHER_CLUSTER = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: other.example.com, name: other}
account: "%s"
region: eu-central-1
mapping: {file: other.yaml}
levels:
  - {name: dev, iam: {group: platform-team, existing: true}}
  - {name: ops, iam: {role: operator, group: operators, existing: true}}
"""


def document(action: str, resource: str = "*") -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def own_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Yield a sandbox of this module, where nothing is applied: `destroy` would take the levels of other modules."""
    control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("existing-iam") / "sandbox")
    try:
        yield Sandbox(home, up(home, os.environ, lambda _: None))
    finally:
        down(home)


@pytest.fixture(scope="module")
def iam(own_sandbox: Sandbox) -> Any:
    """Return a client of the account in which an organization has groups, policies and a role of its own."""
    for name in ("gina", "gus", "olga"):
        own_sandbox.person(name)
    keys = own_sandbox.administrator.credentials
    iam: Any = Session().create_client(
        "iam",
        region_name=REGION,
        endpoint_url=own_sandbox.state.account_url,
        verify=str(own_sandbox.home.ca),
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
    )
    billing = iam.create_policy(
        PolicyName="billing", Path="/billing/", PolicyDocument=document("aws-portal:ViewBilling"), Tags=tags("cfo")
    )["Policy"]["Arn"]
    iam.create_policy(
        PolicyName="developer", Path="/boundaries/", PolicyDocument=document("s3:*"), Tags=tags("security")
    )
    for group, path, member in (("platform-team", "/teams/", "gina"), ("operators", "/", "olga")):
        iam.create_group(GroupName=group, Path=path)
        iam.attach_group_policy(GroupName=group, PolicyArn=billing)
        iam.put_group_policy(GroupName=group, PolicyName="logs", PolicyDocument=document("logs:Get*"))
        iam.add_user_to_group(GroupName=group, UserName=member)
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"{HOME_ARN}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}},
    }
    iam.create_role(
        RoleName="operator",
        Path="/ops/teams/",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        Tags=tags("operations"),
        MaxSessionDuration=7200,
        Description="Operators of everything",
        PermissionsBoundary=BOUNDARY,
    )
    iam.attach_role_policy(RoleName="operator", PolicyArn=billing)
    iam.put_role_policy(RoleName="operator", PolicyName="logs", PolicyDocument=document("logs:Get*"))
    return iam


def tags(owner: str) -> list[dict[str, str]]:
    return [{"Key": "Owner", "Value": owner}]


def foreign(iam: Any) -> dict[str, object]:
    """Return all groups, roles, policies and users of the account that are not kube-iam's, with all that they hold."""
    found: dict[str, object] = {}
    for group in iam.list_groups()["Groups"]:
        if group["Path"].startswith("/kube-iam/"):
            continue
        name = group["GroupName"]
        attached = iam.list_attached_group_policies(GroupName=name)["AttachedPolicies"]
        inline = iam.list_group_policies(GroupName=name)["PolicyNames"]
        found[f"group {name}"] = (
            [group[key] for key in ("Arn", "Path", "GroupId")],
            sorted(each["PolicyArn"] for each in attached if ":policy/kube-iam/" not in each["PolicyArn"]),
            {each: iam.get_group_policy(GroupName=name, PolicyName=each)["PolicyDocument"] for each in inline},
            sorted(user["UserName"] for user in iam.get_group(GroupName=name)["Users"]),
        )
    for listed in iam.list_roles()["Roles"]:
        name = listed["RoleName"]
        role = iam.get_role(RoleName=name)["Role"]
        if any(tag["Key"] == "kube-iam.dev/cluster" for tag in role.get("Tags", ())):
            continue
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        found[f"role {name}"] = (
            {key: value for key, value in role.items() if key != "RoleLastUsed"},
            iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
            {each: iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"] for each in inline},
        )
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        if not policy["Path"].startswith("/kube-iam/"):
            version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
            labels = iam.list_policy_tags(PolicyArn=policy["Arn"])["Tags"]
            found[policy["Arn"]] = (policy["AttachmentCount"], version["PolicyVersion"]["Document"], labels)
    for user in iam.list_users()["Users"]:
        attached = iam.list_attached_user_policies(UserName=user["UserName"])["AttachedPolicies"]
        found[f"user {user['UserName']}"] = (user["UserId"], attached, user_policies(iam, user["UserName"]))
    return found


def user_policies(iam: Any, user: str) -> list[str]:
    """Return the names of a user's inline policies, without that of the server, which the tests replace."""
    return [name for name in iam.list_user_policies(UserName=user)["PolicyNames"] if name != "kube-iam-server"]


def write_levels(sandbox: Sandbox, text: str) -> None:
    """Replace the levels of the sandbox's access file, apply them, and give the server its rights."""
    before = sandbox.home.access.read_text()
    head = before[: min(before.find(part) % len(before) for part in ("\nlevels:", "\niam:"))]
    sandbox.home.access.write_text(head.rstrip() + "\n" + text)
    sandbox.administrator.works("kube-iam", "validate")
    sandbox.administrator.works("kube-iam", "apply", "--yes")
    put_server_policy(sandbox.home, sandbox.state, server_document(load_access(sandbox.home.access)))
    assert "Nothing to change" in sandbox.administrator.works("kube-iam", "plan")


def test_members_of_existing_groups_sign_in_and_destroy_leaves_all_as_it_was(own_sandbox: Sandbox, iam: Any) -> None:
    administrator = own_sandbox.administrator
    gina, gus, olga = (own_sandbox.person(name) for name in ("gina", "gus", "olga"))
    before = foreign(iam)
    write_levels(own_sandbox, EXISTING)
    assert foreign(iam) == before
    dev, look, ops = map(own_sandbox.kubeconfig, ("dev", "look", "ops"))
    assert f"{HOME_ARN}:role/ops/teams/operator" in ops.read_text()
    for person, kubeconfig in ((gina, dev), (gina, look), (olga, ops)):
        assert wait_until(lambda person=person, kubeconfig=kubeconfig: person.signs_in(kubeconfig), 90)  # type: ignore[misc]
    assert not any(gus.signs_in(kubeconfig) for kubeconfig in (dev, look, ops))
    refused = administrator.run("kube-iam", "grant", "gus", "dev")
    assert "inline policy logs" in refused.stderr
    assert "add --yes" in refused.stderr
    assert foreign(iam) == before
    administrator.works("kube-iam", "grant", "gus", "dev", "--yes")
    assert wait_until(lambda: gus.signs_in(dev), 90)
    administrator.works("kube-iam", "revoke", "gus", "dev", "--yes")
    assert wait_until(lambda: not gus.signs_in(dev), 90)
    assert foreign(iam) == before

    other = own_sandbox.home.root / "other-access.yaml"
    other.write_text(OTHER_CLUSTER % ACCOUNT)
    (own_sandbox.home.root / "other.yaml").write_text("clusterID: other.example.com\n")
    administrator.works("kube-iam", "apply", "--yes", "-f", other)
    assert "Nothing to change" in administrator.works("kube-iam", "plan")
    assert foreign(iam) == before
    administrator.works("kube-iam", "destroy", "--yes", "-f", other)
    assert "Nothing to change" in administrator.works("kube-iam", "plan")
    assert foreign(iam) == before

    administrator.works("kube-iam", "destroy", "--yes", "--force")
    assert foreign(iam) == before
    for group in ("platform-team", "operators"):
        attached = iam.list_attached_group_policies(GroupName=group)["AttachedPolicies"]
        assert [each["PolicyName"] for each in attached] == ["billing"]
    assert wait_until(lambda: not (gina.signs_in(dev) or gina.signs_in(look) or olga.signs_in(ops)), 90)


@pytest.mark.thorough
def test_what_is_created_has_the_tags_the_boundary_and_the_names(own_sandbox: Sandbox, iam: Any) -> None:
    administrator, gina = own_sandbox.administrator, own_sandbox.person("gina")
    before = foreign(iam)
    write_levels(own_sandbox, ORGANIZATION % BOUNDARY)
    role = iam.get_role(RoleName="k8s-sandbox-dev")["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY
    wanted = {"CostCenter": "4711", "Owner": "platform@example.com", "Criticality": "high"}
    assert wanted.items() <= {tag["Key"]: tag["Value"] for tag in role["Tags"]}.items()
    administrator.works("kube-iam", "grant", "gina", "dev")
    kubeconfig = own_sandbox.kubeconfig("dev")
    assert wait_until(lambda: gina.signs_in(kubeconfig), 90)
    iam.delete_role_permissions_boundary(RoleName="k8s-sandbox-dev")
    iam.untag_role(RoleName="k8s-sandbox-dev", TagKeys=["CostCenter"])
    shown = administrator.works("kube-iam", "plan")
    assert f"permissionsBoundary: none -> {BOUNDARY}" in shown
    assert "tags.CostCenter: 4711" in shown

    write_levels(own_sandbox, ORGANIZATION.replace("k8s-", "eks-") % BOUNDARY)
    renamed = iam.get_role(RoleName="eks-sandbox-dev")["Role"]
    assert renamed["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY
    gina, kubeconfig = own_sandbox.person("gina"), own_sandbox.kubeconfig("dev")
    assert wait_until(lambda: gina.signs_in(kubeconfig), 90)
    administrator.works("kube-iam", "destroy", "--yes", "--force")
    assert foreign(iam) == before
