"""`manifest`: print a Kubernetes manifest of this version."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kube_iam.cli.revocation import deny_list_option
from kube_iam.cli.root import CommandGroup
from kube_iam.cli.shared_options import file_option, global_options
from kube_iam.cli.terminal import page
from kube_iam.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kube_iam.kube.authorizer import Authorizer

JOBS = ("server", "admin", "operator", "auditor")
INSTALLERS = ("kubeadm", "kubeadm-v1beta3", "static-pod", "talos", "kops")
PARTS = ("configuration", "kubeconfig", "changes")


@click.group("manifest", cls=CommandGroup, no_args_is_help=True)
@global_options
def command() -> None:
    """Print a manifest: crd, rbac, server, sync for kubectl, authorizer for kube-apiserver's own configuration, values for Helm."""


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
    help="With all but server: the Kubernetes group that gets the rights.  [default: kube-iam-admins, -operators, -auditors]",
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
    an access file. operator: `grant`, `revoke`, `who`, `deny` and `undeny`. auditor: `who-can`, `explain` and `report`. Nobody
    is in the default groups until you map somebody to them. `kube-iam policy` prints the rights in AWS for the same jobs.
    """
    if temporary and job != "operator":
        raise UsageError("--temporary goes with --for operator")
    if job == "server":
        if group is not None:
            raise UsageError(
                "--group goes with --for admin, operator or auditor", "the server runs as a service account"
            )
        page(_shipped("rbac"))
        return
    from kube_iam.access.admin_rbac import admin_manifests, auditor_manifests, operator_manifests
    from kube_iam.cli.session import read_access
    from kube_iam.report.data import as_yaml

    access, group = read_access(file), group or f"kube-iam-{job}s"
    if job == "admin":
        manifests = admin_manifests(access, group, deny_list)
    elif job == "auditor":
        manifests = auditor_manifests(access, group, deny_list)
    else:
        manifests = operator_manifests(access, group, deny_list, temporary=temporary)
    page("---\n".join(map(as_yaml, manifests)))
    if temporary and access.mapping.kind.is_in_cluster:
        note = "who may change the mapping can map anybody to any group, system:masters included"
        click.echo(f"kube-iam: warning: {note} (docs/rights.md)", err=True)


@command.command("authorizer")
@global_options
@click.option(
    "--for",
    "installer",
    type=click.Choice(INSTALLERS),
    metavar="|".join(INSTALLERS),
    default="kubeadm",
    help="What sets kube-apiserver's flags.  [default: kubeadm, as of 1.31 with v1beta4]",
)
@click.option(
    "--kubernetes-version",
    "kubernetes_version",
    metavar="1.MINOR",
    default="1.34",
    help="The oldest Kubernetes version of your API servers.  [default: 1.34]",
)
@click.option(
    "--failure-policy",
    type=click.Choice(("Deny", "NoOpinion")),
    help="The answer to requests of kube-iam's users while the server does not answer: Deny, or as RBAC says.  [default: Deny]",
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM file of the server's certificate, or of the authority that signed it, to put into the webhook kubeconfig.",
)
@click.option(
    "--server",
    metavar="URL",
    default="",
    help="The server, as kube-apiserver reaches it.  [default: https://127.0.0.1:21362]",
)
@click.option("--only", "part", type=click.Choice(PARTS), metavar="|".join(PARTS), help="Print one part alone.")
def authorizer_command(
    installer: str, kubernetes_version: str, failure_policy: str | None, certificate: Path | None, server: str,
    part: str | None,
) -> None:  # fmt: skip
    """Print what makes kube-apiserver ask the server before each request of the server's users.

    A denied user is then refused within a second, although kube-apiserver has the token cached. The parts are: the
    AuthorizationConfiguration, the webhook kubeconfig, and the changes of the installer's configuration. A comment names the place of
    each. Requests of all other users reach no webhook, except with kOps and before Kubernetes 1.30, which know only older flags.
    """
    from kube_iam.kube.authorizer import SERVER, Authorizer, FailurePolicy, Installer

    authorizer = Authorizer(
        Installer(installer),
        _version(kubernetes_version),
        FailurePolicy(failure_policy or "Deny"),
        _server(server or SERVER),
        _certificate(certificate) if certificate is not None else "",
    )
    if failure_policy is not None and not authorizer.structured:
        raise UsageError(
            f"--failure-policy has no effect with {_flags_only(authorizer)}",
            "with these flags RBAC decides while the server does not answer",
        )
    parts = dict(_authorizer_parts(authorizer))
    if part is not None and part not in parts:
        raise UsageError(f"there is no {part} of its own with {_flags_only(authorizer)}", f"print: {', '.join(parts)}")
    page("---\n".join(parts.values() if part is None else (parts[part],)))


def _authorizer_parts(authorizer: Authorizer) -> Iterator[tuple[str, str]]:
    """Yield each part by its name, as YAML below a comment that says where it belongs."""
    from kube_iam.kube.authorizer import Installer, installer_changes
    from kube_iam.report.data import as_yaml

    kubeconfig = as_yaml(authorizer.kubeconfig())
    placed = authorizer.installer in (Installer.TALOS, Installer.KOPS)  # the changes hold the files
    if not placed:
        if authorizer.structured:
            yield "configuration", f"# {authorizer.configuration_path}\n{as_yaml(authorizer.configuration())}"
        trust = (
            "" if authorizer.certificate else f"\n# {authorizer.certificate_path} is a copy of the server's cert.pem."
        )
        yield "kubeconfig", f"# {authorizer.kubeconfig_path}{trust}\n{kubeconfig}"
    comment = "\n".join(f"# {line}" for line in _places(authorizer))
    yield "changes", f"{comment}\n{as_yaml(installer_changes(authorizer, kubeconfig))}"


def _places(authorizer: Authorizer) -> Iterator[str]:
    """Yield the lines of the comment above the installer's changes."""
    from kube_iam.kube.authorizer import Installer

    match authorizer.installer:
        case Installer.KUBEADM | Installer.KUBEADM_V1BETA3:
            yield "Add this to your ClusterConfiguration, once both files are on each control-plane node."
            yield "The volume is that of deploy/kubeadm."
            if authorizer.structured:
                yield "kubeadm leaves --authorization-mode out where --authorization-config is set."
        case Installer.STATIC_POD:
            yield "Add this to /etc/kubernetes/manifests/kube-apiserver.yaml, and remove --authorization-mode there."
        case Installer.TALOS:
            yield "A patch of the machine configuration of control-plane nodes, for Talos 1.9 to 1.13."
            if not authorizer.certificate:
                yield f"{authorizer.certificate_path} is a copy of the server's cert.pem; better put it in by --certificate."
        case Installer.KOPS:
            yield "Add this to the cluster's spec (kops edit cluster). kOps has no field for --authorization-config: every request"
            yield "reaches the server, except those of system:masters. While the server does not answer, RBAC decides."


