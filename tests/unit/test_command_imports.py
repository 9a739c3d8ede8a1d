"""Modules that commands load: a user waits for help and completions at every key press, so they load nothing that takes long.

Each test runs the entry point in a fresh interpreter and asks it what it has imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from faulty_http import FaultyHttp

PROGRAM = """
import json, sys
sys.argv = ["kube-iam", *sys.argv[1:]]
from kube_iam.cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
SLOW = {
    *("asyncio", "botocore", "cryptography", "granian", "httpx2", "jinja2", "lightkube", "msgspec", "pyreqwest"),
    *("rich", "ruamel", "ssl", "urllib3"),
}
ACCESS = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: shop.example.com, name: shop, endpoint: "https://127.0.0.1:1"}
account: "123456789012"
region: eu-west-1
mapping: {file: config.yaml}
levels: [{name: viewer}, {name: admin}]
"""
COMMANDS = ["plan", "apply", "who", "grant", "revoke", "deny", "undeny", "doctor", "kubeconfig", "drift", "validate"]


CALLER = b"""<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ann</Arn>
<UserId>AIDAEXAMPLE</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""
NONE = b"<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>there is none</Message></Error></ErrorResponse>"
CLUSTER = """
import json, sys
from kube_iam.errors import KubeIamError
from kube_iam.kube.client import KubeApi
try:
    KubeApi(environ={}, kubeconfig=sys.argv[1]).whoami()
except KubeIamError as error:
    print(error.message)
print(json.dumps(sorted(sys.modules)))
"""


def run(directory: Path, *arguments: str, **environ: str) -> tuple[str, set[str]]:
    """Return the output and the modules that are loaded at the end."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **environ},
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout, set(json.loads(ran.stderr.splitlines()[-1]))


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.process
def test_the_main_help_loads_no_command(tmp_path: Path) -> None:
    shown, modules = run(tmp_path, "--help")
    assert "grant" in shown
    assert not packages(modules) & {*SLOW, "yaml"}
    assert not {"kube_iam.cli.session", "importlib.metadata"} & modules


@pytest.mark.process
@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_loads_neither_its_work_nor_its_libraries(command: str, tmp_path: Path) -> None:
    shown, modules = run(tmp_path, command, "--help")
    assert f"kube-iam {command}" in shown
    assert not packages(modules) & {*SLOW, "yaml"}
    assert not {"kube_iam.access.plan", "kube_iam.cli.completion_values", "kube_iam.kube.client"} & modules
    assert "importlib.metadata" not in modules


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "offered"),
    [("kube-iam gr", "grant"), ("kube-iam plan --out", "--out"), ("kube-iam who vi", "viewer")],
    ids=["commands", "options", "levels"],
)
def test_completions_without_a_call_load_no_client(words: str, offered: str, tmp_path: Path) -> None:
    (tmp_path / "access.yaml").write_text(ACCESS)
    (tmp_path / "config.yaml").write_text("clusterID: shop.example.com\n")
    shown, modules = run(
        tmp_path,
        _KUBE_IAM_COMPLETE="bash_complete",
        COMP_WORDS=words,
        COMP_CWORD=str(words.count(" ")),
    )
    assert f"plain,{offered}" in shown
    assert not packages(modules) & SLOW
    assert "importlib.metadata" not in modules


def empty_account(form: dict[str, str]) -> tuple[int, bytes]:
    """Return the answer of an account that has nothing but the caller."""
    action = form["Action"]
    if action == "GetCallerIdentity":
        return 200, CALLER
    if action.startswith("List"):
        return (
            200,
            f"<{action}Response><{action}Result><IsTruncated>false</IsTruncated></{action}Result></{action}Response>".encode(),
        )
    return 404, NONE


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("plan", "-o", "json"), '"create"'),
        (("who", "-o", "json"), '"viewer"'),
        (("grant", "alice", "viewer", "--dry-run"), ""),
        (("revoke", "alice", "viewer", "--dry-run", "--force"), ""),
    ],
    ids=["plan", "who", "grant", "revoke"],
)
def test_calls_of_iam_with_static_keys_load_no_sdk(arguments: tuple[str, ...], shown: str, tmp_path: Path) -> None:
    (tmp_path / "access.yaml").write_text(ACCESS)
    (tmp_path / "config.yaml").write_text("clusterID: shop.example.com\n")
    with FaultyHttp() as iam:
        iam.reply = empty_account
        keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": iam.url}
        output, modules = run(tmp_path, *arguments, **keys)
        assert {"GetCallerIdentity", "GetGroup"} & {form["Action"] for form in iam.forms}
    assert shown in output
    assert ("kube_iam.access.plan" in modules) is (arguments[0] == "plan")
    assert not packages(modules) & {"botocore", "urllib3", "dateutil", "jinja2", "ruamel", "cryptography", "granian"}


@pytest.mark.process
def test_calls_of_the_cluster_load_no_event_loop_of_http_and_no_socks(tmp_path: Path) -> None:
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority-data": ca()}
    config = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    command = [sys.executable, "-c", CLUSTER, str(tmp_path / "kubeconfig")]
    said, modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "cannot be reached" in said
    assert not packages(set(json.loads(modules))) & {"anyio", "h11", "h2", "httpcore2", "socksio", "truststore"}


def ca() -> str:
    """Return a certificate of an authority as a kubeconfig holds it."""
    import botocore

    text = (Path(botocore.__file__).parent / "cacert.pem").read_text()
    end = "-----END CERTIFICATE-----"
    return b64encode((text[text.index("-----BEGIN") : text.index(end)] + end).encode()).decode()
