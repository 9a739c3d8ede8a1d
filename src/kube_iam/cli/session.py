"""Connections of one administrator's command: the access file, IAM, the cluster, the mapping and the audit log.

`pass_session` makes an `AdminSession` from the command's options, or takes the one in click's `ctx.obj`: tests prepare one.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from kube_iam.core.redaction import shown_url
from kube_iam.errors import KubeIamError, UsageError

if TYPE_CHECKING:
    from kube_iam.access.levels import ClusterAccess
    from kube_iam.access.mapping import MappingSource, MappingStore
    from kube_iam.access.ports import Cluster, Directory, Ports, Subject
    from kube_iam.aws.access_entries import AccessEntryStore
    from kube_iam.aws.eks import EksCluster
    from kube_iam.cli.changes import AuditLog
    from kube_iam.cli.progress import Display
    from kube_iam.core.member_source import MemberSource
    from kube_iam.denylist.denial import Denial
    from kube_iam.denylist.editor import DenyListEditor
    from kube_iam.denylist.propagation import Clock
    from kube_iam.kube.client import KubeApi
    from kube_iam.kube.events import AuditRecord
    from kube_iam.kube.rbac import KubeRbac

F = TypeVar("F", bound=Callable[..., Any])

STANDARD_INPUT = "-"
ACCESS_FILE = "access.yaml"
DENY_LIST = "kube-system/kube-iam-denied"


@dataclass(frozen=True, slots=True)
class Connection:
    """Options that name the administrator's own AWS profile and kubeconfig context. Empty: the default of the AWS CLI or kubectl."""

    profile: str = ""
    region: str = ""
    kubeconfig: str = ""
    context: str = ""

    @property
    def names_cluster(self) -> bool:
        """Return whether the cluster was chosen on the command line."""
        return bool(self.kubeconfig or self.context)


@dataclass(frozen=True, slots=True)
class Destination:
    """The API server and the AWS account that a command works on, which plans, questions and data name. Empty: none, or not known.

    `api_server` is its URL without secrets, `context` the kubeconfig context that leads to it, `account` the account's id.
    """

    api_server: str = ""
    context: str = ""
    account: str = ""

    @property
    def place(self) -> str:
        """Return the API server as `https://… (context prod)`, empty without one."""
        return f"{self.api_server} (context {self.context})" if self.api_server else ""

    def of(self, cluster: str) -> str:
        """Return `cluster prod.example.com at https://… (context prod), AWS account 123456789012`."""
        place = f" at {self.place}" if self.place else ""
        return f"cluster {cluster}{place}" + (f", AWS account {self.account}" if self.account else "")

    def as_data(self) -> dict[str, object]:
        """Return the same for programs. A value that is not there is null."""
        return {
            "account": self.account or None,
            "apiServer": self.api_server or None,
            "context": self.context or None,
        }


