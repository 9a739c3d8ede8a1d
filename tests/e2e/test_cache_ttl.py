"""`--authentication-token-webhook-cache-ttl=0`, without the authorizer: kube-apiserver asks about a known token again and again."""

from __future__ import annotations

import http.client
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import closing

import pytest
from whole_sandbox import ROLE, Sandbox

from binaries import control_plane_binaries
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import CLUSTER_ID, LOOPBACK, Home
from kube_iam.sandbox.up import down, up

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("cache-ttl")]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("ttl") / "sandbox")
    try:
        made = Sandbox(home, up(home, os.environ, lambda _: None, cache_ttl_seconds=0, authorizer=False))
        made.administrator.works("kube-iam", "apply", "--yes")
        yield made
    finally:
        down(home)


def test_known_token_is_verified_again_and_refused_after_a_denial(sandbox: Sandbox) -> None:
    person = sandbox.member("zoe", "viewer")
    token = person.works("kube-iam", "token", "-i", CLUSTER_ID, "-r", f"{ROLE}viewer", "--token-only").strip()
    trust = ssl.create_default_context(cafile=str(sandbox.home.ca))
    log = sandbox.home.process("webhook").log

    def status() -> int:
        connection = http.client.HTTPSConnection(LOOPBACK, sandbox.state.api_port, timeout=30, context=trust)
        with closing(connection):
            connection.request("GET", "/api/v1/namespaces", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status

    def sign_ins() -> int:
        assert status() == 200
        return len(re.findall(r'msg="access granted".* session=zoe ', log.read_text()))

    before = sign_ins()
    assert wait_until(lambda: sign_ins() >= before + 2, 60)
    sandbox.administrator.works("kube-iam", "deny", "zoe", "--no-wait")
    assert wait_until(lambda: status() == 401, 60)
