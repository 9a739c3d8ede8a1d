"""SOCKS and other proxies of every client: AWS calls of `token`, of plan and apply, of the server; the cluster's API."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from credential_home import Home
from socks_server import PASSWORD, SocksServer
from tls_sts import TlsSts

import forks
from fake_kube import FakeKube
from https_server import HttpsServer
from kube_iam.aws.environment import normalize
from kube_iam.aws.sts import StsAnswer, sts_client
from kube_iam.core.reasons import Refusal
from kube_iam.errors import ConfigError, KubeError
from kube_iam.kube.client import KubeApi
from kube_iam.kube.endpoint import EndpointSource

pytestmark = pytest.mark.process

KEYS = "aws_access_key_id = AKIDBASE\naws_secret_access_key = s\n"
ROLE = "arn:aws:iam::123456789012:role/r"
SCHEMES = ["socks5", "socks5h", "SOCKS5"]
VARIABLES = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
# Other proxies, each with what an error says of it. None of them holds the password.
UNUSABLE = {
    "socks4://u:pass-word@127.0.0.1:1": "its scheme is none of http, https, socks5, socks5h",
    "socks://127.0.0.1:1": "its scheme is none of",
    "ftp://127.0.0.1:1": "its scheme is none of",
    "socks5://u:pass-word@": "no URL with host and port",
    "socks5://127.0.0.1:port": "no URL with host and port",
}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsSts]:
    with TlsSts(tmp_path_factory.mktemp("sts")).serving() as serving:
        yield serving


@pytest.fixture(params=[False, True], ids=["open", "password"])
def socks(request: pytest.FixtureRequest) -> Iterator[SocksServer]:
    with SocksServer(password=request.param).serving() as serving:
        yield serving


@pytest.fixture
def home(tmp_path: Path, sts: TlsSts) -> Home:
    home = Home.on(tmp_path, sts)
    home.environ |= {"NO_PROXY": "", "AWS_PROFILE": "r", "AWS_MAX_ATTEMPTS": "1"}
    home.config(f"[profile base]\n{KEYS}[profile r]\nrole_arn = {ROLE}\nsource_profile = base\n")
    return home


def port(authority: str) -> int:
    return int(authority.rpartition(":")[2])


def failure(home: Home, **environ: str) -> str:
    """Return the error of a sign-in that fails, without the proxy's password."""
    ran = home.token(**environ)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert PASSWORD not in ran.stderr
    return ran.stderr


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_token_assumes_a_role_through_a_socks_proxy(
    scheme: str, variable: str, home: Home, sts: TlsSts, socks: SocksServer
) -> None:
    home.signed_by(**{variable: socks.url(scheme)})
    assert sts.actions() == ["AssumeRole"]
    assert set(socks.asked) == {("127.0.0.1", port(sts.authority))}


def test_socks5h_leaves_names_to_the_proxy(home: Home, sts: TlsSts, socks: SocksServer) -> None:
    local = f"https://localhost:{port(sts.authority)}"
    home.signed_by(HTTPS_PROXY=socks.url("socks5h"), AWS_ENDPOINT_URL_STS=local)
    assert set(socks.asked) == {("localhost", port(sts.authority))}


def test_https_proxy_has_precedence_over_all_proxy(home: Home, socks: SocksServer) -> None:
    home.signed_by(HTTPS_PROXY=socks.url(), ALL_PROXY="http://127.0.0.1:1")
    assert socks.asked


def test_no_proxy_names_hosts_without_one(home: Home, socks: SocksServer) -> None:
    home.signed_by(HTTPS_PROXY=socks.url(), NO_PROXY="127.0.0.1")
    home.signed_by(HTTPS_PROXY="ftp://127.0.0.1:1", ALL_PROXY="ftp://127.0.0.1:1", NO_PROXY="127.0.0.1")
    assert socks.asked == []


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "127.0.0.1:1", "socks5://u:pass-word@127.0.0.1:1"])
def test_token_never_goes_past_a_proxy_that_is_down(variable: str, proxy: str, home: Home, sts: TlsSts) -> None:
    failure(home, **{variable: proxy})
    assert sts.asked == []


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("proxy", UNUSABLE)
def test_token_names_the_variable_of_a_proxy_that_it_cannot_use(
    variable: str, proxy: str, home: Home, sts: TlsSts
) -> None:
    says = failure(home, **{variable: proxy})
    assert f"({variable})" in says
    assert UNUSABLE[proxy] in says
    assert "NO_PROXY" in says
    assert sts.asked == []


def test_a_wrong_password_of_a_proxy_is_an_error_without_it(home: Home, sts: TlsSts) -> None:
    with SocksServer(password=True).serving() as socks:
        proxy = socks.url().replace("alice", "mallory")
        assert "cannot be reached" in failure(home, HTTPS_PROXY=proxy)
    assert sts.asked == []


