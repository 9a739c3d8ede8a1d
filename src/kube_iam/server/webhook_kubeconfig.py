"""The kubeconfig by which kube-apiserver finds and trusts the webhook (`--authentication-token-webhook-config-file`)."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from kube_iam.errors import ConfigError, Problem
from kube_iam.files import write_file
from kube_iam.server.process import own_user


def webhook_kubeconfig(hostname: str, port: int, certificate_pem: bytes) -> str:
    """Return the text of the kubeconfig. kube-apiserver trusts exactly the certificates in `certificate_pem`."""
    host = f"[{hostname}]" if ":" in hostname else hostname
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: aws-iam-authenticator
  cluster:
    certificate-authority-data: {base64.b64encode(certificate_pem).decode()}
    server: {json.dumps(f"https://{host}:{port}/authenticate")}
users:
- name: apiserver
contexts:
- name: webhook
  context:
    cluster: aws-iam-authenticator
    user: apiserver
current-context: webhook
"""


def write_webhook_kubeconfig(path: Path, text: str) -> None:
    """Write the file atomically, and create its directory. The file holds no secret. Raises ConfigError."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_file(path, text.encode(), 0o644)
    except OSError as error:
        hint = f"let {own_user()} write there, set generateKubeconfig, or run `init` first and give --kubeconfig-pregenerated"
        problem = Problem("", f"the webhook kubeconfig cannot be written: {error.strerror}", hint)
        raise ConfigError(str(path), [problem]) from error
