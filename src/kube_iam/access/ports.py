"""What the access logic needs from IAM and from the cluster. The edges (`kube_iam.aws`, `kube_iam.kube`) implement these.

Every method raises `kube_iam.errors` only. Reads page through everything. Writes are idempotent: creating what exists with the
same content, and deleting what is gone, succeed. After a write the edge waits, with backoff, until IAM shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from kube_iam.access.mapping import MappingSource, MappingStore

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who the administrator is to AWS: `arn` is canonical (an assumed role shows as its role)."""

    account: str
    arn: str


@dataclass(frozen=True, slots=True)
class PolicyState:
    """A customer managed policy: its default version's document (parsed JSON) and its tags."""

    arn: str
    name: str
    path: str
    document: object
    tags: Mapping[str, str] = field(default_factory=dict)
    attachments: int = field(default=0, compare=False)  # to groups, users and roles together


@dataclass(frozen=True, slots=True)
class Holder:
    """A group, user or role that has a policy attached; `kind` is that word."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class RoleState:
    """A role: its trust policy (parsed JSON), tags, longest session in seconds, attached and inline policies (names or ARNs)."""

    arn: str
    name: str
    path: str
    trust: object
    tags: Mapping[str, str] = field(default_factory=dict)
    max_session_seconds: int = 3600
    description: str = ""
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupState:
    """An IAM group and the ARNs of the policies attached to it."""

    arn: str
    name: str
    path: str
    attached: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """An IAM user. `unique_id` (AIDA…) changes when a user is deleted and made again under the same name."""

    name: str
    arn: str
    unique_id: str


class Directory(Protocol):
    """IAM, as far as kube-iam touches it."""

    def each(self, read: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """What `read`, which calls one reading method here, says of each item, in their order; may ask several at once.

        The first error is raised, and what has not begun by then is not begun.
        """

    def caller(self) -> Caller:
        """The account and principal that these calls run as."""

    def policies(self, path_prefix: str) -> tuple[PolicyState, ...]:
        """All customer managed policies below the path, with documents and tags."""

    def policy(self, arn: str) -> PolicyState | None:
        """The policy, or None where there is none."""

    def create_policy(self, name: str, path: str, document: object, tags: Mapping[str, str], description: str) -> str:
        """Create the policy and return its ARN."""

    def update_policy(self, arn: str, document: object) -> None:
        """Make the document the default version; the oldest other version goes when all five are in use."""

    def tag_policy(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add or overwrite the tags."""

    def delete_policy(self, arn: str) -> None:
        """Delete the policy with all its versions."""

    def holders(self, arn: str) -> tuple[Holder, ...]:
        """The groups, users and roles that have the policy attached."""

    def detach_from(self, holder: Holder, arn: str) -> None:
        """Detach the policy from a group, user or role."""

    def role(self, name: str) -> RoleState | None:
        """The role, or None where there is none."""

    def role_id(self, name: str) -> str:
        """The role's unique id (AROA…), empty where there is no such role."""

    def create_role(
        self, name: str, path: str, trust: object, tags: Mapping[str, str], max_session_seconds: int, description: str
    ) -> str:
        """Create the role and return its ARN."""

    def update_role(self, name: str, trust: object, max_session_seconds: int, description: str) -> None:
        """Set trust policy, longest session and description."""

    def tag_role(self, name: str, tags: Mapping[str, str]) -> None:
        """Add or overwrite the tags."""

    def delete_role(self, name: str) -> None:
        """Delete the role; it has no policies of ours to remove first."""

    def groups(self, path_prefix: str) -> tuple[GroupState, ...]:
        """All groups below the path, with attachments."""

    def group(self, name: str) -> GroupState | None:
        """The group, or None where there is none."""

    def create_group(self, name: str, path: str) -> str:
        """Create the group and return its ARN."""

    def move_group(self, name: str, path: str) -> None:
        """Give the group another path, keeping its members and policies (UpdateGroup): how a group is adopted."""

    def delete_group(self, name: str) -> None:
        """Delete the group, which has no members and no policies any more."""

    def attach(self, group: str, policy_arn: str) -> None:
        """Attach the policy to the group."""

    def detach(self, group: str, policy_arn: str) -> None:
        """Detach the policy from the group."""

    def members(self, group: str) -> tuple[User, ...]:
        """The group's members, all pages. Raises NotFound where there is no such group."""

    def users(self) -> Iterator[User]:
        """Every IAM user of the account, page by page."""

    def user(self, name: str) -> User | None:
        """The user, or None where there is none."""

    def key_owner(self, access_key_id: str) -> str:
        """The name of the user of this account who has the access key (AKIA…), empty where there is none."""

    def add_member(self, group: str, user: str) -> None:
        """Put the user into the group."""

    def remove_member(self, group: str, user: str) -> None:
        """Take the user out of the group."""

    def user_policy(self, user: str, name: str) -> object | None:
        """The document of a user's own (inline) policy, or None where there is none."""

    def put_user_policy(self, user: str, name: str, document: object) -> None:
        """Make the document the user's own policy of that name, in the place of one that is there."""

    def delete_user_policy(self, user: str, name: str) -> None:
        """Delete the user's own policy of that name."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who the administrator is to the cluster (SelfSubjectReview); `canonical_arn` is empty where the cluster does not say."""

    username: str
    groups: tuple[str, ...] = ()
    canonical_arn: str = ""


@dataclass(frozen=True, slots=True)
class BindingState:
    """A RoleBinding (`namespace` set) or ClusterRoleBinding (empty) for groups.

    `role_kind` is ClusterRole or Role. `level` comes from our label and is empty where the binding is not ours.
    """

    name: str
    namespace: str
    role_kind: str
    role_name: str
    groups: tuple[str, ...]
    level: str
    cluster: str = ""

    @property
    def ident(self) -> tuple[str, str]:
        """Namespace and name: what Kubernetes tells bindings apart by."""
        return (self.namespace, self.name)


class Cluster(Protocol):
    """The Kubernetes API, as far as kube-iam touches it."""

    def whoami(self) -> Subject:
        """Who these calls run as."""

    def bindings(self) -> tuple[BindingState, ...]:
        """All bindings that carry our label `app.kubernetes.io/managed-by=kube-iam`, of every cluster name."""

    def binding(self, namespace: str, name: str) -> BindingState | None:
        """One binding, ours or not, or None."""

    def role_exists(self, kind: str, namespace: str, name: str) -> bool:
        """Whether the ClusterRole or Role that a binding names is there."""

    def apply_binding(self, binding: BindingState) -> None:
        """Server-side apply with field manager `kube-iam`; a binding whose roleRef differs is replaced (it is immutable)."""

    def delete_binding(self, namespace: str, name: str) -> None:
        """Delete the binding."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """Checks that change nothing: the writes of `cluster` and `store` are dry runs. `cluster` is None where none is needed."""

    cluster: Cluster | None
    store: MappingStore
    source: Callable[[], MappingSource]


@dataclass(frozen=True, slots=True)
class Ports:
    """The three worlds that access lives in. `cluster` is None where a level binds nothing and the mapping is a local file.

    `preflight` is None where a plan is not checked in advance.
    """

    directory: Directory
    cluster: Cluster | None
    store: MappingStore
    preflight: Preflight | None = None
