"""A cluster with the chart's own pod: its arguments, mounts, config.yaml and rights, and levels as IAMIdentityMapping objects."""

from __future__ import annotations

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
    kops_files,
    name_of,
    service_account,
    whoami,
)

from chart import CHART, IMAGE, Chart, Manifest, of_kind
from kube_iam.sandbox.processes import wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("chart")]
POD = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture(scope="module")
def objects(site: Site, chart: Chart, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """Apply the rendered chart with the values that `manifest values` prints. Return its objects."""
    state, kubeconfig = kops_files(site, tmp_path_factory.mktemp("node"))
    site.start_api_server(
        {
            "authentication-token-webhook-config-file": kubeconfig,
            "authentication-token-webhook-version": "v1",
            "authentication-token-webhook-cache-ttl": "1s",
        }
    )
    site.administrator.works("kubectl", "apply", "--server-side", "-f", CHART / "crds")
    # Established is not yet served: a list may be answered with "storage is (re)initializing".
    assert wait_until(lambda: site.administrator.run("kubectl", "get", IDENTITY_MAPPINGS).returncode == 0, 60)
    site.apply("crd: {}")
    values = yaml.safe_load(site.administrator.works("kube-iam", "manifest", "values"))
    if not CONTAINED:
        values["server"]["config"]["server"] |= {"port": site.port, "healthPort": site.health_port}
    rendered = chart.objects({**values, "image": {"repository": IMAGE}})
    site.administrator.works("kubectl", "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(rendered))
    pod = of_kind(rendered, "DaemonSet", "aws-iam-authenticator")["spec"]["template"]["spec"]
    pod["volumes"][1]["hostPath"]["path"] = str(state)
    return rendered


@pytest.fixture
def server(site: Site, objects: list[Manifest], tmp_path: Path) -> Iterator[Container]:
    """Yield the DaemonSet's pod."""
    pod = of_kind(objects, "DaemonSet", "aws-iam-authenticator")["spec"]["template"]["spec"]
    config, state = (_directory(volume, objects, tmp_path) for volume in pod["volumes"])
    mounts = {CONFIG_DIR: config, STATE_DIR: state, POD: service_account(site, tmp_path / "account", "kube-iam")}
    assert [f"{path}/" for path in list(mounts)[:2]] == [
        mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]
    ]
    assert pod["serviceAccountName"] == "kube-iam"
    assert pod["securityContext"]["runAsUser"] == UID
    inside = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(site.api.port)}
    inside |= {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    container = site.container(tmp_path, mounts)
    container = replace(container, environment={**container.environment, **inside})
    with site.running(container, pod["containers"][0]["args"]):
        yield container


def _directory(volume: dict[str, Any], objects: list[Manifest], directory: Path) -> Path:
    if "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    found = directory / "config"
    found.mkdir()
    for name, text in of_kind(objects, "ConfigMap", volume["configMap"]["name"])["data"].items():
        (found / name).write_text(text)
    return found


def test_person_signs_in_and_is_denied(site: Site, server: Container) -> None:
    kim, kubeconfig = site.member("kim", "developer"), site.kubeconfig("developer")
    user = whoami(kim, kubeconfig)
    assert user["username"] == "awsiam:kim", server.process.log.read_text()
    assert user["groups"] == ["kube-iam:developer", "system:authenticated"]
    # The deny list of the values is followed with the rights of the chart.
    site.administrator.works("kube-iam", "deny", "kim", "--reason", "test", "--cache-ttl", "1s")
    assert name_of(kim, kubeconfig) == ""
    site.administrator.works("kube-iam", "undeny", "kim")
    assert comes_in_as(kim, kubeconfig, "awsiam:kim")


def test_helm_upgrade_keeps_levels(site: Site, server: Container, objects: list[Manifest]) -> None:
    """The config.yaml of the chart holds no level, so that applying it again takes none away."""
    lea, kubeconfig = site.member("lea", "viewer"), site.kubeconfig("viewer")
    assert wait_until(lambda: name_of(lea, kubeconfig) == "awsiam:lea", 20), server.process.log.read_text()
    rendered = yaml.safe_dump_all(objects)
    site.administrator.works("kubectl", "apply", "--server-side", "-f", "-", stdin=rendered)
    assert name_of(lea, kubeconfig) == "awsiam:lea"
