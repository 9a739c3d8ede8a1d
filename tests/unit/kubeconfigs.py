"""Entries of kubeconfig files, as kube-iam writes them and as others do."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from kube_iam.kube.kubeconfig import build_kubeconfig

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CA = b64encode(PEM.encode()).decode()
SERVER, ID = "https://shop.example.com", "shop-id"
ROLE = "arn:aws:iam::012345670123:role/shop-viewer"


def config(cluster: str = "shop", **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "cluster_name": cluster,
        "endpoint": SERVER,
        "ca_pem": PEM,
        "user_name": f"{cluster}-viewer",
        "context_name": f"{cluster}-viewer",
        "command": "kube-iam",
        "args": ["token", "-i", ID, "-r", ROLE, "--region", "eu-central-1"],
        "env": {},
        "api_version": "client.authentication.k8s.io/v1",
        "interactive_mode": "IfAvailable",
        "install_hint": "Ask the platform team",
    }
    return build_kubeconfig(**{**values, **changes})


def kubeconfig(
    cluster: str = "", user: str = "", context: str = "", more: str = "", name: str = "shop", login: str = "shop-viewer"
) -> str:
    """Return a file with one entry of each given kind."""
    text = "apiVersion: v1\nkind: Config\n"
    text += f"clusters:\n- name: {name}\n  cluster: {cluster}\n" if cluster else ""
    text += f"users:\n- name: {login}\n  user: {user}\n" if user else ""
    return (
        text
        + (f"contexts:\n- name: shop-viewer\n  context: {context}\n" if context else "contexts:\n" if more else "")
        + more
    )