def _flags_only(authorizer: Authorizer) -> str:
    """Return why kube-apiserver gets older flags and no AuthorizationConfiguration."""
    from kube_iam.kube.authorizer import OLDEST, Installer

    if authorizer.installer is Installer.KOPS:
        return "kops, which has no field for --authorization-config"
    if authorizer.structured:
        return f"{authorizer.installer.value}, whose changes hold the files"
    return f"Kubernetes before {OLDEST[0]}.{OLDEST[1]}, which reads no AuthorizationConfiguration"


def _version(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"v?1\.(\d{1,3})(\..*)?", text, re.ASCII)
    if found is None:
        raise UsageError(f"--kubernetes-version {text!r} is no version of Kubernetes", "write it as 1.34")
    return 1, int(found[1])


def _server(url: str) -> str:
    if not re.fullmatch(r"https://[^\s/?#@]+", url):
        raise UsageError(
            f"--server {url!r} is no https:// address with a host and a port alone", "write https://127.0.0.1:21362"
        )
    return url


def _certificate(path: Path) -> str:
    """Return the PEM text of certificates. Raises UsageError for any other file, above all for a private key."""
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not PEM text"
        raise UsageError(f"--certificate {path} cannot be read: {cause}", "name the server's cert.pem") from error
    if "PRIVATE KEY-----" in text or "-----BEGIN CERTIFICATE-----" not in text:
        found = "holds a private key" if "PRIVATE KEY-----" in text else "holds no certificate"
        raise UsageError(f"--certificate {path} {found}", "name the server's cert.pem")
    return text


