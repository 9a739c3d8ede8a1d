"""People with exactly the rights of a job that `policy` and `manifest rbac` print, on a real kube-apiserver and IAM.

In the cluster they are service accounts: the manifests bind the group of their namespace.
"""

from __future__ import annotations

import json

import pytest
import yaml
from whole_sandbox import Person, Sandbox

from emulated_account import Account

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]


def holder(sandbox: Sandbox, job: str) -> Person:
    """Return a person with the policy and the RBAC of the job, and with nothing else."""
    administrator, namespace = sandbox.administrator, f"job-{job}"
    administrator.works("kubectl", "create", "namespace", namespace)
    group = f"system:serviceaccounts:{namespace}"
    manifest = administrator.works("kube-iam", "manifest", "rbac", "--for", job, "--group", group)
    administrator.works("kubectl", "apply", "-f", "-", stdin=manifest)
    person = sandbox.person(f"holder-of-{job}")
    document = administrator.works("kube-iam", "policy", job)
    iam = Account(sandbox.home, sandbox.state).administrator
    arn = iam.create_policy(PolicyName=f"job-{job}", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_user_policy(UserName=person.name, PolicyArn=arn)
    config = yaml.safe_load(sandbox.home.kubeconfig.read_text())
    administrator.works("kubectl", "-n", namespace, "create", "serviceaccount", "default")
    token = administrator.works("kubectl", "-n", namespace, "create", "token", "default").strip()
    config["users"][0]["user"] = {"token": token}
    kubeconfig = sandbox.home.root / f"{job}.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    person.environment |= {"KUBECONFIG": str(kubeconfig), "KUBE_IAM_ACCESS": str(sandbox.home.access)}
    return person


@pytest.fixture(scope="module")
def admin(levels: Sandbox) -> Person:
    return holder(levels, "admin")


@pytest.fixture(scope="module")
def operator(levels: Sandbox) -> Person:
    return holder(levels, "operator")


@pytest.fixture(scope="module")
def auditor(levels: Sandbox) -> Person:
    return holder(levels, "auditor")


def may(person: Person, *what: str) -> bool:
    return person.run("kubectl", "auth", "can-i", *what).stdout.strip() == "yes"


def test_administrator_plans_and_applies(admin: Person, levels: Sandbox) -> None:
    assert "Nothing to change" in admin.works("kube-iam", "plan")
    levels.administrator.works("kubectl", "delete", "rolebinding", "-n", "shop", "kube-iam:developer:edit")
    done = json.loads(admin.works("kube-iam", "apply", "--yes", "-o", "json"))
    assert [(change["kind"], change["result"]) for change in done["changes"]] == [("binding", "created")]


def test_administrator_adds_and_removes_a_level(admin: Person, levels: Sandbox) -> None:
    more = levels.home.root / "more.yaml"
    more.write_text(levels.home.access.read_text() + "  - {name: reader, bind: [{clusterRole: view}]}\n")
    for file, result in ((more, "created"), (levels.home.access, "deleted")):
        done = json.loads(admin.works("kube-iam", "apply", "--yes", "-o", "json", "-f", file))
        kinds = {change["kind"] for change in done["changes"] if change["result"] == result}
        assert {"policy", "role", "group", "attachment", "binding", "mapping"} == kinds | {"attachment"}
    assert "Nothing to change" in levels.administrator.works("kube-iam", "plan")


def test_administrator_binds_the_roles_of_the_file_alone(admin: Person) -> None:
    bind = ("kubectl", "create", "clusterrolebinding", "mine", "--group=x")
    assert "attempting to grant RBAC permissions" in admin.refused(*bind, "--clusterrole=cluster-admin")
    admin.works(*bind, "--clusterrole=view")
    admin.works("kubectl", "delete", "clusterrolebinding", "mine")
    assert not may(admin, "get", "secrets", "-A")
    assert not may(admin, "patch", "configmap/kube-iam-denied", "-n", "kube-system")


def test_operator_grants_lists_and_revokes(operator: Person, levels: Sandbox) -> None:
    levels.person("olga")
    assert "olga: granted viewer" in operator.works("kube-iam", "grant", "olga", "viewer")
    assert "olga" in operator.works("kube-iam", "who")
    done = json.loads(operator.works("kube-iam", "revoke", "olga", "viewer", "--now", "--no-wait", "-o", "json"))
    assert (done["users"][0]["result"], done["inForce"]) == ("revoked", True)
    events = levels.administrator.works("kubectl", "get", "events", "-n", "kube-system", "-o", "yaml")
    assert "system:serviceaccount:job-operator:default" in events
    assert "olga: granted viewer" in operator.works("kube-iam", "grant", "olga", "viewer")  # removes the denial
    operator.works("kube-iam", "revoke", "olga", "viewer")


def test_operator_denies_and_undenies(operator: Person, levels: Sandbox) -> None:
    levels.person("oskar")
    assert json.loads(operator.works("kube-iam", "deny", "oskar", "--for", "1h", "-o", "json", "--yes"))["inForce"]
    assert "oskar" in operator.works("kube-iam", "deny", "--list")
    assert "denial removed" in operator.works("kube-iam", "undeny", "oskar")


def test_operator_can_neither_apply_nor_change_rbac_or_the_mapping(operator: Person, levels: Sandbox) -> None:
    refused = operator.refused("kube-iam", "apply", "--yes")
    assert "AWS denies it" in refused or "forbids it" in refused  # IAM and the cluster are read at the same time
    levels.person("odo")
    assert "iam:GetUserPolicy" in operator.run("kube-iam", "grant", "odo", "viewer", "--for", "1h").stderr
    for what in (
        ("patch", "configmap/aws-iam-authenticator", "-n", "kube-system"),
        ("create", "configmaps", "-n", "kube-system"),
        ("create", "clusterrolebindings"),
        ("create", "rolebindings", "-n", "shop"),
        ("bind", "clusterroles/view"),
        ("get", "secrets", "-n", "kube-system"),
        ("get", "pods", "-A"),
    ):
        assert not may(operator, *what), what


def test_operator_with_temporary_grants_for_a_time(operator: Person, levels: Sandbox) -> None:
    document = levels.administrator.works("kube-iam", "policy", "operator", "--temporary")
    person = levels.person("tilda")
    iam = Account(levels.home, levels.state).administrator
    arn = iam.create_policy(PolicyName="job-temporary", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_user_policy(UserName=person.name, PolicyArn=arn)
    manifest = levels.administrator.works(
        *("kube-iam", "manifest", "rbac", "--for", "operator", "--temporary"),
        *("--group", "system:serviceaccounts:job-operator"),
    )
    levels.administrator.works("kubectl", "apply", "-f", "-", stdin=manifest)
    person.environment |= {"KUBECONFIG": operator.environment["KUBECONFIG"], "KUBE_IAM_ACCESS": str(levels.home.access)}
    levels.person("tim")
    assert "tim: granted viewer for 1h" in person.works("kube-iam", "grant", "tim", "viewer", "--for", "1h")
    assert "tim: revoked viewer" in person.works("kube-iam", "revoke", "tim", "viewer")
    assert "Nothing to change" in levels.administrator.works("kube-iam", "plan")


def test_auditor_explains_and_lists_who_can_and_changes_nothing(auditor: Person, levels: Sandbox) -> None:
    levels.member("abel", "viewer")
    found = json.loads(auditor.works("kube-iam", "explain", "abel", "viewer", "-o", "json"))
    assert found["admitted"] is True
    assert not [step for each in found["explanations"] for step in each["steps"] if step["reason"] == "not_read"]
    answer = json.loads(auditor.works("kube-iam", "who-can", "list", "pods", "-o", "json"))
    assert answer["complete"] is True
    assert "abel" in {each["person"] for each in answer["principals"]}
    levels.administrator.works("kube-iam", "revoke", "abel", "viewer")
    assert "iam:AddUserToGroup" in auditor.refused("kube-iam", "grant", "abel", "viewer")
    for what in (("get", "secrets", "-A"), ("patch", "configmap/kube-iam-denied", "-n", "kube-system")):
        assert not may(auditor, *what), what
