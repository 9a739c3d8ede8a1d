"""`manifest`: print a Kubernetes manifest of this version."""

from __future__ import annotations

from importlib.resources import files

import click

from kube_iam.cli.shared_options import global_options
from kube_iam.cli.terminal import page

_NAMES = ("crd", "rbac")


@click.command("manifest")
@global_options
@click.argument("name", type=click.Choice(_NAMES))
def command(name: str) -> None:
    """Print a manifest, to be piped into `kubectl apply -f -`.

    crd: the CustomResourceDefinition of the backend CRD.  rbac: the permissions of the server in the cluster.
    """
    page((files("kube_iam.kube") / "manifests" / f"{name}.yaml").read_text(encoding="utf-8"))
