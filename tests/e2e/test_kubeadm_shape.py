"""A cluster by kubeadm: `init`, kube-apiserver with the flags of deploy/kubeadm, the server as deploy/daemonset.yaml runs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from container import CONTAINED, PROGRAM, UID, Container
from installed import CONFIG_DIR, STATE_DIR, Site, mounted, whoami

from kube_iam.sandbox.state import CLUSTER_ID

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("kubeadm")]
DEPLOY = Path(__file__).parents[2] / "deploy"
VERSIONS = ("v1beta3", "v1beta4")


class Node:
    """A control-plane node: its root directory, and kubeadm's and our manifests as they apply to it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def host(self, path: str) -> Path:
        return self.root / path.strip("/")

    def extra_args(self, version: str) -> dict[str, str]:
        """kube-apiserver's flags by the ClusterConfiguration, with files where its mounts lead to on this node."""
        api_server = cluster_configuration(version)["apiServer"]
        given = api_server["extraArgs"]
        args: dict[str, str] = given if isinstance(given, dict) else {arg["name"]: arg["value"] for arg in given}
        for volume in api_server["extraVolumes"]:
            mount, host = volume["mountPath"] + "/", f"{self.host(volume['hostPath'])}/"
            args = {
                name: host + value[len(mount) :] if value.startswith(mount) else value for name, value in args.items()
            }
        return args

    def mounts(self, config: Path) -> dict[str, Path]:
        """Return the DaemonSet's mounts, with the ConfigMap's files in `config`."""
        pod = daemon_set()["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        found = {}
        for mount in pod["containers"][0]["volumeMounts"]:
            volume = volumes[mount["name"]]
            host = self.host(volume["hostPath"]["path"]) if "hostPath" in volume else config
            found[mount["mountPath"].rstrip("/")] = host
        return found


def cluster_configuration(version: str) -> Any:
    return yaml.safe_load((DEPLOY / "kubeadm" / f"{version}.yaml").read_text())


def daemon_set() -> Any:
    return yaml.safe_load((DEPLOY / "daemonset.yaml").read_text())


@pytest.fixture(scope="module")
def node(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Return the node after `init`, with its files where `init` says that they belong."""
    node = Node(tmp_path_factory.mktemp("node"))
    work = tmp_path_factory.mktemp("work")
    said = site.administrator.works("env", f"--chdir={work}", PROGRAM, "init", "-i", CLUSTER_ID)
    copies = [line.split() for line in said.splitlines() if line.startswith("copy ")]
    assert {target for _, _, _, target, *_ in copies} == {
        f"{STATE_DIR}/cert.pem",
        f"{STATE_DIR}/key.pem",
        "/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml",
    }
    for _, source, _, target, *_ in copies:
        node.host(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / source, node.host(target))
    if CONTAINED:
        for path in (node.host(STATE_DIR), *node.host(STATE_DIR).iterdir()):
            os.chown(path, UID, UID)
    else:
        kubeconfig = node.host("/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml")
        kubeconfig.write_text(kubeconfig.read_text().replace("21362", str(site.port)))
    return node


@pytest.fixture(scope="module", params=VERSIONS)
def server(
    request: pytest.FixtureRequest, site: Site, node: Node, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    """kube-apiserver with the flags of one version of kubeadm's configuration, and the DaemonSet's pod."""
    site.start_api_server(node.extra_args(request.param))
    site.put_config_map("aws-iam-authenticator", {"config.yaml": site.server_config()})
    site.apply("configFile: {}")
    directory = tmp_path_factory.mktemp("pod")
    args = daemon_set()["spec"]["template"]["spec"]["containers"][0]["args"]
    with mounted(site, directory / "config") as config:
        container = site.container(directory, node.mounts(config))
        with site.running(container, args, node.host(f"{STATE_DIR}/cert.pem")):
            yield container


def test_a_person_signs_in_with_kubectl(site: Site, server: Container) -> None:
    user = whoami(site.member("kim", "developer"), site.kubeconfig("developer"))
    assert user["username"] == "awsiam:kim", server.process.log.read_text()
    assert user["groups"] == ["kube-iam:developer", "system:authenticated"]


def test_both_versions_of_the_configuration_say_the_same() -> None:
    node = Node(Path("/"))
    assert node.extra_args("v1beta3") == node.extra_args("v1beta4")
    for version in VERSIONS:
        found = cluster_configuration(version)
        assert (found["apiVersion"], found["kind"]) == (f"kubeadm.k8s.io/{version}", "ClusterConfiguration")
    volumes = [cluster_configuration(version)["apiServer"]["extraVolumes"] for version in VERSIONS]
    assert volumes[0] == volumes[1]


def test_the_daemon_set_runs_as_the_tests_do() -> None:
    pod = daemon_set()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (UID, UID)
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert f"--config={CONFIG_DIR}/config.yaml" in container["args"]
    assert "command" not in container
    image = (DEPLOY / "Dockerfile").read_text()
    assert f"USER {UID}:{UID}\n" in image
    assert f'ENTRYPOINT ["/opt/kube-iam/bin/{PROGRAM.name}"]\n' in image