@command.command("admission")
@global_options
@click.option(
    "--failure-policy",
    type=click.Choice(("Fail", "Ignore")),
    default="Fail",
    help="What happens to requests of people where the policy cannot be evaluated.  [default: Fail]",
)
@deny_list_option
def admission_command(failure_policy: str, deny_list: str) -> None:
    """Print a ValidatingAdmissionPolicy that refuses writes of denied users.

    It refuses creations, changes, deletions, exec, port-forward and tokens of service accounts. Reads stay possible, and a cluster
    administrator can remove the policy. Where it is possible, use the authorizer or membershipCheck: rbac.
    """
    from kube_iam.kube.admission import admission_manifests
    from kube_iam.report.data import as_yaml

    page("---\n".join(map(as_yaml, admission_manifests(deny_list, failure_policy))))


@command.command("sync")
@global_options
@click.option("--image", metavar="IMAGE", required=True, help="The image of kube-iam (docs/install.md).")
@click.option(
    "--role-arn", metavar="ARN", default="", help="The IAM role of the service account, for IRSA. Not for Pod Identity."
)
@deny_list_option
@file_option
def sync_command(image: str, role_arn: str, deny_list: str, file: str) -> None:
    """Print the Deployment of `kube-iam sync`, its service account and its rights in the cluster.

    The rights are those on the bindings and roles of the access file: print it again after a change of the levels with
    membershipCheck: rbac. `kube-iam policy sync` prints the rights in AWS.
    """
    from kube_iam.access.sync_job import sync_manifests, synced_levels
    from kube_iam.cli.session import read_access
    from kube_iam.report.data import as_yaml

    access = read_access(file)
    if not synced_levels(access):
        raise UsageError(f"no level of {access.source} has membershipCheck: rbac", "docs/sync.md says what it is for")
    page("---\n".join(map(as_yaml, sync_manifests(access, deny_list, image, role_arn))))


@command.command("server")
@global_options
@click.option("--image", metavar="IMAGE", required=True, help="The image of kube-iam (docs/install.md).")
@click.option(
    "--secret",
    metavar="NAME",
    default="",
    help="A Secret in kube-system with cert.pem and key.pem.  [default: files of the node]",
)
@file_option
def server_command(image: str, secret: str, file: str) -> None:
    """Print the DaemonSet of the server. `kube-iam install` prints the steps before it."""
    from kube_iam.access.levels import TargetKind
    from kube_iam.cli.session import read_access
    from kube_iam.kube.installation import daemon_set
    from kube_iam.report.data import as_yaml

    target = read_access(file).mapping
    config = target.name if target.kind is TargetKind.CONFIG_FILE else ""
    page(as_yaml(daemon_set(image, config, secret)))


@command.command("values")
@global_options
@click.option("--no-server", is_flag=True, help="The sync alone: another server reads the mapping, as on EKS.")
@deny_list_option
@file_option
def values_command(no_server: bool, deny_list: str, file: str) -> None:
    """Print the values of the Helm chart (deploy/chart) for the access file.

    They name the cluster, the place of the mapping, and the rights of `kube-iam sync` for levels with membershipCheck: rbac. Print
    them again after a change of these levels. Your own values, such as the image, go into another file.
    """
    from kube_iam.access.chart_values import chart_values
    from kube_iam.cli.session import read_access
    from kube_iam.report.data import as_yaml

    page(as_yaml(chart_values(read_access(file), deny_list, server=not no_server)))


def _shipped(name: str) -> str:
    return (files("kube_iam.kube") / "manifests" / f"{name}.yaml").read_text(encoding="utf-8")
