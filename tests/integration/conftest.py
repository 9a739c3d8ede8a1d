"""Parts of the sandbox as fixtures, started once per worker: an AWS account, and a real control plane."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from account_in_a_box import Account

from kube_iam.sandbox.api_server import ApiServer
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import BUILD_COMMAND, find_binaries, start_control_plane
from kube_iam.sandbox.state import Home
from kube_iam.sandbox.up import down, start_account


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The AWS account of a sandbox, with nothing else running."""
    home = Home(tmp_path_factory.mktemp("account") / "sandbox")
    home.create()
    try:
        yield Account(home, start_account(home, Authority(home.tls), lambda _: None))
    finally:
        down(home)


@dataclass(frozen=True)
class ControlPlane:
    """A real kube-apiserver with RBAC and no webhook; `kubeconfig` is its administrator's."""

    api: ApiServer
    kubeconfig: Path


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane for tests that talk to the Kubernetes API. Mark them xdist_group("control_plane"), so that one is enough."""
    binaries = find_binaries(os.environ)
    if binaries is None:
        reason = f"a kube-apiserver or etcd is missing: {BUILD_COMMAND}"
        if os.environ.get("KUBE_IAM_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    home = Home(tmp_path_factory.mktemp("control-plane") / "sandbox")
    home.create()
    try:
        yield ControlPlane(start_control_plane(home, Authority(home.tls), binaries), home.kubeconfig)
    finally:
        down(home)
