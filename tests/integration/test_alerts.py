"""The alert rules of the chart, by promtool: they are valid, fire on what they are for, and are silent about a healthy server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart import CHART

SERVER = 'job="kube-iam", instance="node-1"'
HEALTHY = {
    f'kube_iam_membership_age_seconds{{{SERVER}, group="prod-ops"}}': "10x60",
    f'kube_iam_role_trust_invalid{{{SERVER}, role="prod-ops"}}': "0x60",
    f"kube_iam_deny_list_invalid_entries{{{SERVER}}}": "0x60",
    f"kube_iam_deny_list_watch_failures_total{{{SERVER}}}": "1x60",
    f'kube_iam_mapping_reload_failures_total{{{SERVER}, backend="CRD"}}': "1x60",
    f"kube_iam_certificate_not_after_timestamp_seconds{{{SERVER}}}": "31536000x60",
    'kube_iam_sync_leader{job="kube-iam-sync", instance="a"}': "1x60",
    'kube_iam_sync_leader{job="kube-iam-sync", instance="b"}': "0x60",
    'kube_iam_sync_write_failures_total{job="kube-iam-sync", instance="a"}': "3x60",
}
DAY = 86400


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one rule file with the groups of both PrometheusRules."""
    found = [
        group
        for name in ("server-alerts", "sync-alerts")
        for group in yaml.safe_load((CHART / "monitoring" / f"{name}.yaml").read_text())["spec"]["groups"]
    ]
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(json.dumps({"groups": found}))
    return path


def firing(promtool: Path, rules: Path, directory: Path, series: dict[str, str], alert: str, *, fires: bool) -> None:
    """Test with promtool whether the alert fires at minute 30, whatever its labels."""
    count = {"expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) > 0 or vector(0)', "eval_time": "30m"}
    tests = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [{**count, "exp_samples": [{"labels": "{}", "value": 1 if fires else 0}]}],
            }
        ],
    }
    (directory / "tests.yaml").write_text(json.dumps(tests))
    done = subprocess.run([promtool, "test", "rules", directory / "tests.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def alerts(rules: Path) -> list[str]:
    groups: list[Any] = json.loads(rules.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


def test_rules_are_valid(promtool: Path, rules: Path) -> None:
    done = subprocess.run([promtool, "check", "rules", rules], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(alerts(rules)) == {*(alert for alert, _, _ in FAULTS)}


def test_nothing_fires_while_all_is_well(promtool: Path, rules: Path, tmp_path: Path) -> None:
    for alert in alerts(rules):
        firing(promtool, rules, tmp_path, HEALTHY, alert, fires=False)


# The counters with labels appear with their first event: at minute 25 there is one.
FAULTS = [
    ("KubeIamMembershipOld", f'kube_iam_membership_age_seconds{{{SERVER}, group="prod-ops"}}', "0+60x60"),
    ("KubeIamRoleTrustInvalid", f'kube_iam_role_trust_invalid{{{SERVER}, role="prod-ops"}}', "1x60"),
    ("KubeIamDenyListInvalid", f"kube_iam_deny_list_invalid_entries{{{SERVER}}}", "2x60"),
    ("KubeIamDenyListNotFollowed", f"kube_iam_deny_list_watch_failures_total{{{SERVER}}}", "0+1x60"),
    ("KubeIamMappingNotLoaded", f'kube_iam_mapping_reload_failures_total{{{SERVER}, backend="CRD"}}', "_x24 1x35"),
    ("KubeIamMappingsEmptied", f'kube_iam_mappings_emptied_total{{{SERVER}, backend="CRD"}}', "_x24 1x35"),
    ("KubeIamMappingsEmptied", f'kube_iam_mappings_emptied_total{{{SERVER}, backend="CRD"}}', "1x24 2x35"),
    ("KubeIamCertificateEnds", f"kube_iam_certificate_not_after_timestamp_seconds{{{SERVER}}}", f"{20 * DAY}x60"),
    (
        "KubeIamStsUnreachable",
        f'aws_iam_authenticator_sts_connection_failures_total{{{SERVER}, StsRegion="eu-central-1"}}',
        "_x27 5x32",
    ),
    (
        "KubeIamConnectionsRefused",
        f'kube_iam_closed_connections_total{{{SERVER}, listener="webhook", reason="limit"}}',
        "_x24 1x35",
    ),
    ("KubeIamSyncStopped", 'kube_iam_sync_leader{job="kube-iam-sync", instance="a"}', "0x60"),
    ("KubeIamSyncStopped", 'kube_iam_sync_leader{job="kube-iam-sync", instance="a"}', "1x10"),
    ("KubeIamSyncWritesFail", 'kube_iam_sync_write_failures_total{job="kube-iam-sync", instance="a"}', "0+1x60"),
    (
        "KubeIamSyncMembershipOld",
        'kube_iam_membership_age_seconds{job="kube-iam-sync", instance="a", group="prod-ops"}',
        "0+60x60",
    ),
]


@pytest.mark.parametrize(("alert", "series", "values"), FAULTS)
def test_alert_fires_on_its_fault(
    promtool: Path, rules: Path, tmp_path: Path, alert: str, series: str, values: str
) -> None:
    healthy = {} if alert == "KubeIamSyncStopped" else HEALTHY
    firing(promtool, rules, tmp_path, {**healthy, series: values}, alert, fires=True)
