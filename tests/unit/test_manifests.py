"""The manifests that are printed are the ones in deploy/, and ask for no more than the server does."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from kube_iam.cli.manifest import command
from kube_iam.config.yaml_file import parse_yaml

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.parametrize("name", ["crd", "rbac"])
def test_what_is_printed_is_what_lies_in_deploy(name: str) -> None:
    assert CliRunner().invoke(command, [name]).output == (DEPLOY / f"{name}.yaml").read_text()


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
