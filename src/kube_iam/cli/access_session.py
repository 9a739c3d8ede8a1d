"""Where the commands about access meet the real AWS account and the real cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from kube_iam.access.levels import ClusterAccess, TargetKind
from kube_iam.access.mapping import MappingStore, UnreadMapping
from kube_iam.access.ports import Cluster, Directory, Ports, Preflight
from kube_iam.core.redaction import shown_url
from kube_iam.errors import UsageError

if TYPE_CHECKING:
    from kube_iam.kube.client import KubeApi


STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Where:
    """The administrator's own way into AWS and into the cluster, as given on the command line; empty means the default."""

    profile: str = ""
    region: str = ""
    kubeconfig: str = ""
    context: str = ""


def open_access(file: str) -> ClusterAccess:
    """Read the access file; `-` stands for standard input. Raises ConfigError with all problems, UsageError where there is no file."""
    from kube_iam.config.access import load_access, parse_access

    if file == STANDARD_INPUT:
        return parse_access(sys.stdin.buffer.read(), "standard input", Path())
    if not Path(file).exists():
        raise UsageError(f"there is no {file}", "name the access file with -f or KUBE_IAM_ACCESS")
    return load_access(file)


def warn_of_regions(access: ClusterAccess, flag: str = "") -> None:
    """Print a warning for each region, of the access file and of `--region`, that this version does not know."""
    from kube_iam.aws.regions import doubt_about

    for region, source in ((access.region, access.source), (flag, "--region")):
        if region and (doubt := doubt_about(region, source)):
            click.echo(f"warning: {doubt}", err=True)


def open_directory(
    access: ClusterAccess, where: Where, waiting: Callable[[str], None], *, may_ask: bool = True
) -> Directory:
    """The AWS account's IAM; `waiting` hears what IAM is being waited for. Nothing is called yet.

    Without `may_ask`, calls that need an MFA code raise NobodyToAsk.
    """
    from kube_iam.aws.client import iam_client, make_client, make_session
    from kube_iam.aws.iam import IamDirectory
    from kube_iam.aws.mfa import MfaPrompt, ask_with

    session = make_session(where.profile)
    if not may_ask:
        ask_with(MfaPrompt(interactive=False), session)
    region = where.region or access.region

    def make(service: str) -> Any:
        return iam_client(region, session) if service == "iam" else make_client(service, region, session=session)

    return IamDirectory(make, waiting)


def open_ports(access: ClusterAccess, where: Where, waiting: Callable[[str], None]) -> Ports:
    """IAM, the cluster and the mapping. A file that binds nothing and maps into a local file needs no cluster."""
    from kube_iam.kube.cluster import KubeCluster
    from kube_iam.kube.dry_run import DryRunApi
    from kube_iam.kube.mapping_source import make_source
    from kube_iam.kube.mapping_store import make_store

    directory = open_directory(access, where, waiting)
    if not needs_cluster(access):
        checks = Preflight(None, make_store(access, None, dry_run=True), make_source(access, None))
        return Ports(directory, None, make_store(access, None), checks)
    api = open_api(access, where)
    dry = DryRunApi(api)
    preflight = Preflight(KubeCluster(dry), make_store(access, dry, dry_run=True), make_source(access, api))
    return Ports(directory, KubeCluster(api), make_store(access, api), preflight)


def open_iam(access: ClusterAccess, where: Where, waiting: Callable[[str], None]) -> Ports:
    """IAM alone, for a cluster that is gone: no bindings, and a mapping that is not read."""
    return Ports(open_directory(access, where, waiting), None, UnreadMapping(access.mapping.describe()))


def open_cluster(access: ClusterAccess, where: Where) -> Cluster | None:
    """The cluster alone, None where nothing of the file lives in one. Raises what `open_api` raises."""
    from kube_iam.kube.cluster import KubeCluster

    return KubeCluster(open_api(access, where)) if needs_cluster(access) else None


def open_store(access: ClusterAccess, where: Where) -> MappingStore:
    """The mapping alone, in the cluster or in a file."""
    from kube_iam.kube.mapping_store import make_store

    return make_store(access, None if access.mapping.kind is TargetKind.FILE else open_api(access, where))


def open_api(access: ClusterAccess, where: Where) -> KubeApi:
    """The cluster's API. Raises KubeError, or UsageError where the way chosen seems to lead to another cluster."""
    from kube_iam.kube.client import KubeApi

    api = KubeApi(environ=os.environ, kubeconfig=where.kubeconfig, context=where.context)
    check_server(access, api.server, named=bool(where.kubeconfig or where.context))
    return api


def needs_cluster(access: ClusterAccess) -> bool:
    """Whether anything of the file lives in the cluster."""
    return access.mapping.kind is not TargetKind.FILE or any(level.bind for level in access.levels)


def check_server(access: ClusterAccess, server: str, *, named: bool) -> None:
    """Raise UsageError when the current context leads to another API server than the file names; one chosen by name may.

    Administrators reach some API servers by another address, but nobody means to change a cluster that merely happens to be current.
    """
    if not access.endpoint or named or _address(server) == _address(access.endpoint):
        return
    raise UsageError(
        f"the current kubeconfig context leads to {shown_url(server)}, and {access.source} is about {shown_url(access.endpoint)}",
        "choose the context with --context; one that is named may lead to another address of the same cluster",
    )


def _address(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or 443


def on_terminal() -> bool:
    """Whether a person sits there who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def require_terminal(hint: str = "look at the plan, then add --yes") -> None:
    """Raise UsageError where nobody sits who could be asked."""
    if not on_terminal():
        raise UsageError("there is no terminal to ask on, so nothing was changed", hint)
