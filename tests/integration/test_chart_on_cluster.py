"""The chart and the Kustomize files on a real kube-apiserver: it takes every object, and an uninstalled release leaves none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chart import CHART, EVERYTHING, IMAGE, Chart

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]
EXAMPLES = CHART.parents[1] / "examples"
SELECTED = "app.kubernetes.io/instance=kube-iam"
MONITORING = {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"}


class Kubectl:
    """kubectl as the administrator of the control plane."""

    def __init__(self, kubeconfig: Path) -> None:
        self._command = [str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(kubeconfig)]

    def works(self, *args: str | Path, stdin: str = "") -> str:
        """Run a command that has to succeed and to warn of nothing. Return what it prints."""
        command = [*self._command, *map(str, args)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        return done.stdout

    def names(self, selector: str) -> set[str]:
        """Return the objects of all kinds of the chart with these labels, as kind/name."""
        kinds = "ds,deploy,cm,sa,svc,clusterrole,clusterrolebinding,role,rolebinding,pdb,netpol"
        found = self.works("get", f"{kinds},{','.join(MONITORING.values())}", "-A", "-l", selector, "-o", "json")
        return {f"{each['kind']}/{each['metadata']['name']}" for each in json.loads(found)["items"]}


@pytest.fixture(scope="module")
def kubectl(control_plane: Any) -> Iterator[Kubectl]:
    """Yield kubectl on a cluster with CRDs that stand in for those of the Prometheus operator: they take any field."""
    made = Kubectl(control_plane.kubeconfig)
    for kind, plural in MONITORING.items():
        made.works("apply", "-f", "-", stdin=json.dumps(_crd(kind, plural)))
        made.works("wait", "--for=condition=Established", f"crd/{plural}.monitoring.coreos.com", "--timeout=60s")
    yield made
    for plural in MONITORING.values():
        made.works("delete", "crd", f"{plural}.monitoring.coreos.com")


def _crd(kind: str, plural: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": plural, "singular": plural[:-1]}
    spec = {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]}
    metadata = {"name": f"{plural}.monitoring.coreos.com"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }


def test_every_object_is_applied_by_the_server(chart: Chart, kubectl: Kubectl) -> None:
    rendered = chart.works("template", "kube-iam", CHART, values=EVERYTHING)
    apply = ("apply", "--server-side", "--dry-run=server", "--validate=strict")
    assert kubectl.works(*apply, "-f", "-", stdin=rendered).count("serverside-applied") == rendered.count("\nkind: ")


@pytest.mark.parametrize("folder", ["examples/kustomize", "deploy/chart/sync", "deploy/chart/monitoring"])
def test_kustomize_files_are_applied_by_the_server(kubectl: Kubectl, folder: str) -> None:
    apply = ("apply", "--server-side", "--dry-run=server", "--validate=strict")
    assert "serverside-applied" in kubectl.works(*apply, "-k", CHART.parents[1] / folder)


def test_release_is_installed_upgraded_and_uninstalled(chart: Chart, kubectl: Kubectl, control_plane: Any) -> None:
    release = ("kube-iam", "--kubeconfig", control_plane.kubeconfig)
    values = {**EVERYTHING, "image": {"repository": IMAGE}}
    # Other tests share the cluster, and its CRD.
    chart.works("install", *release, CHART, "--skip-crds", values=values)
    installed = kubectl.names(SELECTED)
    assert {"DaemonSet/aws-iam-authenticator", "Deployment/kube-iam-sync", "NetworkPolicy/kube-iam-sync"} <= installed
    try:
        off = {**values, "sync": {"enabled": False}}
        chart.works("upgrade", *release, CHART, "--skip-crds", values=off)
        left = kubectl.names(SELECTED)
        assert left < installed
        assert not {each for each in left if "sync" in each}
        chart.works("rollback", *release, "1", values={})
        assert kubectl.names(SELECTED) == installed
    finally:
        chart.works("uninstall", *release, values={})
    assert kubectl.names(SELECTED) == set()
