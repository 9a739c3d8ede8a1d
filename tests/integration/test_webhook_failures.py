"""Messages of `deny` if a real kube-apiserver cannot call the kube-iam server: one message and remedy for each fault."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from binaries import control_plane_binaries
from kube_iam.denylist.prober import HERE, Prober
from kube_iam.errors import KubeError, KubeIamError, Unreachable
from kube_iam.kube.client import KubeApi
from kube_iam.sandbox import certificates
from kube_iam.sandbox.certificates import Authority, Pair
from kube_iam.sandbox.control_plane import start_control_plane
from kube_iam.sandbox.state import Home
from kube_iam.sandbox.up import down

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("webhook-failures")]

Answer = Callable[[BaseHTTPRequestHandler], tuple[int, str, bytes] | None]


def answer(status: int, body: bytes = b"{}", kind: str = "application/json") -> Answer:
    return lambda _: (status, kind, body)


@dataclass(frozen=True)
class Site:
    """A kube-apiserver whose webhook stands at `port`, and who signs certificates that it trusts."""

    authority: Authority
    port: int
    prober: Prober

    @contextmanager
    def webhook(self, certificate: Pair | None, answers: Answer) -> Iterator[None]:
        """Something that answers at the webhook's address; without a certificate it speaks plain HTTP."""
        server = _Server(("127.0.0.1", self.port), _handler(answers))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    def error(self) -> KubeIamError:
        """Return the error of a question to the server."""
        with pytest.raises((KubeError, Unreachable)) as raised:
            self.prober.ask(HERE, "denial")
        return raised.value


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the test."""


def _handler(answers: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):  # HTTP/1.0: no connection is kept for the next test
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            said = answers(self)
            if said is None:
                return
            status, kind, body = said
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    binaries = control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("webhook-failures") / "sandbox")
    home.create()
    authority = Authority(home.tls)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    webhook = home.tls / "webhook.yaml"
    webhook.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: webhook\n"
        f"clusters: [{{name: webhook, cluster: {{server: 'https://127.0.0.1:{port}/authenticate',"
        f" certificate-authority: '{authority.path}'}}}}]\n"
        "users: [{name: kube-apiserver}]\n"
        "contexts: [{name: webhook, context: {cluster: webhook, user: kube-apiserver}}]\n"
    )
    try:
        start_control_plane(home, authority, binaries, webhook=webhook)
        yield Site(authority, port, Prober(KubeApi(environ=os.environ, kubeconfig=str(home.kubeconfig))))
    finally:
        down(home)


@pytest.fixture
def trusted(site: Site) -> Pair:
    return site.authority.server("webhook", ["127.0.0.1"])


def test_a_stopped_server_is_one_that_does_not_answer(site: Site) -> None:
    error = site.error()
    assert "nothing answers at its address" in error.message
    assert "start the server" in error.hint


def test_a_certificate_of_another_authority_is_not_trusted(site: Site, tmp_path: Path) -> None:
    with site.webhook(Authority(tmp_path).server("webhook", ["127.0.0.1"]), answer(200)):
        error = site.error()
    assert "does not trust the server's certificate" in error.message
    assert "generateKubeconfig" in error.hint


def test_an_expired_certificate_is_to_be_renewed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_LIFETIME", timedelta(minutes=-30))
    with site.webhook(site.authority.server("expired", ["127.0.0.1"]), answer(200)):
        error = site.error()
    assert "has expired" in error.message
    assert "renew the server's certificate" in error.hint
    assert "clock" in error.hint


@pytest.mark.parametrize("host", ["webhook.example", "127.0.0.2"])
def test_a_certificate_of_another_name_leads_to_the_hostname(host: str, site: Site) -> None:
    with site.webhook(site.authority.server("other-name", [host]), answer(200)):
        error = site.error()
    assert "another name or address" in error.message
    assert "server.hostname" in error.hint


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_an_answer_with_an_error_leads_to_the_servers_log(status: int, site: Site, trusted: Pair) -> None:
    with site.webhook(trusted, answer(status, b"no such host, certificate, EOF", "text/plain")):
        error = site.error()
    assert "it answers with an error" in error.message
    assert "repeat the command" in error.hint
    assert "log" in error.hint
    assert "no such host" not in f"{error.message} {error.hint}"


@pytest.mark.parametrize(
    "answers",
    [
        answer(401),
        answer(404),
        answer(200, b"<html>", "text/html"),
        answer(200, b"{{"),
        answer(200, b'{"kind":"Pod","apiVersion":"v1"}'),
    ],
    ids=["401", "404", "html", "no JSON", "another kind"],
)
def test_something_other_than_the_server_leads_to_its_address(answers: Answer, site: Site, trusted: Pair) -> None:
    with site.webhook(trusted, answers):
        error = site.error()
    assert "something other than the server answers" in error.message
    assert "--authentication-token-webhook-config-file" in error.hint


def test_plain_http_is_told_from_a_certificate_that_is_not_trusted(site: Site) -> None:
    with site.webhook(None, answer(200)):
        error = site.error()
    assert "something without TLS answers" in error.message


def test_a_connection_that_is_cut_has_no_answer(site: Site, trusted: Pair) -> None:
    with site.webhook(trusted, lambda _: None):
        assert "nothing answers at its address" in site.error().message


def test_a_server_that_says_no_has_no_deny_list(site: Site, trusted: Pair) -> None:
    said = b'{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":{"authenticated":false}}'
    with site.webhook(trusted, answer(200, said)):
        error = site.error()
    assert "no kube-iam server with a deny list answers" in error.message


def test_a_server_that_never_answers_leads_to_its_log(site: Site, trusted: Pair) -> None:
    ended = threading.Event()

    def never(_: BaseHTTPRequestHandler) -> None:
        ended.wait()

    with site.webhook(trusted, never):
        try:
            error = site.error()
        finally:
            ended.set()
    assert "does not answer in time" in error.message
    assert "log" in error.hint
