"""The manifests that are printed are the ones in deploy/, and ask for no more than the server does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kube_iam.cli.root import run_command
from kube_iam.config.server import ServerConfig
from kube_iam.config.yaml_file import parse_yaml

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.parametrize("name", ["crd", "rbac"])
def test_what_is_printed_is_what_lies_in_deploy(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("kube-iam", ["manifest", name], {}) == 0
    assert capsys.readouterr().out == (DEPLOY / f"{name}.yaml").read_text()


def test_daemon_set_starts_the_new_server_before_it_stops_the_old_one() -> None:
    spec = yaml.safe_load((DEPLOY / "daemonset.yaml").read_text())["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    # A port of the container would be one of the host, which two pods may not have.
    assert all("ports" not in container for container in spec["template"]["spec"]["containers"])


def test_systemd_socket_is_the_port_that_the_server_has_by_default() -> None:
    units = [(DEPLOY / "systemd" / f"kube-iam.{kind}").read_text() for kind in ("socket", "service")]
    config = ServerConfig("c")
    assert f"ListenStream={config.address}:{config.port}\n" in units[0]
    assert "Requires=kube-iam.socket\n" in units[1]


def test_the_server_may_write_nothing_but_status_and_events() -> None:
    rules = []
    for text in (DEPLOY / "rbac.yaml").read_text().split("---\n"):
        document = parse_yaml(text, "rbac.yaml").data
        assert isinstance(document, dict)
        rules += document.get("rules", [])
    writing = {
        resource: sorted(set(rule["verbs"]) - {"get", "list", "watch"})
        for rule in rules
        for resource in rule["resources"]
    }
    assert writing == {
        "iamidentitymappings": [],
        "iamidentitymappings/status": ["patch", "update"],
        "configmaps": [],
        "events": ["create", "patch"],
    }
