"""Ours and the reference, aws-iam-authenticator, take each other's place: its kubeconfig, its tokens, its server."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from whole_sandbox import BIN, ROLE, Person, Sandbox

from kube_iam.core.partitions import sts_host
from kube_iam.sandbox.connect_proxy import connect_proxy
from kube_iam.sandbox.processes import Process, free_ports
from kube_iam.sandbox.state import CLUSTER_ID, REGION

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.control_plane,
    pytest.mark.reference,
    pytest.mark.xdist_group("whole-sandbox"),
]


@pytest.fixture(scope="module")
def member(levels: Sandbox) -> Person:
    """Somebody in the level viewer."""
    return levels.member("rob", "viewer")


REFERENCE_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: kubernetes
  cluster: {{server: "{server}", certificate-authority: "{ca}"}}
contexts:
- name: iam
  context: {{cluster: kubernetes, user: iam}}
current-context: iam
users:
- name: iam
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: aws-iam-authenticator
      args: [token, -i, {cluster}, -r, "{role}"]
"""


def test_a_kubeconfig_written_for_the_reference_works_with_ours(
    levels: Sandbox, member: Person, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        REFERENCE_KUBECONFIG.format(
            server=levels.state.api_url, ca=levels.home.ca, cluster=CLUSTER_ID, role=f"{ROLE}viewer"
        )
    )
    assert (BIN / "aws-iam-authenticator").exists()
    answer = member.works("kubectl", "--kubeconfig", kubeconfig, "auth", "whoami", "-o", "json")
    assert json.loads(answer)["status"]["userInfo"]["username"] == "awsiam:rob"


def test_the_same_kubeconfig_works_with_the_references_own_plugin(
    levels: Sandbox, member: Person, reference: Path, tmp_path: Path
) -> None:
    """The reference makes up a session name, which our trust policy refuses: it has to be told the user's."""
    kubeconfig = tmp_path / "kubeconfig"
    text = REFERENCE_KUBECONFIG.format(
        server=levels.state.api_url, ca=levels.home.ca, cluster=CLUSTER_ID, role=f"{ROLE}viewer"
    )
    path = f"{reference.parent}:{member.environment['PATH']}"
    command = ("kubectl", "--kubeconfig", kubeconfig, "auth", "whoami", "-o", "json")
    kubeconfig.write_text(text)
    assert "AccessDenied" in member.refused(*command, PATH=path)
    kubeconfig.write_text(text.replace("[token,", "[token, -s, rob,"))
    assert json.loads(member.works(*command, PATH=path))["status"]["userInfo"]["username"] == "awsiam:rob"


def test_our_token_is_good_for_the_references_server(
    levels: Sandbox, member: Person, reference: Path, tmp_path: Path
) -> None:
    token = token_for_real_sts(levels, member, [str(BIN / "kube-iam"), "token", "-i", CLUSTER_ID])
    with server(levels, tmp_path, [str(reference), "server", "-c"]) as (port, log):
        user = reviewed(port, tmp_path, token)
        assert user["user"]["username"] == "awsiam:rob", log.read_text()
        assert user["user"]["groups"] == ["kube-iam:viewer"]


def test_the_references_token_is_good_for_our_server(
    levels: Sandbox, member: Person, reference: Path, tmp_path: Path
) -> None:
    token = token_for_real_sts(levels, member, [str(reference), "token", "-i", CLUSTER_ID])
    with server(levels, tmp_path, [str(BIN / "kube-iam"), "server", "-c"]) as (port, log):
        user = reviewed(port, tmp_path, token)
        assert user["user"]["username"] == "awsiam:rob", log.read_text()
        assert user["user"]["groups"] == ["kube-iam:viewer"]


def test_both_servers_say_the_same_about_a_user(
    levels: Sandbox, member: Person, reference: Path, tmp_path: Path
) -> None:
    token = token_for_real_sts(levels, member, [str(BIN / "kube-iam"), "token", "-i", CLUSTER_ID])
    said, logged = [], []
    for program in (str(reference), str(BIN / "kube-iam")):
        directory = tmp_path / Path(program).name
        directory.mkdir()
        with server(levels, directory, [program, "server", "-l", "json", "-c"]) as (port, log):
            said.append(reviewed(port, directory, token)["user"])
            logged.append(logged_sign_in(log))
    assert said[0] == said[1]
    # Every field of theirs is one of ours; ours has more.
    assert logged[0].items() <= logged[1].items()
    assert {"arn", "groups", "username", "uid", "accesskeyid", "session", "stsendpoint"} <= logged[0].keys()


