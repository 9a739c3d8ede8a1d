"""One level under examination by an administrator, for one user: connections, what was asked, and what checks have found so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from kube_iam.access.desired import desired_entry, iam_arn, mapped_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.mapping import MappingEntry, MappingStore
from kube_iam.access.ports import Directory, GroupState, Ports, RoleState, User
from kube_iam.core.identity import Identity
from kube_iam.doctor.outcomes import Skipped
from kube_iam.errors import AccessDenied, CredentialsError, KubeIamError
from kube_iam.kube.errors import status_of

if TYPE_CHECKING:
    from kube_iam.access.entry_match import EntryMatch
    from kube_iam.denylist.editor import DenyListEditor
    from kube_iam.kube.client import KubeApi

UNKNOWN_SUFFIX = "0" * 16
"""In place of the end of the name of a permission set's role, which differs from account to account."""


class Session(Protocol):
    """The administrator's connections, each opened at first use (`cli.session.AdminSession`). Every method raises KubeIamError."""

    @property
    def access(self) -> ClusterAccess:
        """Return the access file."""

    @property
    def iam(self) -> Directory:
        """Return IAM of the AWS account."""

    @property
    def kube(self) -> KubeApi:
        """Return the API server of the kubeconfig context."""

    @property
    def mapping_store(self) -> MappingStore:
        """Return the mapping."""

    @property
    def ports(self) -> Ports:
        """Return IAM, the cluster and the mapping, for a plan."""

    def check_server(self) -> None:
        """Raise UsageError where the context leads to another API server than the access file names."""

    def deny_list(self, name: str) -> DenyListEditor:
        """Return the deny list NAMESPACE/NAME."""


@dataclass
class Inspection:
    """The user, the level, and the state of both. Each property reads IAM or the cluster once, and raises KubeIamError.

    `deny_list` is NAMESPACE/NAME, `region` that of the administrator's own calls of AWS. `has_cluster`: something of the access file
    is in a cluster, whose API server can be asked.
    """

    session: Session
    user: str
    level: Level
    deny_list: str
    environ: Mapping[str, str] = field(repr=False)
    clock: Callable[[], float]
    region: str = ""
    kubeconfig: str = ""
    has_cluster: bool = True
    interactive: bool = False

    # Found by checks.
    clock_ahead: float | None = None  # aws-account: seconds
    is_aws_known: bool = False  # aws-account: AWS takes the administrator's own credentials
    other_account: CredentialsError | None = None  # aws-account: they are of another account than the file's
    found: EntryMatch | None = None  # mapping
    names: tuple[str, tuple[str, ...]] | None = None  # mapping: the user name and groups in the cluster

    @property
    def access(self) -> ClusterAccess:
        """Return the access file."""
        return self.session.access

    @property
    def now(self) -> float:
        """Return the time (Unix seconds)."""
        return self.clock()

    @property
    def iam(self) -> Directory:
        """Return IAM. Raises CredentialsError where it is that of another account: nothing there is the level's."""
        if self.other_account is not None:
            raise self.other_account
        return self.session.iam

    @cached_property
    def user_state(self) -> User | None:
        """Return the IAM user, None without one."""
        return self.iam.user(self.user)

    @cached_property
    def group(self) -> GroupState | None:
        """Return the level's IAM group, None without one."""
        return self.iam.group(self.level.group_name)

    @cached_property
    def members(self) -> tuple[User, ...]:
        """Return the members of the level's group, none without a group."""
        return self.iam.members(self.level.group_name) if self.group is not None else ()

    @cached_property
    def role(self) -> RoleState | None:
        """Return the level's role, None without one."""
        return self.iam.role(self.level.role_name)

    @cached_property
    def entries(self) -> tuple[MappingEntry, ...]:
        """Return the entries of the mapping. Raises ConfigError where it cannot be parsed."""
        return self.session.mapping_store.entries()

    @property
    def wanted(self) -> MappingEntry:
        """Return the entry of the level as the access file says."""
        return desired_entry(self.access, self.level)

    @property
    def present(self) -> tuple[MappingEntry, ...]:
        """Return the entries of the mapping with the level's key."""
        return tuple(entry for entry in self.entries if entry.key == self.wanted.key)

    @property
    def is_applied(self) -> bool:
        """Return whether IAM has the group or the role of the level. For a level without both it is true."""
        if not self.level.method.is_in_iam:
            return True
        return self.group is not None or (self.level.method is Method.ROLE and self.role is not None)

    def identity(self, user_id: str = "") -> Identity:
        """Return the identity that the server sees when the user signs in by the level. `user_id` is the unique id, if it is known."""
        access, level, user = self.access, self.level, self.user
        if level.method is Method.GROUP:
            arn = iam_arn(access, f"user/{user}")
            return Identity(arn, arn, access.account, user_id, "", "", "")
        role = mapped_arn(access, level)
        if level.method is Method.PERMISSION_SET:
            role = iam_arn(access, f"role/AWSReservedSSO_{level.permission_set}_{UNKNOWN_SUFFIX}")
        elif level.method is Method.MAPPED_ROLE:
            role = self.wanted.role_arn
        _, partition, _, _, account, resource = role.split(":", 5)
        arn = f"arn:{partition}:sts::{account}:assumed-role/{resource.rpartition('/')[2]}/{user}"
        return Identity(arn, role, account, user_id, user, "", "")


def skipped(error: KubeIamError) -> Skipped:
    """Return the outcome of a check that could not read what it is about. A missing right is named by verb and resource, or action."""
    if (isinstance(error, AccessDenied) or status_of(error) == 403) and error.hint:
        return Skipped(f"a right is missing: {error.hint}")
    return Skipped(error.message)
