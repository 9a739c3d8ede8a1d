"""`manifest authorizer`: the parts for each installer and version, and what cannot be printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_iam.cli.root import run_command
from kube_iam.errors import UsageError
from loopback_pair import put_pair

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubeadm"


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> list[Any]:
    assert run_command("kube-iam", ["manifest", "authorizer", *options], {}) == 0
    return list(yaml.safe_load_all(capsys.readouterr().out))


def refused(*options: str) -> str:
    with pytest.raises(UsageError) as raised:
        run_command("kube-iam", ["manifest", "authorizer", *options], {})
    return str(raised.value)


@pytest.mark.parametrize("version", ["v1beta3", "v1beta4"])
def test_changes_for_kubeadm_go_with_the_files_in_deploy(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    changes = printed(capsys, "--for", "kubeadm" if version == "v1beta4" else "kubeadm-v1beta3")[-1]
    shipped = yaml.safe_load((DEPLOY / f"{version}.yaml").read_text())
    assert (changes["apiVersion"], changes["kind"]) == (shipped["apiVersion"], shipped["kind"])
    assert changes["apiServer"]["extraVolumes"] == shipped["apiServer"]["extraVolumes"]
    assert type(changes["apiServer"]["extraArgs"]) is type(shipped["apiServer"]["extraArgs"])


@pytest.mark.parametrize(
    ("version", "api", "cache"),
    [
        ("1.34", "v1", {"cacheAuthorizedRequests": False, "cacheUnauthorizedRequests": False}),
        ("v1.33.2", "v1", {"authorizedTTL": "1ms", "unauthorizedTTL": "1ms"}),
        ("1.30", "v1beta1", {"authorizedTTL": "1ms", "unauthorizedTTL": "1ms"}),
    ],
)
def test_no_version_caches_an_answer(
    version: str, api: str, cache: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = printed(capsys, "--kubernetes-version", version, "--only", "configuration")
    assert found["apiVersion"] == f"apiserver.config.k8s.io/{api}"
    webhook = found["authorizers"][0]["webhook"]
    assert {key: value for key, value in webhook.items() if "TTL" in key or "cache" in key} == cache
    assert [each["type"] for each in found["authorizers"]] == ["Webhook", "Node", "RBAC"]


def test_talos_names_all_authorizers_and_holds_the_same_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    configuration, kubeconfig, _ = printed(capsys)
    (patch,) = printed(capsys, "--for", "talos")
    (file,) = patch["machine"]["files"]
    named = patch["cluster"]["apiServer"]["authorizationConfig"]
    named[0]["webhook"]["connectionInfo"]["kubeConfigFile"] = "/etc/kubernetes/aws-iam-authenticator/authorizer.yaml"
    assert named == configuration["authorizers"]
    inner = yaml.safe_load(file["content"])
    assert inner["clusters"][0]["cluster"]["server"] == kubeconfig["clusters"][0]["cluster"]["server"]


def test_older_kubernetes_gets_flags_that_cache_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig, changes = printed(capsys, "--for", "static-pod", "--kubernetes-version", "1.29")
    command = changes["spec"]["containers"][0]["command"]
    assert kubeconfig["kind"] == "Config"
    assert "--authorization-mode=Webhook,Node,RBAC" in command
    assert "--authorization-webhook-cache-unauthorized-ttl=0s" in command
    assert not [flag for flag in command if flag.startswith("--authorization-config")]


def test_certificate_stands_in_the_kubeconfig(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_pair(tmp_path)
    (found,) = printed(capsys, "--certificate", str(tmp_path / "cert.pem"), "--only", "kubeconfig")
    assert "certificate-authority-data" in found["clusters"][0]["cluster"]
    said = refused("--certificate", str(tmp_path / "key.pem"))
    assert "holds a private key" in said
    assert "PRIVATE" not in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--kubernetes-version", "1.x"), "is no version of Kubernetes"),
        (("--server", "http://127.0.0.1:21362"), "is no https:// address"),
        (("--server", "https://127.0.0.1:21362/authorize"), "is no https:// address"),
        (("--for", "kops", "--failure-policy", "Deny"), "has no effect with kops"),
        (("--for", "kops", "--only", "configuration"), "there is no configuration of its own with kops"),
        (("--for", "talos", "--only", "kubeconfig"), "whose changes hold the files"),
        (("--kubernetes-version", "1.29", "--failure-policy", "Deny"), "Kubernetes before 1.30"),
    ],
)
def test_what_cannot_be_printed_is_refused(options: tuple[str, ...], said: str) -> None:
    assert said in refused(*options)
