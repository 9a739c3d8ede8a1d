"""`manifest authorizer` on a real kube-apiserver: whose requests reach the webhook, in which version, and what its absence does.

kube-apiserver runs with the printed files and flags, with paths on this machine. Its users come from SubjectAccessReviews.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from binaries import control_plane_binaries
from https_server import HttpsServer, Request
from kube_iam.cli.root import run_command
from kube_iam.files import write_file
from kube_iam.kube.authorizer import DIRECTORY
from kube_iam.sandbox.api_server import ApiServer
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import start_apiserver, start_etcd
from kube_iam.sandbox.state import Home
from kube_iam.sandbox.up import down

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("authorizer-manifest")]
UID = "aws-iam-authenticator:123456789012:AROAEXAMPLE:alice"
FORWARDED = {"sigs.k8s.io/aws-iam-authenticator/principalid": ["AROAEXAMPLE"]}  # by an extension API server
FLAGS_OF_KOPS = {  # by the tags `flag:` of kOps's KubeAPIServerConfig
    "authorizationMode": "authorization-mode",
    "authorizationWebhookConfigFile": "authorization-webhook-config-file",
    "authorizationWebhookCacheAuthorizedTtl": "authorization-webhook-cache-authorized-ttl",
    "authorizationWebhookCacheUnauthorizedTtl": "authorization-webhook-cache-unauthorized-ttl",
}


@dataclass
class Webhook:
    """Denies the user awsiam:alice, and keeps the questions."""

    questions: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, request: Request) -> tuple[int, str, bytes]:
        question = json.loads(request.body)
        self.questions.append(question)
        status = {"allowed": False, "denied": question["spec"].get("user") == "awsiam:alice", "reason": "by the test"}
        return 200, "application/json", json.dumps({**question, "status": status}).encode()

    def users(self) -> set[str]:
        return {question["spec"].get("user", "") for question in self.questions}


@dataclass
class Site:
    """etcd, the directory of kube-apiserver's files, and the webhook that they name."""

    home: Home
    authority: Authority
    etcd: Any
    webhook: Webhook
    server: HttpsServer
    reachable: bool = True

    def answer(self, request: Request) -> tuple[int, str, bytes]:
        return self.webhook.answer(request) if self.reachable else (0, "", b"")

    @contextmanager
    def without_server(self) -> Iterator[None]:
        """Close each connection without an answer."""
        self.reachable = False
        try:
            yield
        finally:
            self.reachable = True

    @property
    def files(self) -> Path:
        return self.home.root / "files"

    def printed(self, capsys: pytest.CaptureFixture[str], *options: str) -> list[Any]:
        """Return the documents that the command prints, with the directory on the node replaced by one on this machine."""
        given = ["--certificate", str(self.server.ca), "--server", f"https://{self.server.authority}"]
        assert run_command("kube-iam", ["manifest", "authorizer", *options, *given], {}) == 0
        text = capsys.readouterr().out
        for directory in (DIRECTORY, "/var/kube-iam", "/srv/kubernetes/kube-apiserver"):
            text = text.replace(directory, str(self.files))
        return list(yaml.safe_load_all(text))

    @contextmanager
    def api(self, flags: Mapping[str, str]) -> Iterator[ApiServer]:
        binaries = control_plane_binaries()
        try:
            yield start_apiserver(self.home, self.authority, binaries, self.etcd, extra_args=flags)
        finally:
            self.home.process("kube-apiserver").stop(3)

    def write(self, path: str, content: Any) -> None:
        Path(path).parent.mkdir(exist_ok=True)
        write_file(Path(path), (content if isinstance(content, str) else yaml.safe_dump(content)).encode())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    binaries = control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("authorizer") / "sandbox")
    home.create()
    authority = Authority(home.tls)
    server = HttpsServer(tmp_path_factory.mktemp("webhook"), lambda request: made.answer(request))
    try:
        made = Site(home, authority, start_etcd(home, authority, binaries), Webhook(), server)
        yield made
    finally:
        server.stop()
        down(home)


def review(api: ApiServer, **spec: Any) -> dict[str, Any]:
    """Return the status of a SubjectAccessReview about a read."""
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "namespaces"}, **spec},
    }
    code, answer = api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    assert code == 201, answer
    return dict(answer["status"])


@contextmanager
def structured(site: Site, capsys: pytest.CaptureFixture[str], *options: str) -> Iterator[ApiServer]:
    """Run kube-apiserver with the files that are printed, and the flag of the static pod."""
    configuration, kubeconfig, changes = site.printed(capsys, "--for", "static-pod", *options)
    (argument,) = changes["spec"]["containers"][0]["command"]
    name, _, path = argument.removeprefix("--").partition("=")
    site.write(path, configuration)
    site.write(configuration["authorizers"][0]["webhook"]["connectionInfo"]["kubeConfigFile"], kubeconfig)
    with site.api({name: path}) as api:
        yield api


def assert_not_cached(site: Site, api: ApiServer) -> None:
    site.webhook.questions.clear()
    for _ in range(2):
        review(api, user="awsiam:bob", uid=UID)
    asked = [question for question in site.webhook.questions if question["spec"]["user"] == "awsiam:bob"]
    assert len(asked) == 2


def test_users_of_the_server_alone_reach_the_webhook(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with structured(site, capsys) as api:
        assert review(api, user="awsiam:alice", uid=UID)["denied"] is True
        assert review(api, user="awsiam:alice", extra=FORWARDED)["denied"] is True
        assert review(api, user="awsiam:bob", uid=UID, groups=["system:masters"])["allowed"] is True
        assert_not_cached(site, api)
        site.webhook.questions.clear()
        for spec in (
            {"user": "awsiam:alice", "groups": ["kube-iam:admin"]},
            {"user": "oidc:alice", "uid": "1", "extra": {"arn": ["x"]}},
            {"user": "system:node:a", "uid": UID},
        ):
            assert "denied" not in review(api, **spec)
        assert site.webhook.questions == []
        with site.without_server():
            assert review(api, user="awsiam:bob", uid=UID)["denied"] is True
            assert "denied" not in review(api, user="oidc:bob", groups=["kube-iam:admin"])


def test_configuration_for_kubernetes_1_31_caches_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with structured(site, capsys, "--kubernetes-version", "1.31", "--failure-policy", "NoOpinion") as api:
        assert review(api, user="awsiam:alice", uid=UID)["denied"] is True
        assert_not_cached(site, api)
        with site.without_server():
            assert "denied" not in review(api, user="awsiam:alice", uid=UID)


def test_kops_asks_about_everybody_in_v1beta1(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (changes,) = site.printed(capsys, "--for", "kops")
    (asset,) = changes["spec"]["fileAssets"]
    site.write(asset["path"], asset["content"])
    flags = {FLAGS_OF_KOPS[name]: value for name, value in changes["spec"]["kubeAPIServer"].items()}
    with site.api(flags) as api:
        assert review(api, user="awsiam:alice", uid=UID)["denied"] is True
        assert_not_cached(site, api)
        assert {question["apiVersion"] for question in site.webhook.questions} == {"authorization.k8s.io/v1beta1"}
        assert "denied" not in review(api, user="oidc:bob")
        assert {"awsiam:bob", "oidc:bob"} <= site.webhook.users()
        with site.without_server():
            assert "denied" not in review(api, user="awsiam:alice", uid=UID)
