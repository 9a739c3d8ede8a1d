"""The authenticator as kOps runs it: arguments only, uid 10000, files that kOps made, an API server that speaks v1beta1.

The arguments, mounts, security context and probe are those of kOps's addon authentication.aws; the files on the node are those of
its nodeup.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from container import CONTAINED, UID, Container
from installed import (
    CONFIG_DIR,
    IDENTITY_MAPPINGS,
    STATE_DIR,
    Site,
    comes_in_as,
    identity_mapping,
    kops_files,
    mapping_status,
    mounted,
    name_of,
    service_account,
    whoami,
)
from whole_sandbox import ROLE

from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import CLUSTER_ID

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("kops")]
DEPLOY = Path(__file__).parents[2] / "deploy"
COMMON = [f"--state-dir={STATE_DIR}", "--kubeconfig-pregenerated=true"]
MOUNTED_FILE = ["server", f"--config={CONFIG_DIR}/config.yaml", *COMMON]
CRD = ["server", f"--cluster-id={CLUSTER_ID}", *COMMON, "--backend-mode=CRD"]
POD = "/var/run/secrets/kubernetes.io/serviceaccount"
OUTPUT_DIR = "/etc/kubernetes/aws-iam-authenticator"
only_contained = pytest.mark.skipif(not CONTAINED, reason="only root makes containers")


@pytest.fixture(scope="module")
def kops(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the node's state directory. kube-apiserver has kOps's one flag and a short cache. The levels are applied."""
    state, kubeconfig = kops_files(site, tmp_path_factory.mktemp("kops"))
    site.start_api_server(
        {
            "authentication-token-webhook-config-file": kubeconfig,
            "authentication-token-webhook-cache-ttl": "1s",
        }
    )
    site.put_config_map("aws-iam-authenticator", {"config.yaml": site.server_config()})
    site.apply("configFile: {}")
    return state


@pytest.fixture
def pod(site: Site, kops: Path, tmp_path: Path) -> Iterator[Container]:
    """kOps's default, the backend MountedFile."""
    with mounted(site, tmp_path / "config") as config:
        mounts = {CONFIG_DIR: config, STATE_DIR: kops, OUTPUT_DIR: kops}
        with site.running(site.container(tmp_path, mounts), MOUNTED_FILE) as container:
            yield container


def test_a_person_signs_in_with_kubectl(site: Site, pod: Container) -> None:
    alice = site.member("alice", "admin")
    user = whoami(alice, site.kubeconfig("admin"))
    assert user["username"] == "awsiam:alice", pod.process.log.read_text()
    assert user["groups"] == ["kube-iam:admin", "system:authenticated"]


def test_the_api_server_asked_in_v1beta1(site: Site, pod: Container) -> None:
    command = Path(f"/proc/{site.home.process('kube-apiserver').pid()}/cmdline").read_text()
    assert "--authentication-token-webhook-version" not in command


@only_contained
def test_it_needs_no_rights(pod: Container) -> None:
    status = pod.status()
    assert status["Uid"].split() == [str(UID)] * 4
    assert status["Gid"].split() == [str(UID)] * 4
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


@only_contained
def test_it_stays_within_the_memory_limit_that_we_recommend(site: Site, pod: Container) -> None:
    whoami(site.member("mia", "viewer"), site.kubeconfig("viewer"))
    peak = int(pod.status()["VmHWM"].split()[0])
    assert peak < memory_limit_kib(), f"{peak} KiB"


def memory_limit_kib() -> int:
    daemon_set: Any = yaml.safe_load((DEPLOY / "daemonset.yaml").read_text())
    limit = str(daemon_set["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"])
    assert limit.endswith("Mi")
    assert f"memoryLimit: {limit}" in (DEPLOY.parent / "docs" / "install.md").read_text()
    return int(limit.removesuffix("Mi")) * 1024


