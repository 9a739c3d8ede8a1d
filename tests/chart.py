"""The Helm chart of deploy/chart, with the real helm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "deploy" / "chart"
IMAGE = "registry.example.com/kube-iam"
RULE = {"apiGroups": ["rbac.authorization.k8s.io"], "verbs": ["patch"]}
EVERYTHING: Mapping[str, Any] = {
    "image": {"repository": IMAGE},
    "region": "eu-central-1",
    "server": {
        "config": {
            "clusterID": "demo.example.com",
            "server": {"backendMode": ["CRD", "EKSConfigMap"], "address": "0.0.0.0"},
        }
    },
    "sync": {
        "enabled": True,
        "networkPolicy": {"enabled": True},
        "rules": {
            "cluster": [{**RULE, "resources": ["clusterrolebindings"], "resourceNames": ["kube-iam:ops:view"]}],
            "namespaces": {
                "default": [{**RULE, "resources": ["rolebindings"], "resourceNames": ["kube-iam:ops:edit"]}]
            },
        },
    },
    "monitoring": {
        "labels": {"release": "prometheus"},
        "serviceMonitor": {"sync": True, "server": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
}
"""Values that render every object of the chart."""

Manifest = dict[str, Any]


class Chart:
    """The chart, as a helm renders it."""

    def __init__(self, helm: Path) -> None:
        self._helm = helm

    def run(self, *args: str | Path, values: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run helm with these values, which are in no file."""
        command = [str(self._helm), *map(str, args), *(("--values", "-") if values else ())]
        return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60)

    def works(self, *args: str | Path, values: Mapping[str, Any]) -> str:
        """Run a command of helm that has to succeed. Return what it prints."""
        done = self.run(*args, values=values)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def objects(self, values: Mapping[str, Any], *args: str) -> list[Manifest]:
        """Return the rendered objects."""
        text = self.works("template", "kube-iam", CHART, *args, values=values)
        return [each for each in yaml.safe_load_all(text) if each]

    def refusal(self, values: Mapping[str, Any]) -> str:
        """Return the message of helm about values that it has to refuse."""
        done = self.run("template", "kube-iam", CHART, values=values)
        assert done.returncode != 0, done.stdout
        return done.stderr


def of_kind(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the one object of that kind and name."""
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found
