"""Levels on EKS, with membership that is checked when a role is assumed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from eks_site import NAME, EksSite
from whole_sandbox import Sandbox

from binaries import control_plane_binaries
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import Home
from kube_iam.sandbox.up import down, up

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("sandbox-of-eks")]
NODES = """\
- {rolearn: 'arn:aws:iam::111122223333:role/nodes', username: 'system:node:{{EC2PrivateDNSName}}', groups: ['system:nodes']}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EksSite]:
    control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("eks") / "sandbox")
    try:
        site = EksSite(Sandbox(home, up(home, os.environ, lambda _: None)))
        site.rename_server()
        yield site
    finally:
        down(home)


@pytest.fixture(scope="module")
def moved(site: EksSite) -> EksSite:
    """Yield the cluster after its levels have moved from aws-auth to access entries, by the steps of docs/eks.md."""
    administrator = site.administrator
    administrator.works("kube-iam", "new", "--eks", NAME, site.file)
    assert "mapping:\n  awsAuth: {}" in site.file.read_text()
    site.file.write_text(f"{site.file.read_text()}\niam: {{rolePath: /people/}}\n")
    roles = site.sandbox.home.root / "nodes.yaml"
    roles.write_text(NODES)
    administrator.works(
        "kubectl", "-n", "kube-system", "create", "configmap", "aws-auth", f"--from-file=mapRoles={roles}"
    )
    site.kube_iam("apply", "--yes")
    assert site.aws_auth().count("rolearn") == 4
    in_file = site.file.read_text().replace("awsAuth: {}", "accessEntries: {}")
    site.file.write_text(in_file)
    refused = administrator.refused("kube-iam", "plan", KUBE_IAM_ACCESS=str(site.file))
    assert "authenticationMode=API_AND_CONFIG_MAP" in refused
    site.set_mode("API_AND_CONFIG_MAP")
    plan = site.kube_iam("plan")
    assert "3 to create, 0 to update, 3 to delete" in plan
    site.kube_iam("apply", "--yes")
    return site


def test_levels_move_from_aws_auth_and_the_second_plan_is_empty(moved: EksSite) -> None:
    assert "Nothing to change" in moved.kube_iam("plan")
    assert "No drift" in moved.kube_iam("drift")
    assert moved.aws_auth().strip() == NODES.strip()
    principals = moved.eks.list_access_entries(clusterName=NAME)["accessEntries"]
    assert sum(":role/people/demo-" in each for each in principals) == 3


def test_member_signs_in_by_an_access_entry_and_others_do_not(moved: EksSite) -> None:
    moved.sandbox.person("alice")
    moved.kube_iam("grant", "alice", "viewer")
    moved.map_access_entries()
    kubeconfig = moved.kubeconfig("viewer")
    alice, bob = moved.sandbox.person("alice"), moved.sandbox.person("bob")
    assert wait_until(lambda: alice.signs_in(kubeconfig), 60), alice.whoami(kubeconfig).stderr
    user = moved.user(alice, kubeconfig)
    assert (user["username"], user["groups"]) == ("awsiam:alice", ["kube-iam:viewer", "system:authenticated"])
    assert alice.works("kubectl", "--kubeconfig", kubeconfig, "auth", "can-i", "list", "pods").strip() == "yes"
    assert "user/bob may not assume arn:aws:iam::111122223333:role/people/demo-viewer" in bob.whoami(kubeconfig).stderr
    assert "alice" in moved.kube_iam("who", "viewer")
    moved.kube_iam("revoke", "alice", "viewer")
    assert not moved.sandbox.person("alice").signs_in(kubeconfig)
    # The session that she has goes on, whatever is denied.
    assert moved.administrator.run("kube-iam", "deny", "alice", KUBE_IAM_ACCESS=str(moved.file)).returncode == 1
    assert alice.signs_in(kubeconfig)
    moved.kube_iam("undeny", "alice")


def test_deny_with_assume_role_says_that_sign_ins_go_on(moved: EksSite) -> None:
    done = moved.administrator.run("kube-iam", "deny", "carol", "--yes", KUBE_IAM_ACCESS=str(moved.file))
    assert done.returncode == 1
    assert "the denial is written, and sign-ins go on: EKS's authenticator reads no deny list" in done.stderr
    assert "membershipCheck: rbac" in done.stderr
    assert "is out" not in done.stdout + done.stderr
    moved.kube_iam("undeny", "carol")


def test_recreated_role_signs_in_again_after_apply(moved: EksSite) -> None:
    moved.map_access_entries()
    moved.kube_iam("grant", "bob", "viewer")
    kubeconfig = moved.kubeconfig("viewer")
    assert wait_until(lambda: moved.sandbox.person("bob").signs_in(kubeconfig), 60)
    role = moved.iam.get_role(RoleName="demo-viewer")["Role"]
    tags = moved.iam.list_role_tags(RoleName="demo-viewer")["Tags"]
    moved.iam.delete_role(RoleName="demo-viewer")
    moved.iam.create_role(
        RoleName="demo-viewer",
        Path="/people/",
        AssumeRolePolicyDocument=json.dumps(role["AssumeRolePolicyDocument"]),
        Description=role["Description"],
        Tags=tags,
    )
    moved.map_access_entries()
    bob = moved.sandbox.person("bob")
    assert wait_until(lambda: not bob.signs_in(kubeconfig), 60)
    assert "EKS keeps the unique id of the role" in moved.kube_iam("plan")
    moved.kube_iam("apply", "--yes")
    moved.map_access_entries()
    assert wait_until(lambda: bob.signs_in(kubeconfig), 60), bob.whoami(kubeconfig).stderr
    assert "Nothing to change" in moved.kube_iam("plan")


def test_api_only_cluster_is_described_and_aws_auth_refused(moved: EksSite) -> None:
    moved.set_mode("API")
    file = moved.sandbox.home.root / "fresh.yaml"
    moved.administrator.works("kube-iam", "new", "--eks", NAME, file)
    text = file.read_text()
    assert "accessEntries: {}" in text
    assert f"endpoint: {moved.sandbox.state.api_url}" in text
    assert "membershipCheck: assumeRole" in text
    moved.administrator.works("kube-iam", "validate", "-f", file)
    assert "Nothing to change" in moved.kube_iam("plan")


def test_destroy_leaves_entries_of_others(moved: EksSite) -> None:
    moved.kube_iam("destroy", "--yes", "--force")
    left = moved.eks.list_access_entries(clusterName=NAME)["accessEntries"]
    assert left == [] or all(":user/administrator" in each for each in left)
    assert moved.aws_auth().strip() == NODES.strip()