def test_a_change_of_the_config_map_is_taken_up(site: Site, pod: Container) -> None:
    bob, kubeconfig = site.member("bob", "viewer"), site.kubeconfig("viewer")
    assert name_of(bob, kubeconfig) == "awsiam:bob"
    _, before = site.api.call("GET", "/api/v1/namespaces/kube-system/configmaps/aws-iam-authenticator")
    text = before["data"]["config.yaml"]
    try:
        other = text.replace("awsiam:{{SessionNameRaw}}", "somebody:{{SessionNameRaw}}")
        site.put_config_map("aws-iam-authenticator", {"config.yaml": other})
        assert comes_in_as(bob, kubeconfig, "somebody:bob"), pod.process.log.read_text()
        site.put_config_map("aws-iam-authenticator", {"config.yaml": "server: ["})
        assert wait_until(lambda: "the last good ones stay in force" in pod.process.log.read_text(), 10), (
            pod.process.log.read_text()
        )
        assert name_of(bob, kubeconfig) == "somebody:bob"
        assert site.alive(site.authority.path)
    finally:
        site.put_config_map("aws-iam-authenticator", {"config.yaml": text})
    assert comes_in_as(bob, kubeconfig, "awsiam:bob")


def test_it_ends_within_five_seconds_of_sigterm(site: Site, pod: Container) -> None:
    pod.process.signal(signal.SIGTERM)
    assert wait_until(lambda: pod.process.pid() is None, 5)
    log = pod.process.log.read_text()
    assert "msg=stopped" in log
    assert "cut off" not in log
    assert not site.alive(site.authority.path)


@only_contained
def test_without_any_place_to_write_to_it_says_what_is_missing(site: Site, kops: Path, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(site.server_config())
    mounts = {CONFIG_DIR: tmp_path / "config", STATE_DIR: kops}
    container = site.container(tmp_path, mounts, memory=False)
    container.start(MOUNTED_FILE)
    assert wait_until(lambda: container.process.pid() is None, 30)
    assert "no directory for temporary files can be written" in container.process.log.read_text()
    assert "TMPDIR" in container.process.log.read_text()


@only_contained
def test_identity_mappings_serve_a_pod_that_has_no_config_file(site: Site, kops: Path, tmp_path: Path) -> None:
    """kOps's backendMode CRD: no ConfigMap; the cluster is the pod's own, and its rights are those of kOps's ClusterRole."""
    kubectl = ("kubectl", "apply", "-f")
    site.administrator.works(*kubectl, DEPLOY / "crd.yaml")
    site.administrator.works(*kubectl, "-", stdin=KOPS_RIGHTS)
    site.administrator.works("kubectl", "wait", "--for=condition=Established", f"crd/{IDENTITY_MAPPINGS}")
    carl = site.member("carl", "viewer")
    mounts = {STATE_DIR: kops, POD: service_account(site, tmp_path / "account", "aws-iam-authenticator")}
    container = site.container(tmp_path, mounts)
    inside = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(site.api.port)}
    container = replace(container, environment={**container.environment, **inside})
    with site.running(container, CRD):
        kubeconfig = site.kubeconfig("viewer")
        assert name_of(carl, kubeconfig) == ""
        site.administrator.works(
            *kubectl, "-", stdin=identity_mapping("viewers", f"{ROLE}viewer", "crd:{{SessionName}}")
        )
        assert comes_in_as(carl, kubeconfig, "crd:carl"), container.process.log.read_text()
        assert wait_until(lambda: mapping_status(site, "viewers").get("userID", "").startswith("AROA"), 10)
        assert mapping_status(site, "viewers")["canonicalARN"] == f"{ROLE}viewer".lower()
        site.administrator.works("kubectl", "delete", IDENTITY_MAPPINGS, "viewers")
        assert comes_in_as(carl, kubeconfig, "")


KOPS_RIGHTS = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: aws-iam-authenticator, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: aws-iam-authenticator}
rules:
- {apiGroups: [iamauthenticator.k8s.aws], resources: [iamidentitymappings], verbs: [get, list, watch]}
- {apiGroups: [iamauthenticator.k8s.aws], resources: [iamidentitymappings/status], verbs: [patch, update]}
- {apiGroups: [""], resources: [events], verbs: [create, update, patch]}
- {apiGroups: [""], resources: [configmaps], verbs: [list, watch]}
- {apiGroups: [""], resources: [configmaps], resourceNames: [aws-auth], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: aws-iam-authenticator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: aws-iam-authenticator}
subjects: [{kind: ServiceAccount, name: aws-iam-authenticator, namespace: kube-system}]
"""
