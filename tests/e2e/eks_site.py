"""An EKS cluster: the emulated EKS API, a real kube-apiserver, and kube-iam's server in the place of EKS's own authenticator.

The stand-in maps roles as the access entries do. It admits every session of a role whose unique id is the one that the role had when
the entry was made, and reads no IAM groups and no deny list.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from botocore.config import Config
from botocore.session import Session
from whole_sandbox import Person, Sandbox

from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import ACCOUNT, CLUSTER_ID, REGION
from kube_iam.sandbox.webhook import await_webhook, launch_webhook

NAME = "demo"
SERVICE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


class EksSite:
    """An EKS cluster whose API server is that of a sandbox, with an access file at `file`."""

    def __init__(self, sandbox: Sandbox, mode: str = "CONFIG_MAP") -> None:
        self.sandbox = sandbox
        self.administrator = sandbox.administrator
        self.file = sandbox.home.root / "eks.yaml"
        self.iam, self.eks = self._client("iam"), self._client("eks")
        self._role_ids: dict[str, str] = {}
        role = self.iam.create_role(RoleName="eks-service", AssumeRolePolicyDocument=json.dumps(SERVICE))["Role"]["Arn"]
        access = {"authenticationMode": mode}
        self.eks.create_cluster(name=NAME, roleArn=role, resourcesVpcConfig={}, accessConfig=access)

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
