"""The chart and the Kustomize files: they render what deploy/*.yaml and `manifest sync` hold, and name metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart import CHART, EVERYTHING, IMAGE, Chart, Manifest, of_kind
from kube_iam.cli.root import run_command
from kube_iam.config.mappings import MAPPING_KEYS
from kube_iam.config.server_keys import SERVER_KEYS
from kube_iam.server.metrics import Histogram, Metrics
from kube_iam.sync.observer import SyncMetrics

DEPLOY = CHART.parent
EXAMPLES = DEPLOY.parent / "examples"
EXISTING_CONFIG: dict[str, Any] = {"image": {"repository": IMAGE}, "server": {"config": {"create": False}}}
SYNCED = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: demo, endpoint: "https://demo.example.com"}
account: "123456789012"
region: eu-central-1
mapping: MAPPING
membershipCheck: rbac
levels:
  - name: ops
    bind: [{clusterRole: view}, {clusterRole: edit, namespaces: [shop, kube-system]}]
  - name: audit
    bind: [{role: reader, namespaces: [shop]}]
"""


def shipped(name: str) -> list[Manifest]:
    return list(yaml.safe_load_all((DEPLOY / f"{name}.yaml").read_text()))


def essence(each: Manifest) -> Any:
    """Return an object without what the chart adds to all: labels, the pull policy, no variables."""
    plain = json.loads(json.dumps(each))
    plain["metadata"].pop("labels", None)
    plain["rules"] = sorted(
        ({key: sorted(rule[key]) for key in sorted(rule)} for rule in plain.get("rules", ())), key=str
    )
    for container in plain.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
        container.pop("imagePullPolicy", None)
        if not container.get("env"):
            container.pop("env", None)
    return plain


