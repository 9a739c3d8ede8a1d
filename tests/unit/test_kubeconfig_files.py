"""kubeconfig files: what is generated, how it merges into a file of others, and which context a command means."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kube_iam.errors import ConfigError, KubeError
from kube_iam.kube.client import KubeApi
from kube_iam.kube.context import kubeconfig_files, load_context, writable_file
from kube_iam.kube.exec_plugin import run_plugin
from kube_iam.kube.kubeconfig import build_kubeconfig, dump
from kube_iam.kube.kubeconfig_merge import merge_into
from required import missing

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

KUBECTL = """\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Zm9v
    server: https://other.example.com
  name: other   # keep me
contexts:
- context:
    cluster: other
    user: other
  name: other
# which one
current-context: other
kind: Config
preferences: {}
users:
- name: other
  user:
    token: "0123"
"""


def config(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "cluster_name": "shop",
        "endpoint": "https://shop.example.com",
        "ca_pem": PEM,
        "user_name": "shop-viewer",
        "context_name": "shop-viewer",
        "command": "kube-iam",
        "args": ["token", "-i", "012345670123", "-r", "arn:aws:iam::012345670123:role/shop-viewer"],
        "env": {"AWS_PROFILE": "work"},
        "api_version": "client.authentication.k8s.io/v1",
        "interactive_mode": "IfAvailable",
        "install_hint": "Ask the platform team\nthen try again",
    }
    return build_kubeconfig(**{**values, **changes})


def load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_a_dumped_kubeconfig_reads_back_as_what_was_built() -> None:
    built = config(namespace="shop")
    assert load(dump(built)) == built
    plugin = built["users"][0]["user"]["exec"]
    assert plugin["env"] == [{"name": "AWS_PROFILE", "value": "work"}]
    assert plugin["interactiveMode"] == "IfAvailable"
    assert b64decode(built["clusters"][0]["cluster"]["certificate-authority-data"]).decode() == PEM
    assert built["contexts"][0]["context"]["namespace"] == "shop"


def test_kubectl_reads_a_dumped_kubeconfig(tmp_path: Path) -> None:
    kubectl = Path(sys.executable).with_name("kubectl")
    if not kubectl.exists():
        missing("kubectl", "make venv")
    (tmp_path / "config").write_text(dump(config()))
    command = [str(kubectl), "--kubeconfig", str(tmp_path / "config"), "config", "view", "--raw", "-o", "json"]
    seen = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert seen["current-context"] == "shop-viewer"
    assert seen["users"][0]["user"]["exec"]["args"][2] == "012345670123"
    assert seen["users"][0]["user"]["exec"]["installHint"] == "Ask the platform team\nthen try again"


def test_a_merge_into_nothing_makes_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config"
    merge_into([path], config())
    assert load(path.read_text()) == config()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_merge_keeps_every_line_of_others(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECTL)
    path.chmod(0o640)
    merge_into([path], config())
    text = path.read_text()
    rest = iter(text.splitlines())
    assert all(
        line in rest for line in KUBECTL.replace("current-context: other", "current-context: shop-viewer").splitlines()
    )
    read = load(text)
    assert [entry["name"] for entry in read["clusters"]] == ["other", "shop"]
    assert read["users"][0]["user"]["token"] == "0123"
    assert read["current-context"] == "shop-viewer"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    merge_into([path], config())
    assert path.read_text() == text


def test_a_merge_replaces_entries_of_the_same_names(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECTL)
    merge_into([path], config())
    merge_into([path], config(endpoint="https://moved.example.com", ca_pem=""))
    read = load(path.read_text())
    assert read["clusters"][1]["cluster"]["server"] == "https://moved.example.com"
    assert len(read["users"]) == len(read["contexts"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        'apiVersion: v1\nclusters: null\ncontexts: null\ncurrent-context: ""\nkind: Config\nusers: null\n',
        "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n",
        '{"kind": "Config", "clusters": [], "users": [], "contexts": [], "current-context": ""}',
        "apiVersion: v1\nkind: Config\ncurrent-context:\nusers:\n  - name: x\n    user: {token: y}",
        "# nothing yet\n",
        "{}",
        "{ }\n",
        "{\n}\n",
        "--- {}\n",
        "---\n{}\n# nothing else\n",
        "%YAML 1.1\n---\n{}\n...\n",
        "\ufeff{}\n",
        "{}\r\n",
        "null\n",
        "--- ~\n",
        "---\n",
        "---\n...\n",
        "# one\n{} # two\n",
        "{ # three\n}\n",
    ],
)
def test_a_merge_fits_into_every_empty_shape(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    merge_into([path], config())
    read = load(path.read_text())
    assert read["clusters"] == config()["clusters"]
    assert read["users"][-1] == config()["users"][0]
    assert read["current-context"] == "shop-viewer"
    comments = [line[line.index("#") :] for line in text.splitlines() if "#" in line]
    assert all(comment in path.read_text() for comment in comments)


@pytest.mark.parametrize("text", ["{}", "--- {}\n", "null\n", "\ufeff{}\n", "---\n{}\n# nothing else\n"])
def test_a_file_without_content_becomes_a_kubeconfig_of_a_line_a_field(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    merge_into([path], config())
    assert load(path.read_text()) == config()
    assert "\napiVersion: v1\nkind: Config\nclusters:\n- name: shop\n" in "\n" + path.read_text().lstrip("\ufeff")


@pytest.mark.parametrize(
    "text",
    [
        "Clusters:\n- name: shop\n  cluster: {server: https://other.example.com}\n",
        "USERS: text\nclusters: []\nContexts: {}\n",
        "Users:\n- user: {}\nusers:\n- name: x\n  user: {}\n",
        "Current-Context: other\nClusters: &all [1]\nmore: *all\n",
    ],
)
def test_keys_in_other_letter_case_are_unknown_keys_as_for_kubectl(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    merge_into([path], config())
    read, before = load(path.read_text()), load(text)
    assert {key: read[key] for key in before if key != "users" and key != "clusters"} == {
        key: value for key, value in before.items() if key != "users" and key != "clusters"
    }
    assert [entry["name"] for entry in read["clusters"]] == ["shop"]
    assert read["users"][-1] == config()["users"][0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "clusters:\n- name: shop\n  cluster:\n    server: https://shop.example.com\n"
            "users:\n- name: shop-viewer\n  user: &mine\n    exec:\n      command: kube-iam\n"
            "      args: [token, -i, '012345670123', -r, old]\n- name: alias\n  user: *mine\n",
            9,
        ),
        ("clusters: []\nusers: []\ncurrent-context: &name other\npreferences: {colour: *name}\n", 3),
        ("clusters: []\ncontexts: []\n\ncurrent-context: a\nusers: []\ncurrent-context: b\n", 6),
        ("clusters:\n- {name: a, cluster: {}}\nusers: &none []\ncontexts: *none\n", 4),
        ("kind: Config\nclusters:\n- name: a\n  cluster: {}\n  - b\n", 5),
    ],
)
def test_errors_name_lines_of_the_file_as_it_is(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"config: line {line}: "):
        merge_into([path], config())
    assert path.read_text() == text


@pytest.mark.parametrize(
    "text", ["clusters: [", "- a\n", "clusters: {a: b}\n", "clusters:\n- cluster: {}\n", "a: 1\n---\nb: 2\n"]
)
def test_a_broken_file_is_refused_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match="config"):
        merge_into([path], config())
    assert path.read_text() == text


def test_the_default_is_the_first_existing_of_kubeconfig_else_the_home_directory_s(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.write_text("")
    assert writable_file(kubeconfig_files({"KUBECONFIG": f"{first}:{second}:{tmp_path / 'third'}"})) == second
    assert writable_file(kubeconfig_files({"KUBECONFIG": f"{first}:{tmp_path / 'last'}"})) == tmp_path / "last"
    assert kubeconfig_files({"KUBECONFIG": f":{first}::{first}:{second}"}) == [first, second]
    assert kubeconfig_files({"HOME": "/home/alice"}) == [Path("/home/alice/.kube/config")]


def test_contexts_of_several_files_are_merged_and_the_first_one_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "first", tmp_path / "second"
    first.parent.mkdir()
    merge_into([first], config(ca_pem=""))
    second.write_text(KUBECTL.replace("name: other", "name: shop", 1).replace("Zm9v", "YmFy"))
    environ = {"KUBECONFIG": f"{tmp_path / 'missing'}:{first}:{second}"}
    assert load_context("", "", environ).server == "https://shop.example.com"
    assert load_context(str(first), "shop-viewer", {}).name == "shop-viewer"
    with pytest.raises(KubeError, match="other"):
        load_context("", "other", environ)


def test_a_context_that_does_not_exist_gets_a_near_match(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECTL)
    with pytest.raises(KubeError, match="did you mean 'other'"):
        load_context(str(path), "othr", {})


def test_no_kubeconfig_anywhere_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(KubeError, match=str(tmp_path)):
        load_context("", "", {"HOME": str(tmp_path)})


def test_file_names_are_relative_to_their_kubeconfig(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECTL.replace("certificate-authority-data: Zm9v", "certificate-authority: pki/ca.crt"))
    assert load_context(str(path), "", {}).cluster["certificate-authority"] == str(tmp_path / "pki" / "ca.crt")


def test_in_a_pod_its_service_account_is_used(tmp_path: Path) -> None:
    for name, text in (("token", "t"), ("namespace", "shop"), ("ca.crt", PEM)):
        (tmp_path / name).write_text(text)
    environ = {"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    context = load_context("", "", environ, tmp_path)
    assert (context.server, context.namespace) == ("https://[fd00::1]:443", "shop")
    assert "t" not in repr(context).split("'")


def plugin(tmp_path: Path, script: str, **changes: str) -> Any:
    (tmp_path / "plugin").write_text(f"#!{sys.executable}\n{script}\n")
    (tmp_path / "plugin").chmod(0o755)
    built = config(command="./plugin", args=["a"], **changes)
    merge_into([tmp_path / "config"], built)
    return load_context(str(tmp_path / "config"), "", {})


ECHO = """\
import json, os, sys
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
status = {"token": sys.argv[1] + os.environ["AWS_PROFILE"], "expirationTimestamp": "2026-01-01T00:00:00Z"}
print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": status}))
"""


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_an_exec_plugin_is_run_as_kubectl_runs_it(tmp_path: Path, version: str) -> None:
    context = plugin(tmp_path, ECHO, api_version=f"client.authentication.k8s.io/{version}")
    status = run_plugin(context, {"PATH": ""}, terminal=False)
    assert (status.token, status.expires) == ("awork", 1767225600.0)
    assert "awork" not in repr(status)


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("import sys; sys.exit(3)", "exit code 3"),
        ("print('SECRET')", "printed no ExecCredential"),
        ('print(\'{"apiVersion": "client.authentication.k8s.io/v1", "status": {}}\')', "without credentials"),
        (
            'print(\'{"apiVersion": "client.authentication.k8s.io/v2", "status": {"token": "SECRET"}}\')',
            "without credentials",
        ),
    ],
)
def test_an_exec_plugin_that_fails_is_named_and_its_output_is_not(tmp_path: Path, script: str, complaint: str) -> None:
    with pytest.raises(KubeError, match=complaint) as caught:
        run_plugin(plugin(tmp_path, script), {}, terminal=False)
    assert "SECRET" not in str(caught.value)


def test_a_missing_exec_plugin_gets_its_install_hint(tmp_path: Path) -> None:
    context = plugin(tmp_path, ECHO)
    (tmp_path / "plugin").unlink()
    with pytest.raises(KubeError, match="Ask the platform team"):
        run_plugin(context, {}, terminal=False)


def test_a_plugin_that_always_needs_a_terminal_is_not_run_without_one(tmp_path: Path) -> None:
    with pytest.raises(KubeError, match="needs a terminal"):
        run_plugin(plugin(tmp_path, ECHO, interactive_mode="Always"), {}, terminal=False)


def test_a_user_who_impersonates_is_refused_rather_than_run_with_more_rights(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECTL + "    as: nobody\n")
    api = KubeApi(environ={}, kubeconfig=str(path))
    with pytest.raises(KubeError, match="'as'"):
        api.client()


@pytest.mark.parametrize(
    "cluster",
    [
        "certificate-authority: missing.crt",
        "certificate-authority-data: '!!!'",
        "certificate-authority-data: Zm9v",
    ],
)
def test_a_cluster_that_cannot_be_used_is_named_by_its_context(tmp_path: Path, cluster: str) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECTL.replace("certificate-authority-data: Zm9v", cluster))
    with pytest.raises(KubeError, match="context 'other' cannot be used"):
        KubeApi(environ={}, kubeconfig=str(path)).client()


def test_a_proxy_that_cannot_be_used_is_named_with_its_context_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECTL.replace("certificate-authority-data: Zm9v", "proxy-url: odd://x"))
    named = r"the proxy odd://x \(proxy-url of context 'other'\) .*: correct proxy-url of context 'other'"
    with pytest.raises(KubeError, match=named):
        KubeApi(environ={}, kubeconfig=str(path)).client()
