"""The control plane of the sandbox is a real one, and the stand-ins for what it lacks do what those would do."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from kube_iam.sandbox import mount
from kube_iam.sandbox.aggregation import CLUSTER_ROLES
from kube_iam.sandbox.processes import wait_until

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]


def test_its_kubeconfig_is_the_administrators(control_plane: Any) -> None:
    kubectl = str(Path(sys.executable).parent / "kubectl")
    command = [kubectl, "--kubeconfig", str(control_plane.kubeconfig), "auth", "whoami", "-o", "json"]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)
    assert said["status"]["userInfo"]["groups"] == ["system:masters", "system:authenticated"]
    assert control_plane.kubeconfig.stat().st_mode & 0o077 == 0


def test_the_roles_that_controllers_fill_are_filled(control_plane: Any) -> None:
    rules = {}
    for name in ("view", "edit", "admin"):
        status, role = control_plane.api.call("GET", f"{CLUSTER_ROLES}/{name}")
        assert status == 200
        rules[name] = role["rules"]
    configmaps = [rule for rule in rules["view"] if "configmaps" in rule.get("resources", [])]
    assert configmaps
    assert not any("secrets" in rule.get("resources", []) for rule in rules["view"])
    assert all(rule in rules["edit"] for rule in rules["view"])
    assert all(rule in rules["admin"] for rule in rules["edit"])


def test_the_mount_follows_the_config_map(control_plane: Any, tmp_path: Path) -> None:
    api, shown = control_plane.api, tmp_path / "config.yaml"
    one = f"{mount.CONFIG_MAPS}/{mount.NAME}"
    api.ensure(mount.CONFIG_MAPS, {"metadata": {"name": mount.NAME}, "data": {"config.yaml": "a"}})

    def keep_following() -> None:
        while not done.is_set():
            mount.follow(api, tmp_path)

    done = threading.Event()
    follower = threading.Thread(target=keep_following, daemon=True)
    follower.start()
    try:
        assert wait_until(lambda: shown.exists() and shown.read_text() == "a", 10)
        api.call("PUT", one, {"metadata": {"name": mount.NAME}, "data": {"config.yaml": "b", "other": "c"}})
        assert wait_until(lambda: shown.read_text() == "b", 10)
        assert (tmp_path / "other").read_text() == "c"
        api.call("DELETE", one)
        api.ensure(mount.CONFIG_MAPS, {"metadata": {"name": mount.NAME}, "data": {"config.yaml": "d"}})
        assert wait_until(lambda: shown.read_text() == "d", 10)
        assert wait_until(lambda: not (tmp_path / "other").exists(), 10)
    finally:
        done.set()
