"""Connections of commands to the API server: Python's own HTTP client, compared with that of httpx2, which serves proxies."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import botocore
import httpx2
import pytest

from https_server import HttpsServer, Request
from kube_iam.errors import KubeIamError, Unreachable
from kube_iam.kube import client as client_module
from kube_iam.kube.client import KubeApi
from kube_iam.kube.transport import DirectTransport

OWN: dict[str, str] = {}
OF_HTTPX2 = {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1"}
REVIEW = json.dumps({"status": {"userInfo": {"username": "alice", "groups": ["team"]}}}).encode()


class ApiServer:
    """Answers every request with `answer`. `requests` are those that arrived, `connections` those that they came on."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.answer: tuple[int, dict[str, str], bytes] = (201, {"content-type": "application/json"}, REVIEW)
        self.requests: list[Request] = []
        self.connections: set[threading.Thread] = set()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.server = HttpsServer(directory, self._answer)

    def _answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        self.requests.append(request)
        self.connections.add(threading.current_thread())  # the server has a thread for each
        self.may_answer.wait(30)
        return self.answer

    def kubeconfig(self, directory: Path, *, authority: Path | None = None, url: str = "") -> str:
        trusted = base64.b64encode((authority or self.server.ca).read_bytes()).decode()
        server = url or f"https://{self.server.authority}"
        config = {
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": trusted}}],
            "users": [{"name": "u", "user": {"token": "t0ken"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (directory / "kubeconfig").write_text(json.dumps(config))
        return str(directory / "kubeconfig")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    served = ApiServer(tmp_path / "server")
    yield served
    served.may_answer.set()
    served.server.stop()


@pytest.fixture(params=[OWN, OF_HTTPX2], ids=["own", "httpx2"])
def environ(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return an environment with or without a proxy that is not used, in which one of the two clients is taken."""
    found: dict[str, str] = request.param
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def api(server: ApiServer, tmp_path: Path, environ: dict[str, str]) -> KubeApi:
    found = KubeApi(environ=environ, kubeconfig=server.kubeconfig(tmp_path))
    own = isinstance(found.client()._client._client._transport, DirectTransport)
    assert own is (environ == OWN)
    return found


def failure(found: KubeApi) -> KubeIamError:
    with pytest.raises(KubeIamError) as caught:
        found.whoami()
    assert "t0ken" not in repr(caught.value)
    return caught.value


def test_requests_and_answers_are_the_same(server: ApiServer, tmp_path: Path, environ: dict[str, str]) -> None:
    found = api(server, tmp_path, environ)
    assert found.whoami().username == "alice"
    asked = server.requests[0]
    assert (asked.method, asked.target) == (
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews?fieldManager=kube-iam",
    )
    assert asked.headers["authorization"] == "Bearer t0ken"
    assert asked.headers["host"] == server.server.authority
    assert json.loads(asked.body)["kind"] == "SelfSubjectReview"
    server.answer = (201, {"content-type": "application/json", "content-encoding": "gzip"}, gzip.compress(REVIEW))
    assert found.whoami().groups == ("team",)


def test_one_connection_serves_calls_one_after_another(
    server: ApiServer, tmp_path: Path, environ: dict[str, str]
) -> None:
    found = api(server, tmp_path, environ)
    for _ in range(3):
        found.whoami()
    assert len(server.connections) == 1


def test_threads_have_connections_of_their_own(server: ApiServer, tmp_path: Path, environ: dict[str, str]) -> None:
    found = api(server, tmp_path, environ)
    server.may_answer.clear()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(found.whoami) for _ in range(4)]
        while len(server.requests) < 4:
            threading.Event().wait(0.01)
        server.may_answer.set()
        assert [each.result().username for each in asked] == ["alice"] * 4
    assert len(server.connections) == 4


def test_a_connection_that_the_server_closed_is_not_used_again(
    server: ApiServer, tmp_path: Path, environ: dict[str, str]
) -> None:
    found = api(server, tmp_path, environ)
    server.answer = (201, {"content-type": "application/json", "connection": "close"}, REVIEW)
    for _ in range(2):
        found.whoami()
    assert len(server.connections) == 2
    found.close()
    assert found.whoami().username == "alice"


def test_a_server_of_another_authority_is_sent_no_credentials(
    server: ApiServer, tmp_path: Path, environ: dict[str, str]
) -> None:
    public = (Path(botocore.__file__).parent / "cacert.pem").read_text()
    (tmp_path / "other.pem").write_text(
        public[public.index("-----BEGIN") : public.index("-----END")] + "-----END CERTIFICATE-----\n"
    )
    file = server.kubeconfig(tmp_path, authority=tmp_path / "other.pem")
    error = failure(KubeApi(environ=environ, kubeconfig=file))
    assert isinstance(error, Unreachable)
    assert "no trusted connection" in error.message
    assert "certificate" in error.message
    assert server.requests == []


def test_a_server_of_another_name_is_sent_no_credentials(
    server: ApiServer, tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    file = server.kubeconfig(tmp_path, url=f"https://127.0.0.2:{server.server.port}")
    error = failure(KubeApi(environ=environ, kubeconfig=file))
    assert isinstance(error, Unreachable)
    assert server.requests == []


def test_a_server_that_is_not_there_is_named(server: ApiServer, tmp_path: Path, environ: dict[str, str]) -> None:
    error = failure(KubeApi(environ=environ, kubeconfig=server.kubeconfig(tmp_path, url="https://127.0.0.1:1")))
    assert isinstance(error, Unreachable)
    assert "https://127.0.0.1:1 cannot be reached" in error.message
    assert "refused" in error.message.lower()


def test_an_answer_that_does_not_come_in_time_is_an_error(
    server: ApiServer, tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "READ_TIMEOUT", 0.2)
    server.may_answer.clear()
    error = failure(api(server, tmp_path, environ))
    assert isinstance(error, Unreachable)
    assert "does not answer in time" in error.message


def test_a_connection_that_breaks_is_an_error(server: ApiServer, tmp_path: Path, environ: dict[str, str]) -> None:
    server.answer = (0, {}, b"")
    error = failure(api(server, tmp_path, environ))
    assert isinstance(error, Unreachable)
    assert "cannot be reached" in error.message


def test_no_key_of_the_client_is_left_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """lightkube writes certificate and key into files, since OpenSSL reads nothing else. Commands end without any clean-up."""
    import tempfile

    left = tmp_path / "temporary"
    left.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(left))
    served = ApiServer(tmp_path / "server")
    try:
        file = Path(served.kubeconfig(tmp_path))
        config = json.loads(file.read_text())
        pair = {"client-certificate": served.server.ca, "client-key": served.server.ca.parent / "key.pem"}
        config["users"][0]["user"] |= {
            f"{name}-data": base64.b64encode(path.read_bytes()).decode() for name, path in pair.items()
        }
        file.write_text(json.dumps(config))
        found = KubeApi(environ={}, kubeconfig=str(file))
        assert found.whoami().username == "alice"
        assert list(left.iterdir()) == []
    finally:
        served.server.stop()


def test_own_transport_raises_errors_of_httpx2(server: ApiServer) -> None:
    import ssl

    transport = DirectTransport(ssl.create_default_context(), connect_seconds=1, read_seconds=1)
    with pytest.raises(httpx2.ConnectError):
        transport.handle_request(httpx2.Request("GET", f"https://{server.server.authority}/"))
