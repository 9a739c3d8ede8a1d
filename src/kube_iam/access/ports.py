"""Ports to IAM and to the cluster, which `kube_iam.aws` and `kube_iam.kube` implement. The mapping's port is in `mapping`.

Every method raises `kube_iam.errors` only. Reads page through everything. Writes are idempotent: creating what exists with the
same content, and deleting what does not exist, succeed. After a write the edge waits, with backoff, until IAM shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from kube_iam.access.mapping import MappingSource, MappingStore
from kube_iam.core.member_source import MemberSource

DeniedUsers = Callable[[MemberSource, Mapping[str, str]], frozenset[str]]
"""Function that returns which IAM users, given with their unique ids, a denial refuses in a level. Raises KubeIamError."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Caller:
    """The administrator's identity in AWS. `arn` is canonical: an assumed role shows as its role."""

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
    """A role: trust policy (parsed JSON), tags, maximum session duration in seconds, attached and inline policies (names or ARNs).

    `boundary` is the ARN of its permissions boundary, empty without one, `created` the time of its creation in Unix seconds.
    """

    arn: str
    name: str
    path: str
    trust: object
    tags: Mapping[str, str] = field(default_factory=dict)
    max_session_seconds: int = 3600
    description: str = ""
    policies: tuple[str, ...] = ()
    boundary: str = ""
    created: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class GroupState:
    """An IAM group and the ARNs of the policies attached to it."""

    arn: str
    name: str
    path: str
    attached: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """An IAM user. `unique_id` (AIDA…) changes when a user is deleted and made again under the same name.

    `boundary` is the ARN of the permissions boundary, which lists of users do not have.
    """

    name: str
    arn: str
    unique_id: str
    boundary: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class HeldPolicy:
    """A policy of a user or group: attached (`arn`), or its own inline policy.

    `document` is parsed JSON. It is None where it could not be read, and `problem` says why.
    """

    holder: Holder
    name: str
    document: object
    arn: str = ""
    problem: str = ""

    def __str__(self) -> str:
        return f"{'managed' if self.arn else 'inline'} policy {self.name} of {self.holder}"


@dataclass(frozen=True, slots=True)
class Simulation:
    """Answer of iam:SimulatePrincipalPolicy: `allowed`, `explicitDeny` or `implicitDeny`.

    `policies` are the names of the policies whose statements matched. `missing_keys` are condition keys that the simulation lacked.
    `organization_allows` and `boundary_allows` are None where IAM does not say.
    """

    decision: str
    policies: tuple[str, ...] = ()
    missing_keys: tuple[str, ...] = ()
    organization_allows: bool | None = None
    boundary_allows: bool | None = None