class AdminSession:
    """The connections of one command. Each is opened at first use and kept. Opening one calls neither AWS nor the cluster.

    `file` is the access file, `-` for standard input. Several threads may use a session.
    """

    def __init__(self, file: str = ACCESS_FILE, connection: Connection = Connection()) -> None:
        self.file = file
        self.connection = connection
        self.is_file_named = False  # on the command line
        self._kube: KubeApi | None = None
        self._denials: list[Denial] | None = None
        self._lock = threading.Lock()

    @cached_property
    def access(self) -> ClusterAccess:
        """Return the access file. Raises ConfigError with all problems, UsageError where there is no file."""
        return read_access(self.file)

    @cached_property
    def display(self) -> Display:
        """Return the progress display on stderr."""
        from kube_iam.cli.progress import Display

        return Display()

    @cached_property
    def clock(self) -> Clock:
        """Return the monotonic clock by which the command measures and waits."""
        from kube_iam.denylist.editor import SYSTEM_CLOCK

        return SYSTEM_CLOCK

    @cached_property
    def iam(self) -> Directory:
        """Return IAM of the AWS account."""
        from kube_iam.aws.iam import IamDirectory

        return IamDirectory(self._clients, self.display.waiting)

    @cached_property
    def iam_without_prompts(self) -> Directory:
        """Return IAM that prints nothing, and whose calls raise NobodyToAsk where they need an MFA code."""
        from kube_iam.aws.iam import IamDirectory

        return IamDirectory(self._clients_without_prompts)

    @property
    def destination(self) -> Destination:
        """Return the API server and the AWS account, for messages and data. Calls neither. Raises what `access` raises."""
        cluster = self.cluster_destination if needs_cluster(self.access) else Destination()
        return replace(cluster, account=self.access.account)

    @property
    def cluster_destination(self) -> Destination:
        """Return the API server alone, for commands that change nothing in AWS and need no access file. Raises nothing."""
        try:
            context = self.kube.context
        except KubeIamError:
            return Destination()
        return Destination(shown_url(context.server), context.name)

    @property
    def kube(self) -> KubeApi:
        """Return the API server of the kubeconfig context, which may be of another cluster than the file: see `checked_kube`."""
        with self._lock:
            if self._kube is None:
                self._kube = self._open_kube()
            return self._kube

    @property
    def checked_kube(self) -> KubeApi:
        """Return `kube` after `check_server`, and raise what that raises."""
        self.check_server()
        return self.kube

    @cached_property
    def cluster(self) -> Cluster | None:
        """Return the cluster, None where nothing of the access file is in one. Raises what `check_server` raises."""
        from kube_iam.kube.cluster import KubeCluster

        return KubeCluster(self.checked_kube) if needs_cluster(self.access) else None

    @cached_property
    def rbac(self) -> KubeRbac:
        """Return RBAC and the resources of the cluster. Raises what `check_server` raises."""
        from kube_iam.kube.rbac import KubeRbac

        return KubeRbac(self.checked_kube)

    @cached_property
    def caller(self) -> Subject:
        """Return the user that the context's API server knows the administrator as. Raises KubeIamError."""
        return self.kube.whoami()

    @property
    def is_eks(self) -> bool:
        """Return whether EKS runs the API server, by its address or by the access file, if there is one. Raises nothing."""
        from kube_iam.kube.eks_hosts import eks_region

        try:
            if eks_region(self.kube.server):
                return True
            return access_exists(self.file) and self._of_eks
        except KubeIamError:
            return False

    @property
    def actor(self) -> str:
        """Return the administrator's user name in the cluster. It is empty if that cannot be read, which stops no denial."""
        try:
            return self.caller.username
        except KubeIamError:
            return ""

    def deny_list(self, name: str) -> DenyListEditor:
        """Return the deny list NAMESPACE/NAME in the cluster of the context."""
        from kube_iam.denylist.editor import DenyListEditor

        return DenyListEditor(self.kube, name, self.clock)

    @cached_property
    def mapping_store(self) -> MappingStore:
        """Return the mapping, in the cluster, in EKS or in a file. Raises what `check_server` raises."""
        return self._with_bindings(self._plain_store)

    @property
    def mapping_store_without_prompts(self) -> MappingStore:
        """Return the mapping, whose calls to AWS raise NobodyToAsk where they need an MFA code."""
        if self._of_eks:
            return self._with_bindings(self._access_entries(may_ask=False))
        return self.mapping_store

    @cached_property
    def _plain_store(self) -> MappingStore:
        """Return the mapping without what the bindings of synced levels hold."""
        from kube_iam.kube.mapping_store import make_store

        if self._of_eks:
            return self._access_entries()
        return make_store(self.access, self.checked_kube if self.access.mapping.kind.is_in_cluster else None)

    def _with_bindings(self, store: MappingStore) -> MappingStore:
        """Return the mapping with the temporary access that bindings of synced levels hold."""
        if not self.access.uses_sync:
            return store
        from kube_iam.access.synced_grants import SyncedStore
        from kube_iam.kube.synced_bindings import KubeGrantBindings

        return SyncedStore(self.access, store, KubeGrantBindings(self.checked_kube))

    @property
    def _of_eks(self) -> bool:
        """Return whether the mapping is the access entries of an EKS cluster. Raises what `access` raises."""
        from kube_iam.access.levels import TargetKind

        return self.access.mapping.kind is TargetKind.ACCESS_ENTRIES

    @cached_property
    def ports(self) -> Ports:
        """Return IAM, the cluster and the mapping, with checks in advance. Raises what `check_server` raises."""
        from kube_iam.access.ports import Ports, Preflight
        from kube_iam.kube.cluster import KubeCluster
        from kube_iam.kube.dry_run import DryRunApi
        from kube_iam.kube.mapping_source import make_source
        from kube_iam.kube.mapping_store import make_store

        iam, access = self.iam, self.access
        api = self.checked_kube if needs_cluster(access) else None
        dry = DryRunApi(api) if api is not None else None
        preflight = Preflight(
            KubeCluster(dry) if dry is not None else None,
            self._access_entries(dry_run=True) if self._of_eks else make_store(access, dry, dry_run=True),
            self._mapping_source(make_source(access, api)),
            self._former_store(dry),
        )
        return Ports(iam, self.cluster, self.mapping_store, preflight, self._former_store(api), self._denied_users)

    def _mapping_source(self, read: Callable[[], MappingSource]) -> Callable[[], MappingSource]:
        """Return a function that reads the mapping's source and, on EKS, whether the cluster's authenticator reads it."""
        from kube_iam.aws.access_entries import AccessEntryStore
        from kube_iam.aws.eks import doubt_about_aws_auth, doubt_about_endpoint

        def checked() -> MappingSource:
            source, store = read(), self._plain_store
            if isinstance(store, AccessEntryStore):
                return replace(source, doubt=doubt_about_endpoint(store.cluster, self.access.endpoint))
            cluster = self._eks_cluster()
            return source if cluster is None else replace(source, doubt=doubt_about_aws_auth(cluster))

        return checked

    def require_eks_cluster(self) -> None:
        """Raise NotFound where the mapping is access entries of an EKS cluster that does not exist."""
        from kube_iam.aws.access_entries import AccessEntryStore

        if self._of_eks and isinstance(self._plain_store, AccessEntryStore):
            self._plain_store.cluster  # noqa: B018  (read now)

    def _eks_cluster(self) -> EksCluster | None:
        """Return the EKS cluster whose mapping is aws-auth; None for other clusters, and where EKS does not describe it."""
        from kube_iam.access.levels import TargetKind
        from kube_iam.aws.eks import read_cluster
        from kube_iam.aws.iam_calls import IamCalls
        from kube_iam.kube.eks_hosts import eks_region

        access = self.access
        region = eks_region(self.kube.context.server) if access.mapping.kind is TargetKind.AWS_AUTH else ""
        if not region:
            return None
        try:
            return read_cluster(IamCalls(self._clients), access.cluster_id, region)
        except KubeIamError:
            return None

    def _former_store(self, api: KubeApi | None) -> MappingStore | None:
        """Return the ConfigMap aws-auth where the mapping is access entries of a cluster that reads both."""
        from kube_iam.aws.access_entries import AccessEntryStore
        from kube_iam.kube.mapping_store import aws_auth_store

        store = self._plain_store
        if api is None or not isinstance(store, AccessEntryStore) or not store.cluster.reads_aws_auth:
            return None
        return aws_auth_store(api)

    def _denied_users(self, source: MemberSource, users: Mapping[str, str]) -> frozenset[str]:
        """Return which IAM users the deny list refuses in a level whose bindings name its members. Raises KubeIamError."""
        from kube_iam.denylist.denied_subjects import denied_users

        if self._denials is None:
            self._denials = self.deny_list(DENY_LIST).denials()
        return denied_users(source, users, self._denials, time.time())

    @cached_property
    def iam_ports(self) -> Ports:
        """Return IAM alone, for a cluster that is gone: without bindings, and with a mapping that is not read."""
        from kube_iam.access.mapping import UnreadMapping
        from kube_iam.access.ports import Ports

        return Ports(self.iam, None, UnreadMapping(self.access.mapping.describe()))

    @cached_property
    def audit(self) -> AuditLog:
        """Return the audit log of the access file's cluster; it writes nothing where nothing of the file is in a cluster."""
        from kube_iam.cli.changes import AuditLog

        return AuditLog(self._write_checked_events if needs_cluster(self.access) else None)

    def write_events(self, records: Sequence[AuditRecord]) -> None:
        """Write an audit event for each record into the cluster of the context. Raises KubeIamError."""
        from kube_iam.kube.events import write_events

        write_events(self.kube, self.caller, records, time.time())

    def _write_checked_events(self, records: Sequence[AuditRecord]) -> None:
        self.check_server()
        self.write_events(records)

    def check_server(self) -> None:
        """Raise UsageError where the current context leads to another API server than the access file names.

        Raises KubeError where the kubeconfig has no such context. A context that was chosen by name may lead anywhere: administrators
        reach some API servers by another address.
        """
        check_server(self.access, self.kube.server, named=self.connection.names_cluster)

    def warn_of_regions(self) -> None:
        """Print a warning for each region, of the access file and of `--region`, that this version does not know."""
        warn_of_regions(self.access, self.connection.region)

    def options(self) -> tuple[str, ...]:
        """Return the words of the command line that choose this access file, profile and context, for a command to run next."""
        file = ("-f", self.file) if self.is_file_named else ()
        chosen = ((f"--{each.name}", getattr(self.connection, each.name)) for each in fields(Connection))
        return (*file, *(word for name, value in chosen if value for word in (name, value)))

    @cached_property
    def _clients(self) -> Callable[[str], Any]:
        """Return the maker of clients for IAM, STS and EKS. They share credentials, so that an MFA code is asked for once."""
        return self._client_maker()

    @cached_property
    def _clients_without_prompts(self) -> Callable[[str], Any]:
        """Return the same, for calls that raise NobodyToAsk where they need an MFA code."""
        return self._client_maker(may_ask=False)

    def _client_maker(self, *, may_ask: bool = True) -> Callable[[str], Any]:
        """Return a function that makes the client of a service, with the administrator's credentials."""
        from kube_iam.aws.command_clients import CommandClients

        region = self.connection.region or self.access.region
        return CommandClients(self.connection.profile, region, lambda: self.access.region, may_ask=may_ask)

    def _access_entries(self, *, dry_run: bool = False, may_ask: bool = True) -> AccessEntryStore:
        """Return the access entries of the EKS cluster that the access file names."""
        from kube_iam.aws.access_entries import AccessEntryStore
        from kube_iam.aws.iam_calls import IamCalls

        calls = IamCalls(self._clients if may_ask else self._clients_without_prompts)
        return AccessEntryStore(calls, self.access, dry_run=dry_run, progress=self.display.waiting)

    def _open_kube(self) -> KubeApi:
        from kube_iam.kube.client import KubeApi

        return KubeApi(environ=os.environ, kubeconfig=self.connection.kubeconfig, context=self.connection.context)