def without(home: Home, module: str) -> dict[str, str]:
    """Variables for a process in which the module is not installed."""
    (home.path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n")
    return {"PYTHONPATH": str(home.path)}


def test_token_names_the_extra_that_is_missing(home: Home) -> None:
    says = failure(home, HTTPS_PROXY="socks5://u:pass-word@127.0.0.1:1", **without(home, "socks"))
    assert "the proxy socks5://127.0.0.1:1 (HTTPS_PROXY) is a SOCKS proxy" in says
    assert f"install the extra `socks`: {sys.executable} -m pip install 'urllib3[socks]'" in says


def test_plan_calls_iam_through_a_socks_proxy(
    sts: TlsSts, socks: SocksServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kube_iam.aws.client import iam_client, make_session

    environ = {
        "AWS_ENDPOINT_URL_IAM": f"https://{sts.authority}",
        "AWS_CA_BUNDLE": str(sts.ca),
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_MAX_ATTEMPTS": "1",
        "ALL_PROXY": socks.url(),
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    sts.refusal = (404, "NoSuchEntity", "no such user")
    client = iam_client("us-east-1", make_session())
    with pytest.raises(client.exceptions.NoSuchEntityException):
        client.get_user(UserName="alice")
    assert socks.asked == [("127.0.0.1", port(sts.authority))]


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_server_asks_sts_through_a_socks_proxy(
    scheme: str, variable: str, socks: SocksServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = HttpsServer(tmp_path, lambda _: (200, "text/plain", b""))
    monkeypatch.setenv(variable, socks.url(scheme))
    normalize(os.environ)

    async def ask() -> StsAnswer | Refusal:
        client = sts_client({**os.environ, "AWS_CA_BUNDLE": str(server.ca)})
        try:
            return await client.get_caller_identity(f"https://{server.authority}/", "shop")
        finally:
            await client.close()

    try:
        assert isinstance(asyncio.run(ask()), StsAnswer)
    finally:
        server.stop()
    assert set(socks.asked) == {("127.0.0.1", port(server.authority))}


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("proxy", [proxy for proxy in UNUSABLE if "socks4" not in proxy])
def test_the_server_names_the_variable_of_a_proxy_that_it_cannot_use(variable: str, proxy: str) -> None:
    with pytest.raises(ConfigError) as error:
        sts_client({variable: proxy})
    assert variable in str(error.value)
    assert "cannot be used" in str(error.value)
    assert PASSWORD not in str(error.value)


def kubeconfig(directory: Path, server: str, proxy: str = "") -> str:
    cluster = {"server": server} | ({"proxy-url": proxy} if proxy else {})
    config = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (directory / "kubeconfig").write_text(json.dumps(config))
    return str(directory / "kubeconfig")


@pytest.fixture
def kube() -> Iterator[FakeKube]:
    kube = FakeKube()
    yield kube
    kube.stop()


def read_a_config_map(api: KubeApi) -> None:
    from lightkube.resources.core_v1 import ConfigMap

    try:
        with api.call("read it") as client:
            list(client.list(ConfigMap, namespace="default"))
    finally:
        api.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_proxy_url_may_be_a_socks_proxy(scheme: str, kube: FakeKube, socks: SocksServer, tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, f"http://127.0.0.1:{kube.port}", socks.url(scheme))
    read_a_config_map(KubeApi(environ={}, kubeconfig=file))
    assert set(socks.asked) == {("127.0.0.1", kube.port)}


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
def test_the_cluster_is_reached_through_the_environments_proxy(
    variable: str, kube: FakeKube, socks: SocksServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, socks.url())
    read_a_config_map(KubeApi(environ=os.environ, kubeconfig=kubeconfig(tmp_path, f"http://127.0.0.1:{kube.port}")))
    assert set(socks.asked) == {("127.0.0.1", kube.port)}


@pytest.mark.parametrize("proxy", [*UNUSABLE, "127.0.0.1:1"])
def test_a_proxy_url_that_cannot_be_used_is_named(proxy: str, kube: FakeKube, tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, f"http://127.0.0.1:{kube.port}", proxy)
    with pytest.raises(KubeError) as error:
        read_a_config_map(KubeApi(environ={}, kubeconfig=file))
    assert "proxy-url of context 'x'" in str(error.value)
    assert PASSWORD not in f"{error.value} {error.value.hint}"
    assert kube.lists == 0


@pytest.mark.parametrize("proxy", UNUSABLE)
def test_a_variable_whose_proxy_cannot_lead_to_the_cluster_is_named(proxy: str, tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, "https://127.0.0.1:1")
    with pytest.raises(KubeError, match="the variable ALL_PROXY"):
        read_a_config_map(KubeApi(environ={"ALL_PROXY": proxy}, kubeconfig=file))


@pytest.mark.parametrize("where", ["proxy-url of context 'x'", "the variable https_proxy"])
def test_commands_name_the_extra_that_is_missing_for_the_cluster(where: str, home: Home) -> None:
    proxy = "socks5://u:pass-word@127.0.0.1:1"
    file = kubeconfig(home.path, "https://127.0.0.1:1", proxy if where.startswith("proxy-url") else "")
    environ = {**home.environ, **without(home, "socksio")}
    environ |= {} if where.startswith("proxy-url") else {"https_proxy": proxy}
    ran = forks.run(["undeny", "alice", "--kubeconfig", file], environ)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"the proxy socks5://127.0.0.1:1 ({where}) is a SOCKS proxy" in ran.stderr
    assert f"install the extra `socks`: {sys.executable} -m pip install 'httpx2[socks]'" in ran.stderr
    assert PASSWORD not in ran.stderr


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1"])
def test_the_server_does_not_go_past_a_proxy_url(proxy: str, tmp_path: Path) -> None:
    with pytest.raises(KubeError, match="proxy-url"):
        EndpointSource(kubeconfig(tmp_path, "https://127.0.0.1:1", proxy), "", {}).endpoint()