class Directory(Protocol):
    """IAM, as far as kube-iam uses it."""

    def each(self, read: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return the result of `read`, which calls one reading method of this port, for each item, in order. May read in parallel.

        The first error is raised. Reads that have not begun by then are not begun.
        """

    def caller(self) -> Caller:
        """Return the account and principal of these calls."""

    def policies(self, path_prefix: str) -> tuple[PolicyState, ...]:
        """Return all customer managed policies below the path, with documents and tags."""

    def policy(self, arn: str) -> PolicyState | None:
        """Return the policy, or None if there is none."""

    def create_policy(self, name: str, path: str, document: object, tags: Mapping[str, str], description: str) -> str:
        """Create the policy and return its ARN."""

    def update_policy(self, arn: str, document: object) -> None:
        """Make the document the default version; the oldest other version goes when all five are in use."""

    def tag_policy(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add or overwrite the tags."""

    def untag_policy(self, arn: str, keys: tuple[str, ...]) -> None:
        """Remove the tags with these keys."""

    def delete_policy(self, arn: str) -> None:
        """Delete the policy with all its versions."""

    def holders(self, arn: str) -> tuple[Holder, ...]:
        """Return the groups, users and roles that have the policy attached."""

    def detach_from(self, holder: Holder, arn: str) -> None:
        """Detach the policy from a group, user or role."""

    def role(self, name: str) -> RoleState | None:
        """Return the role, or None if there is none."""

    def role_id(self, name: str) -> str:
        """Return the role's unique id (AROA…), empty if there is no such role."""

    def create_role(
        self,
        name: str,
        path: str,
        trust: object,
        tags: Mapping[str, str],
        max_session_seconds: int,
        description: str,
        boundary: str = "",
    ) -> str:
        """Create the role and return its ARN. `boundary` is the ARN of its permissions boundary, empty for none."""

    def update_role(self, name: str, trust: object, max_session_seconds: int, description: str) -> None:
        """Set trust policy, maximum session duration (seconds) and description."""

    def tag_role(self, name: str, tags: Mapping[str, str]) -> None:
        """Add or overwrite the tags."""

    def set_boundary(self, name: str, boundary: str) -> None:
        """Make the policy with that ARN the role's permissions boundary. An empty text removes the boundary."""

    def delete_role(self, name: str) -> None:
        """Delete the role; it has no policies of ours to remove first."""

    def groups(self, path_prefix: str) -> tuple[GroupState, ...]:
        """Return all groups below the path, with attachments."""

    def group(self, name: str) -> GroupState | None:
        """Return the group, or None if there is none."""

    def inline_policies(self, group: str) -> tuple[str, ...]:
        """Return the names of the group's inline policies; none if there is no such group."""

    def create_group(self, name: str, path: str) -> str:
        """Create the group and return its ARN."""

    def move_group(self, name: str, path: str) -> None:
        """Give the group another path, keeping its members and policies (UpdateGroup). So a group is adopted."""

    def delete_group(self, name: str) -> None:
        """Delete the group, which has no members and no policies any more."""

    def attach(self, group: str, policy_arn: str) -> None:
        """Attach the policy to the group."""

    def detach(self, group: str, policy_arn: str) -> None:
        """Detach the policy from the group."""

    def members(self, group: str) -> tuple[User, ...]:
        """Return the group's members, all pages. Raises NotFound if there is no such group."""

    def users(self) -> Iterator[User]:
        """Yield every IAM user of the account, page by page."""

    def user(self, name: str) -> User | None:
        """Return the user, or None if there is none."""

    def key_owner(self, access_key_id: str) -> str:
        """Return the name of the account's user with that access key (AKIA…), empty if there is none."""

    def groups_of(self, user: str) -> frozenset[str]:
        """Return the names of the user's groups, none for a user that does not exist."""

    def add_member(self, group: str, user: str) -> None:
        """Add the user to the group."""

    def remove_member(self, group: str, user: str) -> None:
        """Remove the user from the group."""

    def user_policy(self, user: str, name: str) -> object | None:
        """Return the document of a user's own (inline) policy, or None if there is none."""

    def put_user_policy(self, user: str, name: str, document: object) -> None:
        """Write the user's own policy of that name, replacing an existing one."""

    def delete_user_policy(self, user: str, name: str) -> None:
        """Delete the user's own policy of that name."""

    def held_policies(self, holder: Holder) -> tuple[HeldPolicy, ...]:
        """Return the policies of a user or group with their documents; none where there is no such user or group."""

    def policy_document(self, arn: str) -> object | None:
        """Return the default version of a managed policy, also of AWS's own, or None if there is none."""

    def simulate(
        self, user_arn: str, action: str, resource: str, context: Mapping[str, str | bool | float]
    ) -> Simulation:
        """Return what IAM says of the user's policies and an action on a resource (iam:SimulatePrincipalPolicy).

        `context` has condition keys with their values: texts, booleans, and times in Unix seconds.
        """


@dataclass(frozen=True, slots=True)
class Subject:
    """The administrator's identity in the cluster (SelfSubjectReview). `canonical_arn` is empty if the cluster does not show it."""

    username: str
    groups: tuple[str, ...] = ()
    canonical_arn: str = ""


@dataclass(frozen=True, slots=True)
class BindingState:
    """A RoleBinding (`namespace` set) or ClusterRoleBinding (empty) for groups, or with `source` for users.

    `role_kind` is ClusterRole or Role. `level` is our label's, empty for a binding that is not ours. `ident` is namespace and name, by
    which Kubernetes tells bindings apart. `source` is where `kube-iam sync` takes the users from.
    """

    name: str
    namespace: str
    role_kind: str
    role_name: str
    groups: tuple[str, ...]
    level: str
    cluster: str = ""
    users: tuple[str, ...] = ()
    source: MemberSource | None = None

    ident: tuple[str, str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ident", (self.namespace, self.name))

    @property
    def grant(self) -> tuple[str, str, str]:
        """Return the namespace, kind and name of the RBAC role that the binding grants."""
        return self.namespace, self.role_kind, self.role_name

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return all subjects as text: groups by their names, users as `User:NAME`."""
        return (*self.groups, *(f"User:{name}" for name in self.users))


class Cluster(Protocol):
    """The Kubernetes API, as far as kube-iam uses it."""

    def whoami(self) -> Subject:
        """Return the user that these calls run as."""

    def bindings(self) -> tuple[BindingState, ...]:
        """Return all bindings with our label `app.kubernetes.io/managed-by=kube-iam`, of every cluster name."""

    def binding(self, namespace: str, name: str) -> BindingState | None:
        """Return one binding, ours or not, or None."""

    def role_exists(self, kind: str, namespace: str, name: str) -> bool:
        """Return whether the ClusterRole or Role of a binding exists."""

    def apply_binding(self, binding: BindingState) -> None:
        """Apply the binding server-side with field manager `kube-iam`. One with another roleRef, which is immutable, is replaced."""

    def delete_binding(self, namespace: str, name: str) -> None:
        """Delete the binding."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """Checks that change nothing: the writes of `cluster` and `store` are dry runs. `cluster` is None where none is needed."""

    cluster: Cluster | None
    store: MappingStore
    source: Callable[[], MappingSource]
    former: MappingStore | None = None


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one cluster. `cluster` is None if no level binds anything and the mapping is a local file.

    Without `preflight` a plan is not checked in advance. `former` is a mapping that `store` replaces, and from which a plan removes
    our entries. `denied` reads the deny list, for levels whose bindings name users.
    """

    directory: Directory
    cluster: Cluster | None
    store: MappingStore
    preflight: Preflight | None = None
    former: MappingStore | None = None
    denied: DeniedUsers | None = None
