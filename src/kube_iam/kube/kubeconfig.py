"""The kubeconfig of a level: one cluster, one user and one context, with public data only.

Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence

from kube_iam.kube.yaml.text import Value, block


def entry_name(cluster: str, level: str) -> str:
    """Return the name of a level's user and context in a kubeconfig."""
    return f"{cluster}-{level}"


def token_arguments(cluster_id: str, role: str, region: str) -> list[str]:
    """Return the arguments of the exec plugin. `role` is an ARN, empty where the user signs in without one."""
    return ["token", "-i", cluster_id, *(["-r", role] if role else []), "--region", region]


def build_kubeconfig(
    *,
    cluster_name: str,
    endpoint: str,
    ca_pem: str,
    user_name: str,
    context_name: str,
    command: str,
    args: Sequence[str],
    env: Mapping[str, str],
    api_version: str,
    interactive_mode: str,
    install_hint: str,
    namespace: str = "",
) -> dict[str, Value]:
    """Return a kubeconfig with one cluster, one user that signs in through an exec plugin, and one context, which is the current one.

    `ca_pem` is the cluster's CA as PEM text; empty leaves it to the machine's own trusted roots. Nothing in it is a secret.
    """
    cluster: dict[str, Value] = {"server": endpoint}
    if ca_pem:
        cluster["certificate-authority-data"] = b64encode(ca_pem.encode()).decode()
    plugin: dict[str, Value] = {"apiVersion": api_version, "command": command, "args": list(args)}
    if env:
        plugin["env"] = [{"name": name, "value": value} for name, value in env.items()]
    plugin |= {"interactiveMode": interactive_mode, "installHint": install_hint}
    context: dict[str, Value] = {"cluster": cluster_name, "user": user_name}
    if namespace:
        context["namespace"] = namespace
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster_name, "cluster": cluster}],
        "users": [{"name": user_name, "user": {"exec": plugin}}],
        "contexts": [{"name": context_name, "context": context}],
        "current-context": context_name,
    }


def dump(config: Mapping[str, Value]) -> str:
    """Return the kubeconfig as YAML text."""
    return "\n".join(block(config)) + "\n"
