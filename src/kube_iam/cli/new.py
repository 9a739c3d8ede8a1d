"""`new`: write an access file with what the kubeconfig, AWS and the cluster say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from kube_iam.cli.session import ACCESS_FILE, STANDARD_INPUT, AdminSession, pass_session
from kube_iam.cli.shared_options import (
    FILE_VARIABLE,
    aws_options,
    cluster_options,
    completing,
    global_options,
    output_option,
)
from kube_iam.cli.terminal import page
from kube_iam.errors import KubeIamError, UsageError

if TYPE_CHECKING:
    from kube_iam.aws.eks import EksCluster
    from kube_iam.config.findings import Finding, Findings

STANDARD_OUTPUT = STANDARD_INPUT
FILE_MODE = 0o644  # it holds no secret
_ACCOUNT = "write the id of the account that has the IAM users, in quotes"
_REGION = "write the region whose STS users sign in with, the cluster's"


@click.command("new")
@click.argument(
    "target", metavar="[FILE|-]", required=False, envvar=FILE_VARIABLE, shell_complete=completing("complete_files")
)
@global_options
@click.option(
    "--eks", metavar="NAME", default="", help="Ask EKS for the endpoint, the authority and the region of this cluster."
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@output_option
@aws_options
@cluster_options
@pass_session
def command(session: AdminSession, target: str | None, eks: str, force: bool, output: str) -> int:
    """Write an access file with three levels, and with the cluster, the account and the mapping that were found.

    FILE is access.yaml by default; - prints it. Endpoint and certificate authority are those of the kubeconfig context, or with --eks
    those of the EKS cluster. The account is that of your AWS credentials. The mapping is looked up in the cluster. What could not be
    found is a comment with the reason and what to write. Nothing in AWS or in the cluster is changed.
    """
    from kube_iam.report.access_file import access_file_text

    file = target or ACCESS_FILE
    if file == STANDARD_OUTPUT and output != "table":
        raise UsageError("-o describes the file that is written, and - prints that file", "leave one of the two out")
    check_target(file, force=force)
    found = find_values(session, eks)
    text = access_file_text(found)
    if file == STANDARD_OUTPUT:
        page(text)
    else:
        write_target(Path(file), text, force=force)
    _report(file, found, output)
    return 0


def check_target(file: str, *, force: bool) -> None:
    """Raise UsageError for a path that cannot be written to: with `force` only what is no regular file, such as a device."""
    path = Path(file)
    if file == STANDARD_OUTPUT:
        return
    if path.is_dir():
        raise UsageError(f"{file} is a directory", f"name a file in it: {quote(str(path / ACCESS_FILE))}")
    if path.exists() and not path.is_file():
        raise UsageError(f"{file} is no regular file, and was not changed", "name another file; - prints the file")
    if not force and (path.exists() or path.is_symlink()):
        raise UsageError(f"{file} exists, and was not changed", "name another file, or overwrite it with --force")


def write_target(path: Path, text: str, *, force: bool) -> None:
    """Write the file. Without `force` one that was created in the meantime stays. Raises UsageError and KubeIamError."""
    from kube_iam.files import write_file

    try:
        if force:
            write_file(path.resolve(), text.encode(), FILE_MODE)
            return
        with path.open("x", encoding="utf-8", newline="\n") as created:
            created.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{path} exists, and was not changed", "name another file, or overwrite it with --force"
        ) from error
    except OSError as error:
        raise KubeIamError(f"cannot write {path}: {error.strerror or error}") from error


def find_values(session: AdminSession, eks: str) -> Findings:
    """Return everything that was found. Raises KubeIamError where EKS does not describe the cluster of that name."""
    from kube_iam.aws.client import make_session
    from kube_iam.config.findings import Finding

    aws = make_session(session.connection.profile)
    region = _find_region(session, aws.get_config_variable("region"))
    cluster: EksCluster | None = None
    if eks:
        from kube_iam.aws.eks import describe_cluster

        if not region.value:
            raise UsageError(f"the region of EKS cluster {eks} is not known", "name it with --region")
        cluster = describe_cluster(eks, region.value, aws)
        region = Finding(cluster.region, f"EKS cluster {eks}")
    found = _of_eks(cluster, region) if cluster is not None else _of_context(session, region)
    account, partition = _find_account(session, found.region.value)
    return replace(found, account=account, region=_in_partition(found.region, partition))


def _find_region(session: AdminSession, of_profile: str | None) -> Finding:
    from kube_iam.config.findings import Finding
    from kube_iam.core.partitions import source_of_region

    flag = session.connection.region
    named = flag or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    if named or of_profile:
        return Finding(named or str(of_profile), source_of_region(flag, os.environ) if named else "the AWS profile")
    return Finding(reason="neither AWS_REGION nor the AWS profile names one", remedy=_REGION)


def _find_account(session: AdminSession, region: str) -> tuple[Finding, str]:
    """Return the account and the partition of the AWS credentials."""
    from kube_iam.aws.client import DEFAULT_REGION
    from kube_iam.config.findings import Finding

    session.connection = replace(session.connection, region=region or DEFAULT_REGION)
    try:
        caller = session.iam.caller()
    except KubeIamError as error:
        return Finding(reason=error.message, remedy=_ACCOUNT), ""
    return Finding(caller.account, "your AWS credentials"), caller.arn.split(":")[1]


def _in_partition(region: Finding, partition: str) -> Finding:
    """Return the region, or that it is not in the partition of the AWS credentials (empty: not known)."""
    from kube_iam.config.findings import Finding
    from kube_iam.core.partitions import partition_of_region

    if not (region.value and partition) or partition_of_region(region.value) == partition:
        return region
    reason = f"{region.value} of {region.source} is not in {partition}, the partition of your AWS credentials"
    return Finding(reason=reason, remedy=_REGION)


def _of_eks(cluster: EksCluster, region: Finding) -> Findings:
    """Return what EKS says. The cluster is not asked: its authentication mode tells what it reads.

    A cluster that reads access entries and aws-auth gets access entries, which go before aws-auth.
    """
    from kube_iam.access.levels import AWS_AUTH, access_entries
    from kube_iam.config.findings import Finding, Findings, MappingFinding, fits_schema
    from kube_iam.kube.cluster_findings import authority_finding

    source, mode = f"EKS cluster {cluster.arn}", f"authentication mode {cluster.authentication_mode}"
    target = access_entries(cluster.name) if cluster.reads_access_entries else AWS_AUTH
    mapping = MappingFinding(Finding(target.describe(), f"{mode} of the EKS cluster"), target)
    endpoint = Finding(reason="EKS names no endpoint; the cluster may be being created", remedy="run this again later")
    return Findings(
        cluster_id=Finding(cluster.name, source),
        endpoint=Finding(cluster.endpoint, source)
        if fits_schema(cluster.endpoint, "cluster", "endpoint")
        else endpoint,
        authority=authority_finding(cluster.certificate_authority, source),
        account=Finding(),
        region=region,
        mapping=mapping,
        is_eks=True,
    )


def _of_context(session: AdminSession, region: Finding) -> Findings:
    """Return what the kubeconfig context and its cluster say. Raises KubeIamError for one that was named and cannot be read."""
    from kube_iam.config.findings import Finding, Findings, MappingFinding
    from kube_iam.kube import cluster_findings as kube
    from kube_iam.kube.eks_hosts import eks_region

    try:
        api = session.kube
        context = api.context
    except KubeIamError as error:
        if session.connection.names_cluster:
            raise
        other = error.hint or "name the context with --context"
        missing = Finding(reason=error.message, remedy=f"{other}; or write it by hand")
        return Findings(missing, missing, missing, Finding(), region, MappingFinding(missing))
    own = eks_region(context.server)
    mapping = kube.find_mapping(api, is_eks=bool(own))
    source = mapping.target.describe() if mapping.target is not None else ""
    return Findings(
        cluster_id=kube.cluster_id(mapping.cluster_id, source) if mapping.cluster_id else kube.find_cluster_id(context),
        endpoint=kube.find_endpoint(context),
        authority=kube.find_authority(context),
        account=Finding(),
        region=Finding(own, "the API server's host name") if own else region,
        mapping=mapping,
        is_eks=bool(own),
    )


def _report(file: str, found: Findings, output: str) -> None:
    """Print what was written, what is missing and the next steps: on stderr where stdout has the file."""
    missing = found.missing()
    steps = _next_steps(file, complete=not missing, checks_sign_in=not found.is_eks)
    if output != "table":
        from kube_iam.cli.access_output import print_data

        by_key = found.by_key().items()
        data = {
            "file": file,
            "complete": not missing,
            "found": {key: {"value": each.value, "source": each.source} for key, each in by_key if each.value},
            "missing": {key: {"reason": each.reason, "remedy": each.remedy} for key, each in missing.items()},
            "next": steps,
        }
        print_data(data, output)
        return
    err = file == STANDARD_OUTPUT
    if not err:
        of = f" for cluster {found.cluster_id.value}" if found.cluster_id.value else ""
        click.echo(f"{file}: written, three levels{of}")
    for key, each in missing.items():
        click.echo(f"not found: {key}: {each.reason}: {each.remedy}", err=err)
    click.echo("Next:", err=err)
    for number, step in enumerate(steps, 1):
        click.echo(f"  {number}. {step}", err=err)


def _next_steps(file: str, *, complete: bool, checks_sign_in: bool) -> Sequence[str]:
    """Return the steps. With `checks_sign_in` the server reads IAM, for which it needs a policy."""
    name = "the file" if file == STANDARD_OUTPUT else file
    option = "" if file in (ACCESS_FILE, STANDARD_OUTPUT) else f" -f {quote(file)}"
    edit = f"edit {name}: " + ("the levels and their namespaces" if complete else "the lines with TODO, and the levels")
    return [
        edit,
        f"kube-iam validate{option}",
        f"kube-iam plan{option}",
        *([f"kube-iam policy server{option}, and attach it to the server's role or user"] if checks_sign_in else []),
        f"kube-iam apply{option}",
        f"kube-iam grant USER viewer{option}",
    ]
