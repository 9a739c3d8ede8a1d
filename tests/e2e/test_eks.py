"""Levels on EKS: the emulated EKS API, a real kube-apiserver, and kube-iam's server in the place of EKS's own authenticator.

The stand-in maps roles as the access entries do. It admits every session of a role whose unique id is the one that the role had when
the entry was made, and reads no IAM groups.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.config import Config
from botocore.session import Session
from whole_sandbox import Person, Sandbox

from binaries import control_plane_binaries
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import ACCOUNT, CLUSTER_ID, REGION, Home
from kube_iam.sandbox.up import down, up
from kube_iam.sandbox.webhook import await_webhook, launch_webhook

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("sandbox-of-eks")]
NAME = "demo"
SERVICE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
NODES = """\
- {rolearn: 'arn:aws:iam::111122223333:role/nodes', username: 'system:node:{{EC2PrivateDNSName}}', groups: ['system:nodes']}
"""


class EksSite:
    """An EKS cluster whose API server is that of a sandbox, with an access file at `file`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.administrator = sandbox.administrator
        self.file = sandbox.home.root / "eks.yaml"
        self.iam, self.eks = self._client("iam"), self._client("eks")
        self._role_ids: dict[str, str] = {}
        role = self.iam.create_role(RoleName="eks-service", AssumeRolePolicyDocument=json.dumps(SERVICE))["Role"]["Arn"]
        mode = {"authenticationMode": "CONFIG_MAP"}
        self.eks.create_cluster(name=NAME, roleArn=role, resourcesVpcConfig={}, accessConfig=mode)

    def _client(self, service: str) -> Any:
        keys = self.administrator.credentials
        return Session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self.sandbox.state.account_url,
            verify=str(self.sandbox.home.ca),
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key,
            config=Config(proxies={}),
        )

    def kube_iam(self, *words: str) -> str:
        return self.administrator.works("kube-iam", *words, KUBE_IAM_ACCESS=str(self.file))

    def set_mode(self, mode: str) -> None:
        self.eks.update_cluster_config(name=NAME, accessConfig={"authenticationMode": mode})

    def rename_server(self) -> None:
        """Let the stand-in serve the cluster under the name that EKS has for it, without IAM groups and without a deny list."""
        home, state = self.sandbox.home, self.sandbox.state
        lines = home.server_config.read_text().replace(CLUSTER_ID, NAME).splitlines()
        self._write_config("\n".join(line for line in lines if "denyList" not in line) + "\n")
        assert wait_until(lambda: f"clusterID: {NAME}" in home.server_config.read_text(), 30)
        home.process("webhook").stop()
        await_webhook(launch_webhook(home, state), state)

    def map_access_entries(self) -> None:
        """Write the access entries as mapRoles of the stand-in, and wait until it has read them."""
        roles = []
        for principal in self.eks.list_access_entries(clusterName=NAME)["accessEntries"]:
            entry = self.eks.describe_access_entry(clusterName=NAME, principalArn=principal)["accessEntry"]
            if ":role/" not in principal:
                continue
            role = self.iam.get_role(RoleName=principal.rpartition("/")[2])["Role"]
            stored = self._role_ids.setdefault(entry["accessEntryArn"], role["RoleId"])
            if stored == role["RoleId"]:
                pathless = f"arn:aws:iam::{ACCOUNT}:role/{role['RoleName']}"
                roles.append({"rolearn": pathless, "username": entry["username"], "groups": entry["kubernetesGroups"]})
        config = yaml.safe_load(self.sandbox.home.server_config.read_text())
        config["server"]["mapRoles"] = roles
        text = yaml.safe_dump(config, sort_keys=False)
        self._write_config(text)
        assert wait_until(lambda: self.sandbox.home.server_config.read_text() == text, 30)

    def _write_config(self, text: str) -> None:
        patch = json.dumps({"data": {"config.yaml": text}})
        self.administrator.works(
            "kubectl", "-n", "kube-system", "patch", "configmap", "aws-iam-authenticator", "--type=merge", "-p", patch
        )

    def aws_auth(self) -> str:
        return self.administrator.works(
            "kubectl", "-n", "kube-system", "get", "configmap", "aws-auth", "-o", "jsonpath={.data.mapRoles}"
        )

    def kubeconfig(self, level: str) -> Path:
        path = self.sandbox.home.root / f"{level}.yaml"
        path.write_text(self.kube_iam("kubeconfig", level, "--eks", NAME))
        return path

    def user(self, person: Person, kubeconfig: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(person.whoami(kubeconfig, KUBE_IAM_TOKEN_CACHE="0").stdout)
        return dict(found["status"]["userInfo"])


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