def session_of(context: click.Context, values: dict[str, Any]) -> AdminSession:
    """Return the session of the command. The options that it is made from are removed from `values`."""
    session = context.find_object(AdminSession) or AdminSession()
    session.is_file_named = context.get_parameter_source("file") is ParameterSource.COMMANDLINE
    session.file = str(values.pop("file", None) or ACCESS_FILE)
    names = (field.name for field in fields(Connection))
    session.connection = Connection(**{name: str(values.pop(name, None) or "") for name in names})
    return session


def pass_session(function: F) -> F:
    """Give the command the `AdminSession` as its first argument, in place of the options that it is made from.

    Put it directly above the function.
    """

    @click.pass_context
    def call(context: click.Context, /, *arguments: Any, **values: Any) -> Any:
        session = session_of(context, values)
        return context.invoke(function, session, *arguments, **values)

    return cast(F, update_wrapper(call, function))


def read_access(file: str) -> ClusterAccess:
    """Read the access file; `-` stands for standard input, no name for access.yaml.

    Raises ConfigError with all problems, UsageError where there is no file.
    """
    from kube_iam.config.access import load_access, parse_access

    file = file or ACCESS_FILE
    if file == STANDARD_INPUT:
        return parse_access(sys.stdin.buffer.read(), "standard input", Path())
    if not access_exists(file):
        raise UsageError(f"there is no {file}", "name the access file with -f or KUBE_IAM_ACCESS")
    return load_access(file)


