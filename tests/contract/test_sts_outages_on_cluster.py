"""Answers to kubectl, and calls of STS, through a real kube-apiserver while STS throttles, fails or does not answer."""

from __future__ import annotations

import http.client
import os
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_sts import Answer, Asked, FakeSts, error_answer, identity_answer
from running_server import SESSION_ARN, USER_ID, RunningServer, wait_until

from kube_iam.core.reasons import Reason
from kube_iam.sandbox.api_server import ApiServer
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import BUILD_COMMAND, find_binaries, start_apiserver, start_etcd
from kube_iam.sandbox.state import Home
from required import missing

pytestmark = [pytest.mark.process, pytest.mark.control_plane, pytest.mark.xdist_group("sts-outages")]

ADMIN = identity_answer(SESSION_ARN, USER_ID)
SIGNED_IN = 403
"""The user has no rights: authenticated, and not authorized."""
NOT_SIGNED_IN = 401


class Cluster:
    def __init__(self, server: RunningServer, sts: FakeSts, api: ApiServer, api_log: Path) -> None:
        self.server, self.sts, self.api_log, self._api = server, sts, api_log, api
        self._tokens = 0

    def sign_in(self, play: Callable[[Asked], Answer] | None = None) -> tuple[int, int]:
        """Send one request with a new token: its HTTP status, and how often STS was asked."""
        self.sts.play = play or self.sts.play
        self._tokens += 1
        token, before = self.server.token(key=f"ASIA{self._tokens:016}"), len(self.sts.asked)
        trust = ssl.create_default_context(cafile=str(self._api.ca))
        connection = http.client.HTTPSConnection("127.0.0.1", self._api.port, timeout=60, context=trust)
        try:
            connection.request("GET", "/api/v1/namespaces", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status, len(self.sts.asked) - before
        finally:
            connection.close()


def calls_of_one_attempt(fault: Answer) -> int:
    """Return how often STS is asked for one TokenReview: what fails at once is tried twice, throttling is not."""
    return 1 if fault.status == 429 else 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("outages")
    binaries = find_binaries(os.environ) or missing("a kube-apiserver or etcd", BUILD_COMMAND)
    sts = FakeSts(directory / "sts")
    server, home = RunningServer(directory, sts), Home(directory / "sandbox")
    home.create()
    authority = Authority(home.tls)
    try:
        server.start()
        etcd = start_etcd(home, authority, binaries)
        api = start_apiserver(home, authority, binaries, etcd, webhook=_kubeconfig(directory))
        yield Cluster(server, sts, api, home.process("kube-apiserver").log)
    finally:
        for name in ("kube-apiserver", "etcd"):
            home.process(name).stop()
        if server.process is not None:
            server.stop()
        sts.stop()


def _kubeconfig(directory: Path) -> Path:
    return directory / "kubeconfig.yaml"


def test_log_of_kube_apiserver_leads_to_the_line_of_our_log(cluster: Cluster) -> None:
    assert cluster.sign_in(lambda _: error_answer(403, "SignatureDoesNotMatch")) == (NOT_SIGNED_IN, 1)
    cause = (
        rf"Unable to authenticate the request.*{Reason.STS_SIGNATURE_MISMATCH.sentence}.*\(request ([0-9a-f]{{8}})\)"
    )
    wait_until(lambda: re.search(cause, cluster.api_log.read_text()))
    ids = re.findall(cause, cluster.api_log.read_text())
    wait_until(lambda: f" requestid={ids[-1]}" in cluster.server.log())
    (line,) = [line for line in cluster.server.log().splitlines() if f" requestid={ids[-1]}" in line]
    assert " reason=sts_signature_mismatch " in line


def test_working_sts_is_asked_once(cluster: Cluster) -> None:
    assert cluster.sign_in(lambda _: ADMIN) == (SIGNED_IN, 1)


@pytest.mark.parametrize(
    "answer", [error_answer(400, "Throttling"), Answer(503, b"Throttled by a gateway"), Answer(429)]
)
def test_throttling_sts_is_asked_five_times_at_most(cluster: Cluster, answer: Answer) -> None:
    status, asked = cluster.sign_in(lambda _: answer)
    assert status == NOT_SIGNED_IN
    assert asked <= 5


@pytest.mark.parametrize("fault", [Answer(0), Answer(500), Answer(429)])
def test_short_outage_with_quick_failures_ends_signed_in(cluster: Cluster, fault: Answer) -> None:
    cluster.sign_in(lambda _: ADMIN)  # the outage begins with this sign-in, not with those of other tests
    answers = iter([fault] * 3)
    assert cluster.sign_in(lambda _: next(answers, ADMIN))[0] == SIGNED_IN


@pytest.mark.parametrize("fault", [Answer(0), Answer(500), Answer(429)])
def test_lasting_outage_fails_a_sign_in_after_one_attempt_until_sts_is_back(cluster: Cluster, fault: Answer) -> None:
    wait_until(lambda: cluster.sign_in(lambda _: fault) == (NOT_SIGNED_IN, calls_of_one_attempt(fault)))
    assert cluster.sign_in(lambda _: ADMIN) == (SIGNED_IN, 1)


def test_silent_sts_is_asked_once_and_further_sign_ins_fail_without_a_call(cluster: Cluster) -> None:
    cluster.sts.may_answer.clear()
    cluster.sts.play = lambda _: ADMIN
    assert cluster.sign_in()[0] == NOT_SIGNED_IN
    signed = [asked for asked in cluster.sts.asked if "X-Amz-Signature" in asked.target]
    for _ in range(3):
        assert cluster.sign_in()[0] == NOT_SIGNED_IN
    assert [asked for asked in cluster.sts.asked if "X-Amz-Signature" in asked.target] == signed
    cluster.sts.may_answer.set()
    wait_until(lambda: "STS answers again" in cluster.server.log())
    assert cluster.sign_in()[0] == SIGNED_IN
