"""`manifest values`: the values of the chart, and access files for which the chart has nothing to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_iam.cli.root import run_command
from kube_iam.errors import UsageError

ACCESS = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: demo, endpoint: "https://demo.example.com"}
account: "123456789012"
region: eu-central-1
mapping: MAPPING
levels: [{name: ops, bind: [{clusterRole: view}]}]
"""


def run(directory: Path, mapping: str, *options: str) -> None:
    (directory / "access.yaml").write_text(ACCESS.replace("MAPPING", mapping))
    assert run_command("kube-iam", ["manifest", "values", "-f", str(directory / "access.yaml"), *options], {}) == 0


@pytest.mark.parametrize(
    ("mapping", "config"),
    [
        ("{crd: {}}", {"clusterID": "demo", "server": {"backendMode": ["CRD"], "denyList": "security/denied"}}),
        ("{awsAuth: {}}", {"clusterID": "demo", "server": {"backendMode": ["EKSConfigMap"], "denyList": "security/denied"}}),
        ("{configFile: {name: own}}", {"create": False, "name": "own"}),
    ],
)  # fmt: skip
def test_server_finds_the_mapping(
    mapping: str, config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, mapping, "--deny-list", "security/denied")
    assert yaml.safe_load(capsys.readouterr().out) == {"region": "eu-central-1", "server": {"config": config}}


@pytest.mark.parametrize(
    ("mapping", "options", "message"),
    [
        ("{file: config.yaml}", (), "a file of this machine"),
        ("{configFile: {namespace: auth}}", (), "it mounts config.yaml of a ConfigMap in kube-system"),
        ("{configFile: {key: iam.yaml}}", (), "it mounts config.yaml of a ConfigMap in kube-system"),
        ("{accessEntries: {}}\nmembershipCheck: assumeRole", (), "no level has membershipCheck: rbac"),
        ("{awsAuth: {}}", ("--no-server",), "no level has membershipCheck: rbac"),
    ],
)
def test_chart_that_could_not_serve_is_refused(
    mapping: str, options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        run(tmp_path, mapping, *options)