def logged_sign_in(log: Path) -> dict[str, Any]:
    """Return the fields of "access granted", and of the reference's line before it, without those that differ for each request."""
    deadline = time.monotonic() + 10
    while '"access granted"' not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    fields: dict[str, Any] = {}
    for message in ("STS response", "access granted"):
        fields |= next((line for line in lines if line["msg"] == message), {})
    return {name: value for name, value in fields.items() if name not in ("client", "time")}


def assumed(levels: Sandbox, member: Person) -> dict[str, str]:
    """Return the environment of a session of the role viewer, assumed as the user."""
    from botocore.session import Session

    sts: Any = Session().create_client(
        "sts",
        region_name=REGION,
        endpoint_url=levels.state.account_url,
        verify=str(levels.home.ca),
        aws_access_key_id=member.credentials.access_key_id,
        aws_secret_access_key=member.credentials.secret_access_key,
    )
    keys = sts.assume_role(RoleArn=f"{ROLE}viewer", RoleSessionName=member.name)["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }


def token_for_real_sts(levels: Sandbox, member: Person, command: list[str]) -> str:
    """Return a token signed for the region's STS, as in production. Minting it needs no network."""
    session = assumed(levels, member)
    environment = {
        "PATH": member.environment["PATH"],
        "HOME": str(levels.home.root),
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        **session,
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    token: str = json.loads(done.stdout)["status"]["token"]
    return token


CONFIG = """\
clusterID: {cluster}
server:
  address: 127.0.0.1
  port: {port}
  healthPort: {health}
  stateDir: "{directory}"
  generateKubeconfig: "{directory}/kubeconfig.yaml"
  mapRoles:
  - rolearn: {role}viewer
    username: "awsiam:{{{{SessionNameRaw}}}}"
    groups: ["kube-iam:viewer"]
"""


@contextmanager
def server(levels: Sandbox, directory: Path, command: list[str]) -> Iterator[tuple[int, Path]]:
    """Run a server whose real STS is played by a proxy. Yield its port and its log."""
    port, health = free_ports(2)
    (directory / "config.yaml").write_text(
        CONFIG.format(cluster=CLUSTER_ID, port=port, health=health, directory=directory, role=ROLE)
    )
    process = Process(Path(command[0]).name, directory / "process.json", directory / "server.log")
    with connect_proxy([sts_host(REGION)], levels.state.account_port) as proxy:
        trust = str(levels.home.ca)
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(directory),
            "HTTPS_PROXY": proxy.url,
            "AWS_REGION": REGION,
            "SSL_CERT_FILE": trust,
            "AWS_CA_BUNDLE": trust,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        process.start([*command, str(directory / "config.yaml")], environment, directory)
        try:
            process.await_ready(lambda: answers(port, directory), 30)
            yield port, process.log
            assert proxy.asked
        finally:
            process.stop()


def answers(port: int, directory: Path) -> bool:
    """Whether it decides about tokens. Ours answers them with 504 while it loads, the reference refuses this one with 403."""
    try:
        review(port, directory, "k8s-aws-v1.")
    except urllib.error.HTTPError as error:
        return error.code != 504
    except OSError:
        return False
    return True


def review(port: int, directory: Path, token: str) -> dict[str, Any]:
    """Return the status of a TokenReview; v1beta1, which both know. Raises OSError."""
    asked = {"apiVersion": "authentication.k8s.io/v1beta1", "kind": "TokenReview", "spec": {"token": token}}
    request = urllib.request.Request(f"https://127.0.0.1:{port}/authenticate", json.dumps(asked).encode())
    trust = ssl.create_default_context(cafile=str(directory / "cert.pem"))
    with urllib.request.urlopen(request, context=trust, timeout=35) as answer:
        status: dict[str, Any] = json.loads(answer.read())["status"]
    return status


def reviewed(port: int, directory: Path, token: str) -> dict[str, Any]:
    """Return the status of a TokenReview whose token is authenticated."""
    status = review(port, directory, token)
    assert status["authenticated"] is True
    return status
