"""A real kube-apiserver decides for which audiences a cluster's token is valid: its own, and no others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_sts import FakeSts, identity_answer
from running_server import SESSION_ARN, USER_ID, V1, RunningServer

from kube_iam.sandbox.api_server import ApiServer
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import BUILD_COMMAND, find_binaries, start_apiserver, start_etcd
from kube_iam.sandbox.state import Home
from required import missing

pytestmark = [pytest.mark.process, pytest.mark.control_plane, pytest.mark.xdist_group("audiences")]

ISSUER = "https://kubernetes.default.svc"
VAULT = "vault.example.com"


class Cluster:
    """A control plane whose token webhook is a server of ours. `start` starts kube-apiserver with further flags."""

    def __init__(self, directory: Path) -> None:
        self._binaries = find_binaries(os.environ) or missing("a kube-apiserver or etcd", BUILD_COMMAND)
        self._sts = FakeSts(directory / "sts")
        self._sts.play = lambda _: identity_answer(SESSION_ARN, USER_ID)
        self._server = RunningServer(directory, self._sts)
        self._home = Home(directory / "sandbox")
        self._home.create()
        self._authority = Authority(self._home.tls)
        self._api: ApiServer | None = None

    def __enter__(self) -> Cluster:
        self._server.start()
        self._etcd = start_etcd(self._home, self._authority, self._binaries)
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("kube-apiserver", "etcd"):
            self._home.process(name).stop()
        self._server.stop()
        self._sts.stop()

    def start(self, **flags: str) -> None:
        self._home.process("kube-apiserver").stop(1)
        webhook = self._server.directory / "kubeconfig.yaml"
        more = {name.replace("_", "-"): value for name, value in flags.items()}
        self._api = start_apiserver(
            self._home, self._authority, self._binaries, self._etcd, webhook=webhook, extra_args=more
        )

    def review(self, *audiences: str) -> dict[str, Any]:
        """Return the status of a TokenReview about a good token, as a service asks for it that checks these audiences."""
        assert self._api is not None
        spec = {"token": self._server.token(), **({"audiences": list(audiences)} if audiences else {})}
        question = {"apiVersion": V1, "kind": "TokenReview", "spec": spec}
        status, review = self._api.call("POST", f"/apis/{V1}/tokenreviews", question)
        assert status == 201, review
        return dict(review["status"])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("audiences")) as made:
        yield made


@pytest.fixture(scope="module", params=["default audiences", "--api-audiences"])
def own_audiences(request: pytest.FixtureRequest, cluster: Cluster) -> list[str]:
    """Return the audiences of kube-apiserver itself."""
    if request.param == "default audiences":
        cluster.start()
        return [ISSUER]
    cluster.start(api_audiences="api.prod.example.com,kubernetes")
    return ["api.prod.example.com", "kubernetes"]


def test_a_token_is_valid_for_the_api_servers_own_audiences(cluster: Cluster, own_audiences: list[str]) -> None:
    for asked in ((), own_audiences):
        status = cluster.review(*asked)
        assert status["authenticated"] is True
        assert status["user"]["username"] == "awsiam:alice@example.com"
        assert sorted(status["audiences"]) == sorted(own_audiences)


def test_a_token_is_not_valid_for_another_services_audience(cluster: Cluster, own_audiences: list[str]) -> None:
    status = cluster.review(VAULT)
    assert "authenticated" not in status
    assert not status.get("user")
    assert "audiences" not in status


def test_only_the_audiences_of_the_api_server_are_confirmed(cluster: Cluster, own_audiences: list[str]) -> None:
    status = cluster.review(VAULT, own_audiences[0])
    assert status["authenticated"] is True
    assert status["audiences"] == [own_audiences[0]]
