"""The kube-iam server of the sandbox: its config.yaml, its process, and a TokenReview as kube-apiserver would send it."""

from __future__ import annotations

import json
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from kube_iam.errors import SandboxError
from kube_iam.files import write_file
from kube_iam.kube.authorizer import Authorizer, Installer
from kube_iam.report.data import as_yaml
from kube_iam.sandbox.processes import Process
from kube_iam.sandbox.state import AUTHENTICATOR, CLUSTER_ID, LOOPBACK, REGION, Home, State

KUBE_IAM = "import sys; from kube_iam.cli.main import main; sys.exit(main())"
REFRESH = "2s"
"""Interval of the server's refresh of members, below its default of 15s: changes in a sandbox should show at once."""
_TIMEOUT_SECONDS = 30.0


def config(home: Home, state: State, *, cluster: bool, refresh: str = REFRESH, objects: bool = False) -> str:
    """Return the server's config.yaml without mappings. With `cluster` it names a deny list in the cluster.

    With `objects` the server reads IAMIdentityMapping objects.
    """
    denying = f"""\
  kubeconfig: {json.dumps(str(home.server_kubeconfig))}
  denyList: kube-system/kube-iam-denied
"""
    denying += "  backendMode: [CRD]\n" if objects else ""
    return f"""\
# The config.yaml of this sandbox's authenticator. kube-iam apply adds its entries to server.mapRoles.
clusterID: {CLUSTER_ID}
server:
  hostname: {LOOPBACK}
  address: {LOOPBACK}
  port: {state.webhook_port}
  healthPort: {state.health_port}
  stateDir: {json.dumps(str(home.webhook))}
  generateKubeconfig: {json.dumps(str(home.webhook_kubeconfig))}
  membershipRefresh: {refresh}
  stsEndpoint: {state.account_url}  # never in production: the sandbox's own STS
{denying if cluster else ""}"""


def await_kubeconfig(home: Home, process: Process) -> None:
    """Wait for the kubeconfig with which kube-apiserver starts. Raises SandboxError.

    The server itself is ready only after it has read the deny list from kube-apiserver.
    """
    process.await_ready(home.webhook_kubeconfig.is_file, _TIMEOUT_SECONDS)


def write_authorizer(home: Home, state: State) -> dict[str, str]:
    """Write what makes kube-apiserver ask the server before each request of its users. Return the flags for it.

    The files are those of `kube-iam manifest authorizer`.
    """
    certificate = (home.webhook / "cert.pem").read_text("ascii")
    server = f"https://{LOOPBACK}:{state.webhook_port}"
    authorizer = Authorizer(
        Installer.STATIC_POD, server=server, certificate=certificate, own_directory=str(home.authorizer)
    )
    home.authorizer.mkdir()
    for path, content in (
        (authorizer.configuration_path, authorizer.configuration()),
        (authorizer.kubeconfig_path, authorizer.kubeconfig()),
    ):
        write_file(Path(path), as_yaml(content).encode())
    return dict(authorizer.flags())


def await_webhook(process: Process, state: State) -> None:
    """Wait until the server is ready. Raises SandboxError."""
    process.await_ready(lambda: readiness(state) == "ok", _TIMEOUT_SECONDS)


def launch_webhook(home: Home, state: State, **variables: str) -> Process:
    """Start `kube-iam server` with the keys of its IAM user. Return its process at once. `variables` extend its environment."""
    process = home.process("webhook")
    environment = {**server_environment(home, state), **variables}
    process.start(
        [sys.executable, "-c", KUBE_IAM, "server", "--config", str(home.server_config)], environment, home.root
    )
    return process


def server_environment(home: Home, state: State) -> dict[str, str]:
    """Return the environment of a program that reads IAM with the keys of the server's IAM user."""
    own = state.user(AUTHENTICATOR)
    assert own is not None
    return {
        "AWS_REGION": REGION,
        "AWS_CA_BUNDLE": str(home.ca),
        "AWS_ENDPOINT_URL_IAM": state.account_url,
        "AWS_ACCESS_KEY_ID": own.access_key_id,
        "AWS_SECRET_ACCESS_KEY": own.secret_access_key,
        "NO_PROXY": LOOPBACK,
        "HOME": str(home.root),
        "TMPDIR": str(home.root),
    }


def review(home: Home, state: State, token: str) -> tuple[int, dict[str, Any]]:
    """Post the token to the webhook as kube-apiserver does. Return the HTTP status and the answer without the token."""
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(state.webhook_url, json.dumps(asked).encode(), headers)  # noqa: S310  (https)
    try:
        trust = ssl.create_default_context(cafile=str(home.webhook / "cert.pem"))
        https = urllib.request.HTTPSHandler(context=trust)
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), https).open(request, timeout=35) as answer:
            return answer.status, _without_spec(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _without_spec(error.read())
    except OSError as error:
        raise SandboxError("the webhook of the sandbox does not answer", "see: kube-iam sandbox status") from error


def token_of(text: str) -> str:
    """Return the token of a text: a bare token, or an ExecCredential as `kube-iam token` prints it. Raises SandboxError."""
    text = text.strip()
    if text.startswith("{"):
        try:
            token = json.loads(text)["status"]["token"]
        except (ValueError, KeyError, TypeError) as error:
            raise SandboxError("this is no ExecCredential with a token in it") from error
        text = token if isinstance(token, str) else ""
    if not text:
        raise SandboxError("there is no token on standard input", "try: kube-iam token … | kube-iam sandbox review")
    return text


def readiness(state: State) -> str:
    """Return `ok` or why the server is not ready, and an empty text where it does not answer."""
    url = f"http://{LOOPBACK}:{state.health_port}/readyz"
    try:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(url, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode(errors="replace")
    except OSError:
        return ""


def _without_spec(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return {key: value for key, value in answer.items() if key != "spec"} if isinstance(answer, dict) else {}
