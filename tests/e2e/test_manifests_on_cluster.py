"""A real kube-apiserver takes what deploy/ holds, and knows every field of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]
DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.parametrize("name", ["crd.yaml", "daemonset.yaml", "rbac.yaml"])
def test_a_manifest_is_accepted(control_plane: Any, name: str) -> None:
    kubectl = [str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(control_plane.kubeconfig)]
    apply = [*kubectl, "apply", "--dry-run=server", "--validate=strict", "-f", str(DEPLOY / name)]
    done = subprocess.run(apply, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("words", ["install talos --only config-map", "manifest server --secret kube-iam-tls"])
def test_printed_object_is_accepted(control_plane: Any, words: str) -> None:
    example = DEPLOY.parent / "examples" / "access.yaml"
    program = Path(sys.executable).parent
    options = ["--image", "registry.example.com/kube-iam:1", "-f", str(example)]
    text = subprocess.run([str(program / "kube-iam"), *words.split(), *options], capture_output=True, timeout=60).stdout
    kubectl = [str(program / "kubectl"), "--kubeconfig", str(control_plane.kubeconfig)]
    create = [*kubectl, "create", "--dry-run=server", "--validate=strict", "-f", "-"]
    done = subprocess.run(create, input=text, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"Warning" not in done.stderr
