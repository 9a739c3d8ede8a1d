"""`install`: print all steps that put kube-iam's server into one cluster, for its installer and its access file."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kube_iam.cli.revocation import deny_list_option
from kube_iam.cli.shared_options import file_option, global_options
from kube_iam.cli.terminal import page
from kube_iam.errors import UsageError

if TYPE_CHECKING:
    from kube_iam.access.levels import ClusterAccess

INSTALLERS = ("kops", "kubeadm", "kubeadm-v1beta3", "talos", "eks", "static-pod")
PARTS = ("policy", "nodes", "cluster", "config-map", "commands")
_WIDTH = 110


@dataclass(frozen=True)
class Step:
    """One step: the name of its part, what to do with the content, and the content, which a file or a shell takes as it is."""

    part: str
    text: str
    content: str

    def numbered(self, number: int) -> str:
        """Return the step with its text as a comment."""
        lines = textwrap.wrap(f"{number}. {self.text}", _WIDTH, break_long_words=False, break_on_hyphens=False)
        return "".join(f"# {line}\n" for line in lines) + f"\n{self.content}"


@click.command("install")
@global_options
@click.argument("installer", metavar="|".join(INSTALLERS), type=click.Choice(INSTALLERS))
@click.option("--image", metavar="IMAGE", required=True, help="The image of kube-iam (docs/install.md).")
@click.option(
    "--webhook-kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With talos: the file aws-iam-authenticator.kubeconfig that `init` made, to put into the machine configuration.",
)
@click.option(
    "--only", "part", type=click.Choice(PARTS), metavar="|".join(PARTS), help="Print the content of one part."
)
@deny_list_option
@file_option
def command(
    installer: str, image: str, webhook_kubeconfig: Path | None, part: str | None, deny_list: str, file: str
) -> None:
    """Print all steps that put the server into a cluster: rights in AWS, files on the nodes, changes of the installer, objects.

    Nothing is changed. The order counts: kube-apiserver does not start without the files, and without the rights in AWS nobody signs
    in. On EKS, which has a server of its own, they are the steps of `kube-iam sync`.
    """
    from kube_iam.cli.session import read_access

    if webhook_kubeconfig is not None and installer != "talos":
        raise UsageError("--webhook-kubeconfig goes with talos")
    access = read_access(file)
    if installer == "eks":
        steps = list(_eks(access, image, deny_list, file))
    else:
        steps = list(_server(access, installer, image, webhook_kubeconfig, deny_list, file))
    if part is None:
        page("\n".join(step.numbered(number) for number, step in enumerate(steps, 1)))
        return
    found = [step.content for step in steps if step.part == part]
    if not found:
        known = ", ".join(step.part for step in steps)
        raise UsageError(f"there is no part {part} for {installer} and this file", f"print: {known}")
    page(found[0])


def _server(
    access: ClusterAccess, installer: str, image: str, webhook_kubeconfig: Path | None, deny_list: str, file: str
) -> Iterator[Step]:
    """Yield the steps of an installer whose kube-apiserver asks kube-iam's server."""
    from kube_iam.access.levels import TargetKind
    from kube_iam.access.server_policy import server_document
    from kube_iam.kube.installation import config_map
    from kube_iam.report.data import as_yaml

    in_config, kops = access.mapping.kind is TargetKind.CONFIG_FILE, installer == "kops"
    config = as_yaml(config_map(access, deny_list))
    policy = server_document(access) if any(map(access.asks_membership, access.levels)) else None
    if kops:
        yield _kops(access, image, policy)
    else:
        if policy is not None:
            text = (
                "Rights in AWS: create this policy, and attach it to the role of the control-plane instances. Without it the server"
                " cannot read the members of the IAM groups, and everybody is Unauthorized."
            )
            yield Step("policy", text, json.dumps(policy, indent=2) + "\n")
        yield _files(access, installer)
        yield _flags(installer, webhook_kubeconfig)
    if in_config:
        text = "The server's config.yaml. Create it, and never apply it again: `kube-iam apply` adds the levels to it."
        yield Step("config-map", text, config)
    elif not kops:
        yield Step("config-map", "The server's config.yaml. `kube-iam apply` writes the levels elsewhere.", config)
    yield Step("commands", "The server and the levels.", _commands(access, installer, image, deny_list, file))


def _kops(access: ClusterAccess, image: str, policy: dict[str, object] | None) -> Step:
    from kube_iam.kube.installation import kops_changes
    from kube_iam.report.data import as_yaml

    text = (
        "kOps's default memory limit, 20Mi, ends the server at its start with an empty log: set memoryLimit. Add these fields by"
        " `kops edit cluster`, and do not update the cluster yet."
    )
    if policy is not None:
        text += (
            " additionalPolicies are the server's rights in AWS: keep the statements that you have. Without them everybody is"
            " Unauthorized."
        )
    return Step("cluster", text, as_yaml(kops_changes(access, image, policy["Statement"] if policy else [])))


def _files(access: ClusterAccess, installer: str) -> Step:
    """Return the step that makes the certificate."""
    from kube_iam.kube.installation import SECRET, STATE_DIRECTORY

    init = f"kube-iam init -i {shlex.quote(access.cluster_id)}"
    if installer == "talos":
        text = "The certificate of the server, for all control-plane nodes. key.pem is a secret: remove it here when all is done."
        secret = f"kubectl create secret generic {SECRET} -n kube-system --from-file=cert.pem --from-file=key.pem"
        return Step("nodes", text, f"{init}\n{secret}\n")
    text = "On each control-plane node: make the certificate and the webhook kubeconfig."
    in_place = f"{init} --feature-gates ConfiguredInitDirectories=true"
    return Step("nodes", text, f"{in_place}\nchown -R 10000:10000 {STATE_DIRECTORY}\n")