def by_name(objects: list[Manifest]) -> dict[Any, Any]:
    return {
        (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")): essence(each) for each in objects
    }


@pytest.mark.parametrize("values", [EVERYTHING, EXISTING_CONFIG])
def test_chart_passes_lint(chart: Chart, values: dict[str, Any]) -> None:
    chart.works("lint", "--strict", CHART, values=values)


def test_server_is_that_of_the_plain_manifests(chart: Chart) -> None:
    """With a config.yaml that the chart does not know, rights and DaemonSet are those of deploy/*.yaml."""
    plain = by_name([*shipped("rbac"), *shipped("daemonset")])
    assert by_name(chart.objects(EXISTING_CONFIG)) == plain
    assert (CHART / "crds" / "crd.yaml").read_text() == (DEPLOY / "crd.yaml").read_text()


def test_certificate_can_be_in_a_secret_as_with_manifest_server(
    chart: Chart, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {**EXISTING_CONFIG, "server": {**EXISTING_CONFIG["server"], "stateSecret": "kube-iam-tls"}}
    (tmp_path / "access.yaml").write_text(SYNCED.replace("MAPPING", "{configFile: {}}"))
    command = ["manifest", "server", "--image", f"{IMAGE}:{kube_iam_version()}", "--secret", "kube-iam-tls"]
    assert run_command("kube-iam", [*command, "-f", str(tmp_path / "access.yaml")], {}) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    rendered = of_kind(chart.objects(values), "DaemonSet", "aws-iam-authenticator")
    assert essence(rendered) == essence(printed)


@pytest.mark.parametrize(
    ("settings", "names", "objects"),
    [
        ({"backendMode": ["MountedFile"], "denyList": ""}, {}, False),
        ({"backendMode": "EKSConfigMap", "denyList": ""}, {"kube-system": ["aws-auth"]}, False),
        ({"backendMode": ["CRD"], "denyList": "security/denied"}, {"security": ["denied"], "default": []}, True),
        ({"backendMode": ["CRD"], "denyList": "default/denied"}, {"default": ["denied"]}, True),
    ],
)
def test_server_gets_the_rights_of_its_settings_alone(
    chart: Chart, settings: dict[str, Any], names: dict[str, list[str]], objects: bool
) -> None:
    values = {"image": {"repository": IMAGE}, "server": {"config": {"clusterID": "c", "server": settings}}}
    rendered = chart.objects(values)
    found = {
        each["metadata"]["namespace"]: [name for rule in each["rules"] for name in rule.get("resourceNames", ())]
        for each in rendered
        if each["kind"] == "Role"
    }
    assert found == names
    assert any(each["kind"] == "ClusterRole" for each in rendered) == objects


@pytest.mark.parametrize("mapping", ["{crd: {}}", "{awsAuth: {}}", "{configFile: {}}", "{accessEntries: {}}"])
def test_sync_is_that_of_manifest_sync(
    chart: Chart, mapping: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "access.yaml").write_text(SYNCED.replace("MAPPING", mapping))
    file = ("-f", str(tmp_path / "access.yaml"))
    assert run_command("kube-iam", ["manifest", "values", *file], {}) == 0
    values = yaml.safe_load(capsys.readouterr().out)
    assert run_command("kube-iam", ["manifest", "sync", "--image", f"{IMAGE}:{kube_iam_version()}", *file], {}) == 0
    printed = by_name(list(yaml.safe_load_all(capsys.readouterr().out)))
    rendered = by_name(chart.objects({**values, "image": {"repository": IMAGE}}))
    assert {name: each for name, each in rendered.items() if name in printed} == printed
    others = {name for name in rendered if "sync" in name[1]} - set(printed)
    assert others == {("PodDisruptionBudget", "kube-iam-sync", "kube-system")}
    runs = ("DaemonSet", "aws-iam-authenticator", "kube-system") in rendered
    assert runs == ("accessEntries" not in mapping)


def kube_iam_version() -> str:
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"])


def test_chart_has_the_version_of_the_package() -> None:
    found = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (DEPLOY.parent / "pyproject.toml").read_text()
    assert f'version = "{found["version"]}"' in project
    assert found["version"] == found["appVersion"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image": {"repository": ""}}, "image.repository is empty: set it to the image that you built"),
        ({"server": {"config": {"clusterID": ""}}}, "server.config.clusterID is empty: set it to cluster.id"),
        ({"server": {"config": {"name": "aws-iam-authenticator"}}}, "helm upgrade would remove them"),
        ({"servers": {}}, "additional properties 'servers' not allowed"),
        ({"server": {"config": {"server": {"membershipRefresh": 15}}}}, "membershipRefresh': got number, want string"),
        ({"server": {"config": {"server": {"denylist": "a/b"}}}}, "additional properties 'denylist' not allowed"),
        ({"server": {"config": {"server": {"backendMode": ["Crd"]}}}}, "value must be one of 'MountedFile'"),
        (
            {"server": {"config": {"server": {"port": "https"}}}},
            "/server/config/server/port': got string, want integer",
        ),
        ({"server": {"config": {"server": {"address": "127.0.0.1"}}}}, "monitoring.serviceMonitor.server"),
        ({"sync": {"replicas": 0}}, "/sync/replicas': minimum: got 0, want 1"),
        ({"sync": {"denyList": "denied"}}, "/sync/denyList': 'denied' does not match pattern"),
        ({"sync": {"rules": {"cluster": [], "namespaces": None}}}, "sync.rules is empty"),
        (
            {"sync": {"rules": {"cluster": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}}},
            "/sync/rules/cluster/0': missing property 'resourceNames'",
        ),
        ({"region": ""}, "region is empty: the sync needs it"),
        ({"region": "Frankfurt"}, "/region': 'Frankfurt' does not match pattern"),
        ({"image": {"digest": "latest"}}, "/image/digest': 'latest' does not match pattern"),
    ],
)
def test_wrong_values_are_refused_by_their_names(chart: Chart, values: dict[str, Any], message: str) -> None:
    assert message in chart.refusal(merged(EVERYTHING, values))


def merged(base: Any, more: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(more, dict):
        return more
    return {**base, **{key: merged(base.get(key), value) for key, value in more.items()}}


def test_schema_knows_the_keys_of_the_server() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = set(schema["definitions"]["serverConfig"]["properties"])
    # The pod has one place of each kind, its own cluster, and no file beside config.yaml.
    fixed = {"stateDir", "generateKubeconfig", "kubeconfigPregenerated", "kubeconfig", "master", "stsEndpoint"}
    fixed |= {"dynamicfilepath", "dynamicfileUserIDStrict", "dynamicBackendModePath"}
    assert known == ({key.name for key in SERVER_KEYS} | set(MAPPING_KEYS)) - fixed


def test_chart_defaults_are_values_of_the_schema() -> None:
    """Every value of values.yaml stands in the schema, which refuses others."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for part in ("image", "server", "sync", "monitoring"):
        assert set(schema["properties"][part]["properties"]) == set(values[part])


def test_alerts_and_dashboard_name_metrics_that_exist() -> None:
    known: set[str] = set()
    for metric in (*Metrics().all(), *SyncMetrics().all()):
        parts = ("_bucket", "_sum", "_count") if isinstance(metric, Histogram) else ("",)
        known |= {metric.name + part for part in parts}
    panels = json.loads((CHART / "monitoring" / "dashboard.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    for file in ("server-alerts", "sync-alerts"):
        (group,) = yaml.safe_load((CHART / "monitoring" / f"{file}.yaml").read_text())["spec"]["groups"]
        expressions += [rule["expr"] for rule in group["rules"]]
    named = {name for each in expressions for name in re.findall(r"\b(?:kube_iam|aws_iam_authenticator)_\w+", each)}
    assert named - known == set()
    assert {"kube_iam_membership_age_seconds", "kube_iam_sync_leader"} <= named


def test_example_overlay_is_the_server_with_its_config() -> None:
    kubectl = str(Path(sys.executable).parent / "kubectl")
    done = subprocess.run([kubectl, "kustomize", EXAMPLES / "kustomize"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    pod = of_kind(objects, "DaemonSet", "aws-iam-authenticator")["spec"]["template"]["spec"]
    (config,) = (each for each in objects if each["kind"] == "ConfigMap")
    assert pod["volumes"][0]["configMap"]["name"] == config["metadata"]["name"]
    assert config["data"]["config.yaml"] == (EXAMPLES / "kustomize" / "config.yaml").read_text()
    names = {(each["kind"], each["metadata"]["name"]) for each in objects}
    assert {(each["kind"], each["metadata"]["name"]) for each in shipped("rbac")} <= names