def access_exists(file: str) -> bool:
    """Return whether there is something to read under the name of an access file. `-`, standard input, always counts."""
    return file == STANDARD_INPUT or Path(file).exists()


def warn_of_regions(access: ClusterAccess, flag: str = "") -> None:
    """Print a warning for each region, of the access file and of `--region`, that this version does not know."""
    from kube_iam.aws.regions import doubt_about

    for region, source in ((access.region, access.place("region")), (flag, "--region")):
        if region and (doubt := doubt_about(region, source)):
            click.echo(f"warning: {doubt}", err=True)


def needs_cluster(access: ClusterAccess) -> bool:
    """Return whether anything of the file is in the cluster."""
    return access.mapping.kind.is_in_cluster or any(level.bind for level in access.levels)


def check_server(access: ClusterAccess, server: str, *, named: bool) -> None:
    """Raise UsageError where `server`, the API server's URL, is not the file's, unless its context was chosen by name."""
    if not access.endpoint or named or _address(server) == _address(access.endpoint):
        return
    raise UsageError(
        f"the current kubeconfig context leads to {shown_url(server)}, "
        f"and {access.place('cluster.endpoint')} is about {shown_url(access.endpoint)}",
        "choose the context with --context; one that is named may lead to another address of the same cluster",
    )


def _address(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or 443


def on_terminal() -> bool:
    """Return whether standard input is a terminal, so that somebody can answer a question."""
    return sys.stdin is not None and sys.stdin.isatty()


def require_terminal(hint: str = "look at the plan, then add --yes") -> None:
    """Raise UsageError where standard input is no terminal."""
    if not on_terminal():
        raise UsageError("there is no terminal to ask on, so nothing was changed", hint)
