"""One whole sandbox with a real control plane for all end-to-end tests, its levels applied."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from whole_sandbox import Sandbox, missing

from kube_iam.sandbox.control_plane import BUILD_COMMAND, find_binaries
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import Home
from kube_iam.sandbox.up import down, up


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with a real kube-apiserver; nothing is applied yet."""
    if find_binaries(os.environ) is None:
        missing("a kube-apiserver or etcd", BUILD_COMMAND)
    home = Home(tmp_path_factory.mktemp("e2e") / "sandbox")
    try:
        yield Sandbox(home, up(home, os.environ, lambda _: None))
    finally:
        down(home)


@pytest.fixture(scope="session")
def levels(sandbox: Sandbox) -> Sandbox:
    """The sandbox with its three levels applied and taken up by the webhook."""
    sandbox.administrator.works("kube-iam", "apply", "--yes")
    log = sandbox.home.process("webhook").log
    assert wait_until(lambda: "entries=3" in log.read_text(), 10), log.read_text()
    return sandbox
