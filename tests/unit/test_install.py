"""`install`: the steps of each installer go with the files in deploy/ and with `policy`, and their commands can be parsed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_lines import parse_line

from kube_iam.cli.root import run_command
from kube_iam.config.server import load_server_config
from kube_iam.errors import UsageError

DEPLOY = Path(__file__).parents[2] / "deploy"
IMAGE = "registry.example.com/kube-iam:1"
SERVERS = ("kops", "kubeadm", "kubeadm-v1beta3", "talos", "static-pod")
ACCESS = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: demo, endpoint: "https://demo.example.com"}
account: "123456789012"
region: eu-central-1
MORE
levels: [{name: ops, bind: [{clusterRole: view}]}]
"""


class Printed:
    """The command, with an access file of its own."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._file = directory / "access.yaml"
        self._capsys = capsys

    def file(self, more: str) -> None:
        self._file.write_text(ACCESS.replace("MORE", more))

    def run(self, *words: str) -> str:
        assert run_command("kube-iam", [*words, "-f", str(self._file)], {}) == 0
        return self._capsys.readouterr().out

    def install(self, installer: str, *options: str) -> str:
        return self.run("install", installer, "--image", IMAGE, *options)


@pytest.fixture
def printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Printed:
    made = Printed(tmp_path, capsys)
    made.file("mapping: {configFile: {}}")
    return made


def data(text: str) -> Any:
    return yaml.safe_load(text)


def test_kops_begins_with_the_limit_of_memory(printed: Printed) -> None:
    text = printed.install("kops")
    assert text.startswith(
        "# 1. kOps's default memory limit, 20Mi, ends the server at its start with an empty log: set memoryLimit."
    )
    server = data(printed.install("kops", "--only", "cluster"))["spec"]["authentication"]["aws"]
    assert server == {"image": IMAGE, "memoryRequest": "96Mi", "memoryLimit": "192Mi"}
    pod = data((DEPLOY / "daemonset.yaml").read_text())["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["memory"] == server["memoryLimit"]


@pytest.mark.parametrize("installer", SERVERS)
def test_rights_in_aws_are_those_of_policy_server(printed: Printed, installer: str) -> None:
    policy = json.loads(printed.run("policy", "server"))
    if installer == "kops":
        spec = data(printed.install("kops", "--only", "cluster"))["spec"]
        assert json.loads(spec["additionalPolicies"]["master"]) == policy["Statement"]
    else:
        assert json.loads(printed.install(installer, "--only", "policy")) == policy
    assert "everybody is Unauthorized" in printed.install(installer).replace("\n#", "")


@pytest.mark.parametrize("installer", SERVERS)
def test_server_that_checks_no_membership_needs_no_rights_in_aws(printed: Printed, installer: str) -> None:
    printed.file("membershipCheck: assumeRole")
    assert "iam:GetGroup" not in printed.install(installer)


@pytest.mark.parametrize(("installer", "version"), [("kubeadm", "v1beta4"), ("kubeadm-v1beta3", "v1beta3")])
def test_changes_for_kubeadm_are_the_files_in_deploy(printed: Printed, installer: str, version: str) -> None:
    shipped = data((DEPLOY / "kubeadm" / f"{version}.yaml").read_text())
    assert data(printed.install(installer, "--only", "cluster")) == shipped


def test_static_pod_gets_the_flags_of_kubeadm(printed: Printed) -> None:
    arguments = data(printed.install("kubeadm", "--only", "cluster"))["apiServer"]["extraArgs"]
    (container,) = data(printed.install("static-pod", "--only", "cluster"))["spec"]["containers"]
    assert container["command"] == [f"--{each['name']}={each['value']}" for each in arguments]


def test_talos_holds_the_webhook_kubeconfig_and_no_key(printed: Printed, tmp_path: Path) -> None:
    made = tmp_path / "aws-iam-authenticator.kubeconfig"
    made.write_text("kind: Config\nclusters: []\n")
    document = data(printed.install("talos", "--only", "cluster", "--webhook-kubeconfig", str(made)))
    assert (document["kind"], document["kubeconfig"]) == ("KubeAuthenticationWebhookConfig", made.read_text())
    made.write_text("-----BEGIN PRIVATE KEY-----")
    with pytest.raises(UsageError, match="is no webhook kubeconfig"):
        printed.install("talos", "--webhook-kubeconfig", str(made))


@pytest.mark.parametrize(
    ("mapping", "settings"),
    [
        ("{configFile: {}}", {"denyList": "kube-system/kube-iam-denied"}),
        ("{crd: {}}", {"backendMode": ["CRD"], "denyList": "kube-system/kube-iam-denied"}),
        ("{awsAuth: {}}", {"backendMode": ["EKSConfigMap"], "denyList": "kube-system/kube-iam-denied"}),
    ],
)
def test_config_map_is_one_that_the_server_reads(
    printed: Printed, mapping: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    printed.file(f"mapping: {mapping}")
    made = data(printed.install("kubeadm", "--only", "config-map"))
    assert made["metadata"] == {"name": "aws-iam-authenticator", "namespace": "kube-system"}
    text = made["data"]["config.yaml"]
    assert data(text) == {"clusterID": "demo", "server": settings}
    (tmp_path / "config.yaml").write_text(text)
    config, findings = load_server_config(tmp_path / "config.yaml", {})
    assert (config.cluster_id, list(findings)) == ("demo", [])


def test_kops_gives_the_settings_of_other_backends_as_fields(printed: Printed) -> None:
    printed.file("mapping: {crd: {}}")
    server = data(printed.install("kops", "--only", "cluster"))["spec"]["authentication"]["aws"]
    assert (server["backendMode"], server["clusterID"]) == ("CRD", "demo")
    assert "config-map" not in printed.install("kops", "--only", "commands")


def test_server_is_that_of_deploy(printed: Printed) -> None:
    shipped = data((DEPLOY / "daemonset.yaml").read_text())
    shipped["spec"]["template"]["spec"]["containers"][0]["image"] = IMAGE
    assert data(printed.run("manifest", "server", "--image", IMAGE)) == shipped
    pod = data(printed.run("manifest", "server", "--image", IMAGE, "--secret", "tls"))["spec"]["template"]["spec"]
    assert pod["volumes"][1] == {"name": "state", "secret": {"secretName": "tls", "defaultMode": 0o440}}
    assert pod["securityContext"]["fsGroup"] == 10000


@pytest.mark.parametrize("mapping", ["{configFile: {}}", "{crd: {}}", "{awsAuth: {}}"])
@pytest.mark.parametrize("installer", SERVERS)
def test_commands_are_ones_of_this_program(printed: Printed, installer: str, mapping: str) -> None:
    printed.file(f"mapping: {mapping}")
    parts = ["commands"] if installer == "kops" else ["nodes", "commands"]
    lines = [line for part in parts for line in printed.install(installer, "--only", part).splitlines()]
    own = [line for line in lines if line.startswith("kube-iam ")]
    assert own[-1].startswith("kube-iam apply")
    for line in own:
        parse_line(line)


def test_eks_gets_the_sync_or_nothing(printed: Printed) -> None:
    printed.file("mapping: {accessEntries: {}}\nmembershipCheck: rbac")
    assert json.loads(printed.install("eks", "--only", "policy")) == json.loads(printed.run("policy", "sync"))
    commands = printed.install("eks", "--only", "commands")
    assert "--role-arn arn:aws:iam::123456789012:role/kube-iam-sync" in commands
    for line in commands.splitlines():
        if line.startswith("kube-iam "):
            parse_line(line)
    printed.file("mapping: {accessEntries: {}}\nmembershipCheck: assumeRole")
    assert printed.install("eks").startswith("# 1. Nothing is installed.")


@pytest.mark.parametrize(
    ("more", "installer", "options", "message"),
    [
        ("mapping: {configFile: {}}", "eks", (), "EKS's own server does not read ConfigMap kube-system/aws-iam-authenticator"),
        ("mapping: {file: c.yaml}", "kubeadm", (), "a file of this machine"),
        ("mapping: {accessEntries: {}}\nmembershipCheck: rbac", "kops", (), "kube-iam's server cannot read EKS cluster demo"),
        ("", "kops", ("--only", "policy"), "there is no part policy for kops"),
        ("", "kops", ("--webhook-kubeconfig", "x"), "goes with talos"),
        ("", "talos", ("--webhook-kubeconfig", "nowhere"), "cannot be read: No such file"),
    ],
)  # fmt: skip
def test_steps_that_could_not_work_are_refused(
    printed: Printed, more: str, installer: str, options: tuple[str, ...], message: str
) -> None:
    printed.file(more)
    with pytest.raises(UsageError, match=message):
        printed.install(installer, *options)
