"""The server's connection to the Kubernetes API: address, trusted CAs, and credentials."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from kube_iam.errors import KubeIamError
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.sandbox.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "tls").mkdir()
    return Authority(tmp_path / "tls")


def kubeconfig(directory: Path, cluster: dict[str, Any], user: dict[str, Any]) -> str:
    config = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = directory / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def test_a_kubeconfig_says_all_of_it(tmp_path: Path, authority: Authority) -> None:
    pair = authority.client("server", "server", "authenticators")
    cluster = {"server": "https://10.0.0.1:6443/api", "certificate-authority": str(authority.path)}
    user = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    endpoint = EndpointSource(kubeconfig(tmp_path, cluster, user), "", {}).endpoint()
    assert (endpoint.host, endpoint.port, endpoint.base, endpoint.authority) == (
        "10.0.0.1",
        6443,
        "/api",
        "10.0.0.1:6443",
    )
    assert endpoint.tls is not None
    assert endpoint.tls.verify_mode is ssl.CERT_REQUIRED
    assert endpoint.tls.check_hostname
    assert len(endpoint.tls.get_ca_certs()) == 1


def test_master_replaces_the_server_of_the_kubeconfig(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, {"server": "https://a"}, {"token": "t"})
    endpoint = EndpointSource(file, "https://b", {}).endpoint()
    assert (endpoint.host, endpoint.port, endpoint.authorization) == ("b", 443, "Bearer t")


def test_a_pod_finds_its_own_cluster_and_reads_its_token_anew(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "ca.crt").write_text(authority.pem)
    (tmp_path / "token").write_text("one\n")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    access = EndpointSource("", "", environ, pod=tmp_path)
    assert (access.endpoint().host, access.endpoint().authorization) == ("fd00::1", "Bearer one")
    (tmp_path / "token").write_text("two\n")
    assert access.endpoint().authorization == "Bearer two"


def test_no_file_that_lies_around_is_taken(tmp_path: Path) -> None:
    home = tmp_path / ".kube"
    home.mkdir()
    kubeconfig(home, {"server": "https://a"}, {})
    with pytest.raises(KubeIamError, match="--kubeconfig"):
        EndpointSource("", "", {"HOME": str(tmp_path), "KUBECONFIG": str(home / "kubeconfig")}, pod=tmp_path).endpoint()


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": "http://10.0.0.1"}, {}, "is not https"),
        ({"server": "ftp://x"}, {}, "is not the URL"),
        ({"server": "https://x", "insecure-skip-tls-verify": True}, {}, "insecure-skip-tls-verify"),
        ({"server": "https://x", "certificate-authority-data": "bm9uc2Vuc2U="}, {}, "cannot be used"),
        ({"server": "https://x", "certificate-authority": "missing"}, {}, "cannot be used"),
        ({"server": "https://x"}, {"as": "root"}, "not supported"),
        ({"server": "https://x"}, {"token": "a\r\nHost: b"}, "malformed"),
        ({"server": "https://x"}, {"client-certificate-data": "YQ==", "client-key-data": "Yg=="}, "cannot be used"),
    ],
)
def test_what_cannot_be_trusted_or_used_is_refused(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], message: str
) -> None:
    with pytest.raises(KubeIamError, match=message):
        EndpointSource(kubeconfig(tmp_path, cluster, user), "", {}).endpoint()


def test_a_plugin_s_credentials_are_kept_until_they_end_or_are_refused(tmp_path: Path) -> None:
    version = "client.authentication.k8s.io/v1"
    status = {"token": "t$n", "expirationTimestamp": "2026-01-01T00:00:00Z"}
    answer = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status}).replace("$n", "'$n'")
    script = f"n=$(cat {tmp_path}/n 2>/dev/null || echo 0); n=$((n+1)); echo $n > {tmp_path}/n; echo '{answer}'"
    plugin = {"apiVersion": version, "command": "sh", "args": ["-c", script], "interactiveMode": "Never"}
    now = [1767225600.0 - 3600]
    file = kubeconfig(tmp_path, {"server": "https://a"}, {"exec": plugin})
    access = EndpointSource(file, "", {"PATH": "/usr/bin:/bin"}, clock=lambda: now[0])
    assert [access.endpoint().authorization for _ in range(2)] == ["Bearer t1", "Bearer t1"]
    access.invalidate_credentials()
    assert access.endpoint().authorization == "Bearer t2"
    now[0] += 3590
    assert access.endpoint().authorization == "Bearer t3"


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    endpoint = EndpointSource(kubeconfig(tmp_path, {"server": "https://a"}, {"token": "canary"}), "", {}).endpoint()
    assert "canary" not in repr(endpoint)
