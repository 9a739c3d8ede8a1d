"""`report` on real parts: faults are seeded in IAM, the mapping and RBAC, and each is found. Afterwards they are gone again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.session import Session
from whole_sandbox import Sandbox

from kube_iam.sandbox.state import ACCOUNT, REGION

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]

HOME = f"arn:aws:iam::{ACCOUNT}"
CONFIG_MAP = ("-n", "kube-system", "configmap", "aws-iam-authenticator")
OWN_NAME = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}
SEEDED_ROLES = {
    "legacy": {"AWS": f"{HOME}:root"},
    "public": {"AWS": "*"},
    "partner": {"AWS": "arn:aws:iam::999988887777:root"},
}
ENTRIES = f"""\
  - {{rolearn: {HOME}:role/legacy, username: "legacy:{{{{SessionName}}}}", groups: [deployers]}}
  - {{rolearn: {HOME}:role/public, username: public, groups: [readers]}}
  - {{rolearn: {HOME}:role/partner, username: partner, groups: ["system:masters"]}}
  - {{rolearn: {HOME}:role/gone, username: gone, groups: [gone]}}
  - {{rolearn: {HOME}:role/public, username: public, groups: [readers]}}
  - {{rolearn: {HOME}:role/legacy, username: legacy, groups: [platform]}}
"""
USERS = f"""\
  mapUsers:
  - {{userarn: {HOME}:user/rita, username: rita, groups: [platform]}}
  - {{userarn: {HOME}:user/nobody, username: nobody, groups: [readers]}}
  mapAccounts: ["999988887777"]
"""
RBAC = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: seeded-platform}
rules: [{verbs: ["*"], apiGroups: ["*"], resources: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: seeded-delegate}
rules: [{verbs: [bind, escalate], apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: seeded-platform}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: seeded-platform}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: platform}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: seeded-delegates}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: seeded-delegate}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: deployers}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: seeded-readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: public}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: seeded-secrets, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: readers}]
"""
WANTED = {
    "masters_group": "role/partner",
    "cluster_admin": "user public",
    "wildcard_rights": "group platform",
    "escalation_rights": "group deployers",
    "secrets_access": "group readers",
    "role_open_to_anybody": "role public",
    "role_open_to_more": "role sandbox-developer",
    "level_policy_elsewhere": "level viewer",
    "role_without_group": "role partner",
    "session_name_unrestricted": "role legacy",
    "user_entry": "user/rita",
    "account_entry": "account 999988887777",
    "temporary_access_void": "user rolf",
    "entry_never_matches": "role/gone",
    "entry_shadowed": "role/legacy",
    "entry_duplicate": "role/public",
}
"""For each code, what the object of one finding has in its name."""


@pytest.fixture(scope="module")
def seeded(levels: Sandbox) -> Iterator[Sandbox]:
    administrator = levels.administrator
    for name in ("rita", "rolf"):
        levels.person(name)
    keys = administrator.credentials
    iam: Any = Session().create_client(
        "iam",
        region_name=REGION,
        endpoint_url=levels.state.account_url,
        verify=str(levels.home.ca),
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
    )
    administrator.works("kube-iam", "grant", "rolf", "developer", "--for", "2h")
    before = json.loads(administrator.works("kubectl", "get", *CONFIG_MAP, "-o", "json"))["data"]["config.yaml"]
    trust_before = iam.get_role(RoleName="sandbox-developer")["Role"]["AssumeRolePolicyDocument"]
    try:
        for name, principal in SEEDED_ROLES.items():
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust(principal)))
        # Session names stay restricted: else the server would refuse this role for an hour, in tests of other modules too.
        opened = trust({"AWS": [f"{HOME}:root", f"{HOME}:role/legacy"]}, OWN_NAME)
        iam.update_assume_role_policy(RoleName="sandbox-developer", PolicyDocument=json.dumps(opened))
        iam.attach_user_policy(UserName="rita", PolicyArn=viewer_policy(iam))
        delete_user(iam, "rolf")
        put_config(levels, before + ENTRIES + USERS)  # the levels' list of mapRoles is the last in the text
        administrator.works("kubectl", "apply", "-f", "-", stdin=RBAC)
        yield levels
    finally:
        put_config(levels, before)
        administrator.run("kubectl", "delete", "-f", "-", stdin=RBAC)
        iam.update_assume_role_policy(RoleName="sandbox-developer", PolicyDocument=json.dumps(trust_before))
        iam.detach_user_policy(UserName="rita", PolicyArn=viewer_policy(iam))
        for name in SEEDED_ROLES:
            iam.delete_role(RoleName=name)
        administrator.works("kube-iam", "revoke", "rolf", "developer")
        assert "Nothing to change" in administrator.works("kube-iam", "plan")


def trust(principal: object, condition: object = None) -> object:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    statement |= {"Condition": condition} if condition else {}
    return {"Version": "2012-10-17", "Statement": [statement]}


def viewer_policy(iam: Any) -> str:
    (found,) = iam.list_attached_group_policies(GroupName="sandbox-viewer")["AttachedPolicies"]
    return str(found["PolicyArn"])


def delete_user(iam: Any, name: str) -> None:
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
        iam.delete_user_policy(UserName=name, PolicyName=policy)
    iam.delete_user(UserName=name)


def put_config(sandbox: Sandbox, text: str) -> None:
    patch = json.dumps({"data": {"config.yaml": text}})
    sandbox.administrator.works("kubectl", "patch", *CONFIG_MAP, "--type", "merge", "-p", patch)


def test_each_seeded_fault_is_found(seeded: Sandbox) -> None:
    report = json.loads(seeded.administrator.works("kube-iam", "report", "-o", "json"))
    assert report["notRead"] == {}
    found: dict[str, list[str]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["code"], []).append(finding["object"])
    missed = {
        code: found.get(code) for code, item in WANTED.items() if not any(item in each for each in found.get(code, ()))
    }
    assert missed == {}
    assert report["drift"]["drift"] is True
    by_person = {each["person"] or each["principal"]: each for each in report["people"]}
    assert by_person["rita"]["privileges"] == ["wildcards"]


def test_the_page_is_written_for_its_owner_alone(seeded: Sandbox) -> None:
    out = seeded.home.root / "report.html"
    said = seeded.administrator.run("kube-iam", "report", "--out", out)
    assert said.returncode == 0, said.stderr
    assert f"wrote {out}: findings: " in said.stderr
    assert out.stat().st_mode & 0o777 == 0o600
    assert "role/partner" in out.read_text()
