"""Requests that are open when their user is denied, on a real kube-apiserver with the authorizer: what ends them.

The exec goes to a fake kubelet: it accepts the upgrade of the connection and sends all bytes back. kube-apiserver passes the bytes on.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from whole_sandbox import ROLE, Sandbox

from binaries import control_plane_binaries
from kube_iam.sandbox.state import CLUSTER_ID, LOOPBACK, Home
from kube_iam.sandbox.up import down, up
from loopback_pair import put_pair

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("open-streams")]
SECONDS = 3
"""`--min-request-timeout`: kube-apiserver ends a watch after this time, doubled at most. The default is 1800."""
WATCH = "/api/v1/namespaces/shop/configmaps?watch=1&fieldSelector=metadata.name%3Dnone"
EXEC = "/api/v1/namespaces/shop/pods/shell/exec?command=sh&stdin=true&stdout=true"
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"


class FakeKubelet:
    """A kubelet's port that upgrades each connection and sends back what it gets."""

    def __init__(self, directory: Path) -> None:
        put_pair(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        self._listening = context.wrap_socket(socket.create_server((LOOPBACK, 0)), server_side=True)
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: ssl.SSLSocket) -> None:
        with suppress(OSError), connection:
            head_of(connection)
            connection.sendall(UPGRADED)
            while data := connection.recv(4096):
                connection.sendall(data)

    def stop(self) -> None:
        self._listening.close()


def head_of(connection: ssl.SSLSocket) -> str:
    """Return a request or a response up to its empty line."""
    found = b""
    while not found.endswith(b"\r\n\r\n"):
        data = connection.recv(1)
        if not data:
            break
        found += data
    return found.decode()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("streams") / "sandbox")
    try:
        made = Sandbox(home, up(home, os.environ, lambda _: None, cache_ttl_seconds=120))
        made.administrator.works("kube-iam", "apply", "--yes")
        made.restart_api_server(f"--min-request-timeout={SECONDS}")
        yield made
    finally:
        down(home)


@pytest.fixture(scope="module")
def pod(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the name of a pod whose node is a fake kubelet."""
    kubelet = FakeKubelet(tmp_path_factory.mktemp("kubelet") / "pair")
    try:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fake"}}
        status = {
            "addresses": [{"type": "InternalIP", "address": LOOPBACK}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
        }
        spec = {"nodeName": "fake", "containers": [{"name": "shell", "image": "registry.example.com/shell:1"}]}
        shell = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shell", "namespace": "shop"}, "spec": spec}
        administrator = sandbox.administrator
        administrator.works("kubectl", "create", "-f", "-", stdin=json.dumps(node))
        patch = ("patch", "node", "fake", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        administrator.works("kubectl", *patch)
        administrator.run("kubectl", "-n", "shop", "create", "serviceaccount", "default")
        administrator.works("kubectl", "create", "-f", "-", stdin=json.dumps(shell))
        yield "shell"
    finally:
        kubelet.stop()


def known_token(sandbox: Sandbox, name: str) -> str:
    """Return the token of a new developer."""
    person = sandbox.member(name, "developer")
    return person.works("kube-iam", "token", "-i", CLUSTER_ID, "-r", f"{ROLE}developer", "--token-only").strip()


def watch(sandbox: Sandbox, token: str, more: str = "") -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
    trust = ssl.create_default_context(cafile=str(sandbox.home.ca))
    connection = http.client.HTTPSConnection(LOOPBACK, sandbox.state.api_port, timeout=60, context=trust)
    connection.request("GET", WATCH + more, headers={"Authorization": f"Bearer {token}"})
    return connection, connection.getresponse()


def execute(sandbox: Sandbox, token: str) -> tuple[ssl.SSLSocket, str]:
    """Ask for an exec as kubectl does. Return the connection and the status line of the answer."""
    trust = ssl.create_default_context(cafile=str(sandbox.home.ca))
    plain = socket.create_connection((LOOPBACK, sandbox.state.api_port), timeout=60)
    connection = trust.wrap_socket(plain, server_hostname=LOOPBACK)
    lines = (
        f"POST {EXEC} HTTP/1.1",
        f"Host: {LOOPBACK}:{sandbox.state.api_port}",
        f"Authorization: Bearer {token}",
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        "X-Stream-Protocol-Version: v4.channel.k8s.io",
        "Content-Length: 0",
    )
    connection.sendall("\r\n".join((*lines, "", "")).encode())
    return connection, head_of(connection).partition("\r\n")[0]


def says(connection: ssl.SSLSocket, text: bytes) -> bytes:
    """Send bytes. Return what comes back."""
    connection.sendall(text)
    return connection.recv(len(text))


@pytest.mark.parametrize("command", [("deny", "wanda"), ("revoke", "wilma", "developer")])
def test_open_watch_ends_at_its_timeout_and_the_next_one_is_refused(sandbox: Sandbox, command: tuple[str, ...]) -> None:
    token = known_token(sandbox, command[1])
    connection, response = watch(sandbox, token)
    with closing(connection):
        assert response.status == 200
        sandbox.administrator.works("kube-iam", *command)
        # kube-apiserver ends it, without an error. Nothing else does.
        assert response.read() == b""
    connection, response = watch(sandbox, token)
    with closing(connection):
        assert response.status == 403


def test_open_watch_with_a_timeout_of_its_client_outlives_that_of_the_flag(sandbox: Sandbox) -> None:
    token = known_token(sandbox, "wolf")
    usual, own = watch(sandbox, token), watch(sandbox, token, "&timeoutSeconds=3600")
    with closing(usual[0]), closing(own[0]):
        sandbox.administrator.works("kube-iam", "deny", "wolf")
        assert usual[1].read() == b""
        sandbox.administrator.works("kubectl", "-n", "shop", "create", "configmap", "none")
        assert json.loads(own[1].readline())["object"]["metadata"]["name"] == "none"


def test_open_exec_goes_on_after_a_denial_until_kube_apiserver_restarts(sandbox: Sandbox, pod: str) -> None:
    token = known_token(sandbox, "xenia")
    connection, status = execute(sandbox, token)
    with connection:
        assert " 101 " in status
        assert says(connection, b"before") == b"before"
        assert "xenia is out" in sandbox.administrator.works("kube-iam", "deny", "xenia")
        assert says(connection, b"after") == b"after"
        other, refused = execute(sandbox, token)
        with other:
            assert " 403 " in refused
        sandbox.administrator.works("kubectl", "-n", "shop", "delete", "pod", pod, "--force", "--grace-period=0")
        assert says(connection, b"no kubelet") == b"no kubelet"
        sandbox.restart_api_server()
        with suppress(ConnectionError):
            assert connection.recv(1) == b""
