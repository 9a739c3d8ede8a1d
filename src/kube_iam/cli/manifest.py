"""`manifest`: print a Kubernetes manifest of this version."""

from __future__ import annotations

from importlib.resources import files

import click

from kube_iam.cli.revocation import deny_list_option
from kube_iam.cli.root import CommandGroup
from kube_iam.cli.shared_options import file_option, global_options
from kube_iam.cli.terminal import page
from kube_iam.errors import UsageError

JOBS = ("server", "admin", "operator")


@click.group("manifest", cls=CommandGroup, no_args_is_help=True)
@global_options
def command() -> None:
    """Print a manifest, to be piped into `kubectl apply -f -`."""


@command.command("crd")
@global_options
def crd_command() -> None:
    """Print the CustomResourceDefinition of the backend CRD."""
    page(_shipped("crd"))


@command.command("rbac")
@global_options
@click.option(
    "--for",
    "job",
    type=click.Choice(JOBS),
    metavar="|".join(JOBS),
    default="server",
    help="The job.  [default: server]",
)
@click.option(
    "--group",
    metavar="NAME",
    help="With admin or operator: the Kubernetes group that gets the rights.  [default: kube-iam-admins, kube-iam-operators]",
)
@click.option(
    "--temporary",
    is_flag=True,
    help="With operator: allow `grant --for`. This includes changes of the mapping, which can map anybody to any group.",
)
@deny_list_option
@file_option
def rbac_command(job: str, group: str | None, temporary: bool, deny_list: str, file: str) -> None:
    """Print the RBAC of a job.

    server: what the server needs for the backends EKSConfigMap and CRD and for the deny list. admin: `plan`, `apply` and `destroy` of
    an access file. operator: `grant`, `revoke`, `who`, `deny` and `undeny`. Nobody is in the default groups until you map somebody to
    them. `kube-iam policy admin|operator` prints the rights in AWS for the same two jobs.
    """
    if temporary and job != "operator":
        raise UsageError("--temporary goes with --for operator")
    if job == "server":
        if group is not None:
            raise UsageError("--group goes with --for admin or --for operator", "the server runs as a service account")
        page(_shipped("rbac"))
        return
    from kube_iam.access.admin_rbac import admin_manifests, operator_manifests
    from kube_iam.cli.session import read_access
    from kube_iam.report.data import as_yaml

    access, group = read_access(file), group or f"kube-iam-{job}s"
    if job == "admin":
        manifests = admin_manifests(access, group, deny_list)
    else:
        manifests = operator_manifests(access, group, deny_list, temporary=temporary)
    page("---\n".join(map(as_yaml, manifests)))
    if temporary:
        note = "who may change the mapping can map anybody to any group, system:masters included"
        click.echo(f"kube-iam: warning: {note} (docs/rights.md)", err=True)


def _shipped(name: str) -> str:
    return (files("kube_iam.kube") / "manifests" / f"{name}.yaml").read_text(encoding="utf-8")
