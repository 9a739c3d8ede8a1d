"""Error messages when the Kubernetes API refuses, is unreachable, or is something else."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fake_kube import FakeKube
from kube_iam.errors import Conflict, KubeError, KubeIamError, NotFound, Unreachable
from kube_iam.kube.client import KubeApi
from kube_iam.kube.cluster import KubeCluster
from kube_iam.kube.dry_run import DryRunApi
from kube_iam.kube.errors import MAX_TEXT, clean, status_of
from kube_iam.kube.kubeconfig import build_kubeconfig, dump
from kube_iam.kube.yaml.text import Value

TOKEN = "k8s-aws-v1.aHR0cHM6Ly9zdHM"


class Server:
    """Something that listens where an API server should, and says always the same."""

    def __init__(self) -> None:
        self.code, self.body, self.kind = 200, "", "application/json"
        self.seen: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                outer.seen.append(self.headers.get("Authorization", ""))
                self.send_response(outer.code)
                if outer.kind:
                    self.send_header("Content-Type", outer.kind)
                self.end_headers()
                self.wfile.write(outer.body.encode())

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def refuses(self, code: int, message: str, reason: str = "") -> None:
        self.code = code
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
        self.body = json.dumps({**status, "reason": reason})


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()
    server.thread.join()


def cluster_at(url: str, tmp_path: Path) -> KubeCluster:
    config: dict[str, Value] = {
        # Plain HTTP; without the second field each client loads the machine's authorities, for 30 ms.
        "clusters": [{"name": "c", "cluster": {"server": url, "insecure-skip-tls-verify": "true"}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "config").write_text(dump(config))
    return KubeCluster(KubeApi(environ={}, kubeconfig=str(tmp_path / "config")))


def failure(server: Server, tmp_path: Path) -> KubeIamError:
    with pytest.raises(KubeIamError) as caught:
        cluster_at(server.url, tmp_path).whoami()
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(caught.value)
    return caught.value


def test_forbidden_says_which_verb_on_which_resource_is_missing(server: Server, tmp_path: Path) -> None:
    server.refuses(
        403,
        'rolebindings.rbac.authorization.k8s.io is forbidden: User "bob" cannot list resource "rolebindings" '
        'in API group "rbac.authorization.k8s.io" in the namespace "shop"',
    )
    error = failure(server, tmp_path)
    assert isinstance(error, KubeError)
    assert (
        error.hint == "this user needs to be allowed to list rolebindings.rbac.authorization.k8s.io in namespace shop"
    )


def test_granting_more_than_one_holds_is_explained(server: Server, tmp_path: Path) -> None:
    server.refuses(403, 'user "bob" is attempting to grant RBAC permissions not currently held: {...}')
    assert "administrator" in failure(server, tmp_path).hint


def test_unauthorized_says_that_the_credentials_are_not_accepted(server: Server, tmp_path: Path) -> None:
    server.refuses(401, "Unauthorized")
    error = failure(server, tmp_path)
    assert isinstance(error, KubeError)
    assert "does not accept the credentials" in error.message
    assert server.url in error.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [(404, NotFound), (409, Conflict), (422, KubeError), (429, Unreachable), (500, KubeError), (503, Unreachable)],
)
def test_each_status_has_its_error_and_keeps_it(server: Server, tmp_path: Path, code: int, kind: type) -> None:
    server.refuses(code, "so it is")
    error = failure(server, tmp_path)
    assert type(error) is kind
    assert "so it is" in error.message
    assert status_of(error) == code


def test_long_answers_are_cut_and_credentials_in_them_removed(server: Server, tmp_path: Path) -> None:
    server.refuses(500, f"cannot review {TOKEN} Bearer abc.def eyJhbGciOiJSUzI1NiJ9.e30.sig " + "x" * 5000)
    error = failure(server, tmp_path)
    assert "abc.def" not in error.message
    assert "eyJ" not in error.message
    assert len(error.message) < MAX_TEXT + 200


@pytest.mark.parametrize("kind", ["text/html", "application/json", ""])
@pytest.mark.parametrize("code", [200, 403, 502])
@pytest.mark.parametrize("body", ["<html>sign in</html>", "[]", '"x"', "{}", "null"])
def test_something_other_than_an_api_server_is_told_apart(
    server: Server, tmp_path: Path, code: int, kind: str, body: str
) -> None:
    server.code, server.kind, server.body = code, kind, body
    with pytest.raises(KubeIamError) as caught:
        cluster_at(server.url, tmp_path).whoami()
    assert isinstance(caught.value, (KubeError, Unreachable))


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"https://127\.0\.0\.1:1"):
        cluster_at("https://127.0.0.1:1", tmp_path).whoami()


def test_plain_http_where_tls_is_expected_is_no_trusted_connection(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no trusted connection"):
        cluster_at(server.url.replace("http:", "https:"), tmp_path).whoami()


def test_an_url_that_is_none_is_said(tmp_path: Path) -> None:
    for url in ("https://[", "ftp://example.com", "no-url"):
        with pytest.raises(KubeIamError):
            cluster_at(url, tmp_path).whoami()


def test_clean_keeps_ordinary_text() -> None:
    assert clean('configmaps "aws-auth"\n  not found') == 'configmaps "aws-auth" not found'


PLUGIN = """\
import json, os, pathlib
count = pathlib.Path(os.environ["COUNT"])
count.write_text(count.read_text() + "x")
status = {"token": "token" + count.read_text(), "expirationTimestamp": "2026-01-01T00:10:00Z"}
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))
"""


def write_kubeconfig_with_plugin(url: str, tmp_path: Path) -> str:
    (tmp_path / "count").write_text("")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    config = build_kubeconfig(
        cluster_name="c",
        endpoint=url,
        ca_pem="",
        user_name="u",
        context_name="x",
        command=sys.executable,
        args=[str(tmp_path / "plugin.py")],
        env={"COUNT": str(tmp_path / "count")},
        api_version="client.authentication.k8s.io/v1",
        interactive_mode="Never",
        install_hint="",
    )
    (tmp_path / "config").write_text(dump(config))
    return str(tmp_path / "config")


TEN_MINUTES_PAST = 1767225600.0 + 600


def test_a_plugin_s_token_is_used_until_shortly_before_its_end(server: Server, tmp_path: Path) -> None:
    server.body = json.dumps({"kind": "SelfSubjectReview", "status": {"userInfo": {"username": "awsiam:alice"}}})
    kubeconfig = write_kubeconfig_with_plugin(server.url, tmp_path)
    times = iter([TEN_MINUTES_PAST - 500, TEN_MINUTES_PAST - 31, TEN_MINUTES_PAST - 29])
    cluster = KubeCluster(KubeApi(environ={}, kubeconfig=kubeconfig, clock=lambda: next(times)))
    assert [cluster.whoami().username for _ in range(4)] == ["awsiam:alice"] * 4
    assert server.seen == ["Bearer tokenx"] * 3 + ["Bearer tokenxx"]


def test_another_address_is_reached_with_one_kubeconfig_and_one_run_of_the_plugin(
    server: Server, tmp_path: Path
) -> None:
    server.body = json.dumps({"kind": "SelfSubjectReview", "status": {"userInfo": {"username": "awsiam:alice"}}})
    kubeconfig = write_kubeconfig_with_plugin("http://127.0.0.1:1", tmp_path)
    api = KubeApi(environ={}, kubeconfig=kubeconfig, clock=lambda: TEN_MINUTES_PAST - 500)
    others = [api.at(server.url), api.at(server.url)]
    assert [KubeCluster(other).whoami().username for other in others] == ["awsiam:alice"] * 2
    Path(kubeconfig).unlink()
    assert KubeCluster(api.at(server.url)).whoami().username == "awsiam:alice"
    assert server.seen == ["Bearer tokenx"] * 3
    assert (api.server, others[0].server) == ("http://127.0.0.1:1", server.url)


def test_threads_that_share_a_kubeconfig_run_its_plugin_once(server: Server, tmp_path: Path) -> None:
    server.body = json.dumps({"kind": "SelfSubjectReview", "status": {"userInfo": {"username": "awsiam:alice"}}})
    kubeconfig = write_kubeconfig_with_plugin(server.url, tmp_path)
    api = KubeApi(environ={}, kubeconfig=kubeconfig, clock=lambda: TEN_MINUTES_PAST - 500)
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: KubeCluster(api.at(server.url)).whoami().username, range(4)))
    assert names == ["awsiam:alice"] * 4
    assert server.seen == ["Bearer tokenx"] * 4


def test_a_dry_run_at_another_address_stays_a_dry_run(server: Server, tmp_path: Path) -> None:
    api = DryRunApi(KubeApi(environ={}, kubeconfig=write_kubeconfig_with_plugin("http://127.0.0.1:1", tmp_path)))
    assert (api.at(server.url).dry_run, api.at(server.url).server) == (True, server.url)


def test_a_dry_run_as_another_user_has_the_credentials_of_that_user(server: Server, tmp_path: Path) -> None:
    api = DryRunApi(KubeApi(environ={}, kubeconfig=write_kubeconfig_with_plugin(server.url, tmp_path)))
    other = api.as_user({"token": "another"})
    assert (other.dry_run, other.context.user) == (True, {"token": "another"})


def test_a_closed_client_connects_again(server: Server, tmp_path: Path) -> None:
    server.body = json.dumps({"kind": "SelfSubjectReview", "status": {"userInfo": {"username": "awsiam:alice"}}})
    api = KubeApi(environ={}, kubeconfig=write_kubeconfig_with_plugin(server.url, tmp_path), clock=lambda: 0.0)
    for _ in range(2):
        assert KubeCluster(api).whoami().username == "awsiam:alice"
        api.close()
    assert server.seen == ["Bearer tokenx"] * 2


ANSWERED_AT_ONCE = """
import sys, threading
from lightkube.resources.core_v1 import ConfigMap, Event
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding
from kube_iam.kube.client import KubeApi
sys.setswitchinterval(1e-6)
api = KubeApi(environ={}, kubeconfig=sys.argv[1])
client = api.client()
asked = [
    api.whoami,
    lambda: client.get(ConfigMap, "x", namespace="x"),
    lambda: client.get(ClusterRole, "x"),
    lambda: client.get(ClusterRoleBinding, "x"),
    lambda: [*client.list(Event, namespace="x")],
]
threads = [threading.Thread(target=each) for each in asked]
for each in threads: each.start()
for each in threads: each.join()
"""


@pytest.mark.process
def test_threads_that_are_answered_at_once_do_not_end_the_process(tmp_path: Path) -> None:
    """msgspec is not safe for threads that read the fields of a class at the same time, and crashes."""
    kube, file = FakeKube(), tmp_path / "kubeconfig"
    kube.body = json.dumps(
        {"metadata": {"name": "x"}, "roleRef": {"apiGroup": "", "kind": "", "name": ""}, "items": [],
         "involvedObject": {}, "spec": {}, "status": {"userInfo": {"username": "alice"}}}
    ).encode()  # fmt: skip
    file.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{kube.port}"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    command = [sys.executable, "-c", ANSWERED_AT_ONCE, str(file)]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(5)]
    ended = [(run.communicate(timeout=60)[1].decode(), run.returncode) for run in runs]
    kube.stop()
    assert ended == [("", 0)] * len(runs)
