"""`kubeconfig`: the kubeconfig with which a user signs in at a level. It holds public data only."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kube_iam.cli.session import AdminSession, session_of, warn_of_regions
from kube_iam.cli.shared_options import completing, file_option, global_options
from kube_iam.cli.terminal import page
from kube_iam.errors import KubeIamError, NotFound, UsageError

if TYPE_CHECKING:
    from kube_iam.access.levels import ClusterAccess, Level

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
INSTALL_HINTS = {
    # No package name: the project owns none in a registry, and its first registrant would run code on users' machines.
    "kube-iam": "kube-iam signs you in with your AWS credentials. Install it from its repository, as the README there says; "
    "a package of that name in a registry such as PyPI is not the project's.",
    "aws-iam-authenticator": "Install aws-iam-authenticator: https://github.com/kubernetes-sigs/aws-iam-authenticator/releases",
}
# The reference answers in the version that kubectl requests, but its older releases know only v1beta1.
API_VERSIONS = {"aws-iam-authenticator": V1BETA1}


@click.command("kubeconfig")
@click.argument("level", metavar="LEVEL", shell_complete=completing("complete_levels"))
@global_options
@file_option
@click.option(
    "--merge", is_flag=True, help="Merge it into your kubeconfig (KUBECONFIG, or ~/.kube/config) and make it current."
)
@click.option("--cluster-name", metavar="NAME", default="", help="Name of the cluster entry.  [default: the cluster's]")
@click.option("--user-name", metavar="NAME", default="", help="Name of the user entry.  [default: <cluster>-<level>]")
@click.option("--context-name", metavar="NAME", default="", help="Name of the context.  [default: <cluster>-<level>]")
@click.option(
    "--exec-command",
    metavar="PATH",
    shell_complete=completing("complete_files"),
    help="The program that kubectl runs to sign in: a name on the PATH, or a path.  [default: kube-iam]",
)
@click.option(
    "--exec-api-version",
    metavar="VERSION",
    type=click.Choice([V1, V1BETA1, "v1", "v1beta1"]),
    help=f"The version in which kubectl talks to it: {V1} or {V1BETA1}.  [default: v1; aws-iam-authenticator: v1beta1]",
)
@click.option(
    "--eks",
    metavar="NAME",
    default="",
    help="Ask EKS for the endpoint and the certificate authority of this cluster, which is the one of the file.",
)
@click.option(
    "--profile",
    metavar="NAME",
    default="",
    shell_complete=completing("complete_profiles"),
    help="AWS profile that the user signs in with.",
)
def command(
    level: str, file: str, merge: bool, cluster_name: str, user_name: str, context_name: str,
    exec_command: str | None, exec_api_version: str | None, eks: str, profile: str,
) -> int:  # fmt: skip
    """Print the kubeconfig of a level. It holds public data only, and is safe to share.

    --merge changes only entries of this cluster, and stops where an entry of that name is another cluster's.
    """
    from kube_iam.access.levels import Method
    from kube_iam.access.members import find_level
    from kube_iam.config.suggestions import suggestion
    from kube_iam.kube.context import kubeconfig_files
    from kube_iam.kube.kubeconfig import build_kubeconfig, dump, entry_name, token_arguments
    from kube_iam.kube.kubeconfig_merge import merge_into

    session = session_of(click.get_current_context(), {"file": file})
    access = _of_eks(session.access, eks) if eks else session.access
    found = find_level(access, level, suggestion)
    warn_of_regions(access)
    if not access.endpoint:
        hint = "set cluster.endpoint, or on EKS name the cluster with --eks"
        raise UsageError(f"{access.source} does not say where the API server is", hint)
    cluster = cluster_name or access.name
    name = entry_name(cluster, found.name)
    role = _role_arn(session, found) if found.method in (Method.ROLE, Method.MAPPED_ROLE) else ""
    if found.method is Method.PERMISSION_SET:
        _explain_profile(found.permission_set, access.account, profile)
    config = build_kubeconfig(
        cluster_name=cluster,
        endpoint=access.endpoint,
        ca_pem=access.certificate_authority,
        user_name=user_name or name,
        context_name=context_name or name,
        args=token_arguments(access.cluster_id, role, access.region),
        env={"AWS_PROFILE": profile} if profile else {},
        interactive_mode="IfAvailable",
        **_plugin(exec_command, exec_api_version, access.install_hint),
    )
    if not merge:
        page(dump(config))
        return 0
    files = kubeconfig_files(os.environ)
    asked = {"command": exec_command, "apiVersion": exec_api_version}
    chosen = frozenset(name for name, value in asked.items() if value is not None)
    changed = merge_into(files, config, chosen=chosen)
    shown = ", ".join(map(str, changed)) or "nothing to change"
    click.echo(f"{shown}: the current context is {context_name or name}.", err=True)
    return 0


def _of_eks(access: ClusterAccess, name: str) -> ClusterAccess:
    """Return the access file with the endpoint and the certificate authority that EKS states for its cluster.

    Raises UsageError for another cluster than the file's, and KubeIamError where EKS does not describe it.
    """
    from kube_iam.aws.client import make_session
    from kube_iam.aws.eks import describe_cluster

    if name != access.cluster_id:
        raise UsageError(
            f"cluster.id in {access.place('cluster.id')} is {access.cluster_id}, and EKS refuses tokens with another id than the"
            f" cluster's name, {name}",
            "name the cluster of the file, or write the name of the EKS cluster as cluster.id",
        )
    cluster = describe_cluster(name, access.region, make_session())
    if not cluster.endpoint or not cluster.certificate_authority:
        raise KubeIamError(f"EKS names no endpoint of cluster {name} yet", "run this again when the cluster is active")
    return replace(access, endpoint=cluster.endpoint, certificate_authority=cluster.certificate_authority)


def _explain_profile(permission_set: str, account: str, profile: str) -> None:
    """Print what a user of a permission set needs: a profile of IAM Identity Center."""
    named = f"profile {profile}" if profile else "the AWS profile in use (--profile writes one into the kubeconfig)"
    click.echo(
        f"note: {named} has to be one of IAM Identity Center, for permission set {permission_set} in account {account}: users make it"
        " with `aws configure sso`, and sign in with `aws sso login`",
        err=True,
    )


def _role_arn(session: AdminSession, level: Level) -> str:
    """Return the ARN of the level's role with its path, for which IAM is asked if the role is an existing one.

    Raises NotFound if IAM has no such role.
    """
    from kube_iam.access.desired import role_arn

    if level.mapped_role:
        return level.mapped_role
    if not level.existing_role:
        return role_arn(session.access, level)
    try:
        role = session.iam.role(level.role_name)
    except KubeIamError as error:
        why = f"the path of the existing role {level.role_name} is read from IAM"
        error.hint = f"{why}; {error.hint}" if error.hint else why
        raise
    if role is None:
        raise NotFound(
            f"there is no IAM role {level.role_name}", f"correct iam.role of level {level.name}, or create the role"
        )
    return role.arn


def _plugin(command: str | None, version: str | None, hint: str) -> dict[str, str]:
    """Return the exec plugin's command, version and install hint: as given, else those of the program. Raises UsageError."""
    from kube_iam.kube.kubeconfig_owner import program_of

    command = _command(command) if command is not None else "kube-iam"
    program = program_of(command)
    version = version or API_VERSIONS.get(program, V1)
    default = INSTALL_HINTS.get("kube-iam" if program == "kubectl-iam" else program)
    return {
        "command": command,
        "api_version": version if "/" in version else f"client.authentication.k8s.io/{version}",
        "install_hint": hint or default or f"Install {command}, or put it on the PATH.",
    }


def _command(written: str) -> str:
    """Return the command for the kubeconfig. A relative path becomes absolute: kubectl resolves it from the kubeconfig's directory.

    Raises UsageError for what names no program.
    """
    if not written.strip() or not written.isprintable():
        raise UsageError("--exec-command takes the name or the path of a program", "such as /usr/local/bin/kube-iam")
    return os.path.abspath(written) if os.path.dirname(written) else written  # noqa: PTH100, PTH120  (Path drops a leading ./)