def _flags(installer: str, webhook_kubeconfig: Path | None) -> Step:
    """Return the step that makes kube-apiserver ask the server."""
    from kube_iam.kube.installation import kubeadm_changes, static_pod_changes, talos_changes
    from kube_iam.report.data import as_yaml

    if installer == "talos":
        text = "Add this document to the machine configuration of the control-plane nodes (Talos 1.15 and newer)."
        if webhook_kubeconfig is None:
            text += " --webhook-kubeconfig aws-iam-authenticator.kubeconfig puts the file of the last step into it."
        return Step("cluster", text, as_yaml(talos_changes(_kubeconfig(webhook_kubeconfig))))
    needs = "kube-apiserver does not start without the files of the last step."
    if installer == "static-pod":
        text = f"Add this to /etc/kubernetes/manifests/kube-apiserver.yaml on each control-plane node. {needs}"
        return Step("cluster", text, as_yaml(static_pod_changes()))
    text = f"Add this to the ClusterConfiguration, and let kubeadm write kube-apiserver's manifest anew on each node. {needs}"
    return Step("cluster", text, as_yaml(kubeadm_changes(v1beta3=installer == "kubeadm-v1beta3")))


def _kubeconfig(path: Path | None) -> str:
    """Return the text of the webhook kubeconfig, or what stands for it. Raises UsageError for a file that is none."""
    if path is None:
        return "# the content of aws-iam-authenticator.kubeconfig\n"
    remedy = "name the file that `init` made"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"--webhook-kubeconfig {path} cannot be read: {cause}", remedy) from error
    if "kind: Config" not in text or "PRIVATE KEY" in text:
        raise UsageError(f"--webhook-kubeconfig {path} is no webhook kubeconfig", remedy)
    return text


def _commands(access: ClusterAccess, installer: str, image: str, deny_list: str, file: str) -> str:
    """Return the commands that remain, in their order."""
    from kube_iam.access.levels import TargetKind
    from kube_iam.kube.installation import KOPS_ACCOUNT, SECRET

    kops, in_config = installer == "kops", access.mapping.kind is TargetKind.CONFIG_FILE
    of_file, of_image = f"-f {shlex.quote(file)}", f"--image {shlex.quote(image)}"
    lines = []
    if access.mapping.kind is TargetKind.CRD and not kops:
        lines.append("kube-iam manifest crd | kubectl apply -f -")
    if in_config or not kops:
        lines.append("kube-iam manifest rbac | kubectl apply -f -")
        settings = f"{of_image} --deny-list {deny_list} {of_file}"
        lines.append(f"kube-iam install {installer} {settings} --only config-map | kubectl create -f -")
    if kops:
        if in_config:  # kOps's own account has fewer rights on the deny list
            bind = "kubectl create rolebinding kube-iam-kops -n kube-system --role=kube-iam"
            lines.append(f"{bind} --serviceaccount={KOPS_ACCOUNT}")
        lines += ["kops update cluster --yes", "kops rolling-update cluster --instance-group-roles control-plane --yes"]
    else:
        secret = f" --secret {SECRET}" if installer == "talos" else ""
        lines.append(f"kube-iam manifest server {of_image} {of_file}{secret} | kubectl apply -f -")
        lines.append("kubectl -n kube-system rollout status daemonset/aws-iam-authenticator")
    lines.append(f"kube-iam apply {of_file}")
    return "".join(f"{line}\n" for line in lines)


def _eks(access: ClusterAccess, image: str, deny_list: str, file: str) -> Iterator[Step]:
    """Yield the steps of `kube-iam sync`. Raises UsageError for a mapping that EKS's own server does not read."""
    from kube_iam.access.levels import TargetKind
    from kube_iam.access.sync_job import NAME, sync_document, synced_levels

    if access.mapping.kind not in (TargetKind.AWS_AUTH, TargetKind.ACCESS_ENTRIES):
        raise UsageError(
            f"EKS's own server does not read {access.mapping.describe()}, and kube-iam's server cannot run there",
            "use mapping: {accessEntries: {}}",
        )
    of_file = f"-f {shlex.quote(file)}"
    if not synced_levels(access):
        text = (
            "Nothing is installed. AWS checks membership when a role is assumed. With membershipCheck: rbac a removed member loses all"
            " rights at once (docs/sync.md)."
        )
        yield Step("commands", text, f"kube-iam apply {of_file}\n")
        return
    text = f"Rights in AWS: create the IAM role {NAME} for EKS Pod Identity, with this policy."
    yield Step("policy", text, json.dumps(sync_document(access), indent=2) + "\n")
    role = f"arn:{access.partition}:iam::{access.account}:role/{NAME}"
    association = (
        f"aws eks create-pod-identity-association --cluster-name {shlex.quote(access.cluster_id)} --namespace kube-system"
        f" --service-account {NAME} --role-arn {role}"
    )
    sync = f"kube-iam manifest sync --image {shlex.quote(image)} --deny-list {deny_list} {of_file} | kubectl apply -f -"
    lines = [association, f"kube-iam apply {of_file}", sync, f"kubectl -n kube-system rollout status deployment/{NAME}"]
    yield Step("commands", "The levels and the sync.", "".join(f"{line}\n" for line in lines))
