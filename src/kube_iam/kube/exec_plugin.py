"""Runs a kubeconfig's exec plugin, as kubectl does: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins

lightkube's own runner does not support `client.authentication.k8s.io/v1`, passes no information to the plugin, hides its questions on
the terminal, and accepts no certificates.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kube_iam.errors import KubeError
from kube_iam.kube.context import Context

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
TIME_LIMIT = 300  # seconds; the user may have to enter an MFA code


@dataclass(frozen=True, slots=True)
class ExecStatus:
    """Credentials from the plugin. `expires` is Unix seconds, None if the plugin gives no time."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    expires: float | None = None


def run_plugin(context: Context, environ: Mapping[str, str], *, terminal: bool) -> ExecStatus:
    """Run the plugin of the context's user and return its credentials. The plugin writes to our stderr. Raises KubeError."""
    spec = context.user["exec"]
    if not isinstance(spec, dict) or not spec.get("command"):
        raise KubeError(f"the exec plugin of context {context.name!r} names no command")
    version = str(spec.get("apiVersion") or "")
    if version not in VERSIONS:
        raise KubeError(f"the exec plugin of context {context.name!r} has the unknown apiVersion {version!r}")
    mode = spec.get("interactiveMode") or "IfAvailable"
    if mode == "Always" and not terminal:
        raise KubeError(f"the exec plugin of context {context.name!r} needs a terminal")
    interactive = terminal and mode != "Never"
    command = str(spec["command"])
    if os.path.dirname(command) and not os.path.isabs(command):  # noqa: PTH117, PTH120  (Path drops a leading ./)
        command = str(Path(context.directory) / command)
    arguments = [str(argument) for argument in spec.get("args") or []]
    variables = {**environ, "KUBERNETES_EXEC_INFO": _exec_info(context, spec, version, interactive)}
    variables |= {str(pair["name"]): str(pair.get("value") or "") for pair in spec.get("env") or []}
    try:
        done = subprocess.run(  # noqa: S603  (the command that the user's own kubeconfig names)
            [command, *arguments],
            env=variables,
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=TIME_LIMIT,
            check=False,
        )
    except FileNotFoundError as error:
        hint = str(spec.get("installHint") or "install it, or put it on the PATH")
        raise KubeError(f"the kubeconfig's exec plugin {command!r} is not installed", hint) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KubeError(f"the kubeconfig's exec plugin {command!r} cannot be run: {type(error).__name__}") from error
    if done.returncode != 0:
        raise KubeError(f"the kubeconfig's exec plugin {command!r} failed with exit code {done.returncode}")
    return _status(done.stdout, command, version)


def _exec_info(context: Context, spec: Mapping[str, object], version: str, interactive: bool) -> str:
    details: dict[str, object] = {"interactive": interactive}
    if spec.get("provideClusterInfo") == "true":
        known = ("server", "tls-server-name", "certificate-authority-data", "proxy-url")
        details["cluster"] = {key: context.cluster[key] for key in known if context.cluster.get(key)}
    return json.dumps({"kind": "ExecCredential", "apiVersion": version, "spec": details})


def _status(output: bytes, command: str, version: str) -> ExecStatus:
    try:
        answer = json.loads(output)
        status = answer["status"]
        expires = status.get("expirationTimestamp")
        result = ExecStatus(
            token=str(status.get("token") or ""),
            certificate=str(status.get("clientCertificateData") or ""),
            key=str(status.get("clientKeyData") or ""),
            expires=datetime.fromisoformat(expires).timestamp() if expires else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        # `from None`: the cause's text may hold a piece of what was printed.
        raise KubeError(f"the kubeconfig's exec plugin {command!r} printed no ExecCredential") from None
    if answer.get("apiVersion") != version or not (result.token or (result.certificate and result.key)):
        raise KubeError(f"the kubeconfig's exec plugin {command!r} answered without credentials of {version}")
    return result
