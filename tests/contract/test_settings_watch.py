from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from running_server import RunningServer, wait_until

from kube_iam.config.ec2 import Ec2Settings
from kube_iam.config.server import ServerConfig
from kube_iam.config.server_file import _SERVER_KEYS
from kube_iam.server.settings_watch import changed_settings

CONFIG = ServerConfig("cluster")


def test_a_changed_setting_is_named_and_what_is_in_force_stays(make_server: Callable[..., RunningServer]) -> None:
    server = make_server()
    server.start()
    text = server.config.read_text()
    assert "restart the server" not in server.log()
    changed = text.replace(f"port: {server.port}", "port: 4711").replace("clusterID: contract-test", "clusterID: other")
    server.config.write_text(changed)
    wait_until(lambda: "restart the server to use them" in server.log())
    line = next(line for line in server.log().splitlines() if "restart the server to use them" in line)
    assert 'settings="[clusterID port]"' in line
    assert server.request("GET", "/healthz").status == 200
    server.config.write_text(text)
    wait_until(lambda: "those in force again" in server.log())


def test_a_file_that_would_keep_the_server_from_starting_is_reported(make_server: Callable[..., RunningServer]) -> None:
    server = make_server()
    server.start()
    server.config.write_text(server.config.read_text().replace(f"port: {server.port}", "port: many"))
    wait_until(lambda: "the server would not start with it" in server.log())
    assert "server.port" in server.log()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"scrubbed_accounts": frozenset({"111122223333"})}, "scrubbedAccounts"),
        ({"state_dir": Path("/elsewhere")}, "stateDir"),
        ({"dynamic_file": Path("/x")}, "dynamicfilepath"),
        ({"ec2": Ec2Settings(qps=1)}, "ec2DescribeInstances* or sourceARN"),
        ({"reserved_prefixes": {"CRD": ("aws:",)}}, "reservedPrefixConfig"),
    ],
)
def test_settings_are_named_by_their_key(change: dict[str, Any], key: str) -> None:
    assert changed_settings(CONFIG, replace(CONFIG, **change)) == [key]


def test_the_prefixes_that_the_mounted_file_follows_need_no_restart() -> None:
    assert changed_settings(CONFIG, replace(CONFIG, reserved_prefixes={"MountedFile": ("aws:",)})) == []


def test_every_setting_has_its_key() -> None:
    for field in fields(ServerConfig):
        if field.name not in ("source", "ec2", "membership"):
            other: dict[str, Any] = {field.name: {"CRD": ()} if field.name == "reserved_prefixes" else 1}
            (key,) = changed_settings(CONFIG, replace(CONFIG, **other))
            assert key in ("clusterID", *_SERVER_KEYS)
