"""The observed state: what IAM, the cluster and the mapping hold of one cluster's levels, and which of it is ours.

The policies under the cluster's path are the registry of levels: a policy is the first thing of a level to be created and the last
to be deleted, and its document names the role. So what a killed run or an edited file left behind is found in API calls that grow
with the levels, never with the users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kube_iam.access.ownership import OwnershipIndex
from kube_iam.access.ports import (
    BindingState,
    Cluster,
    Directory,
    GroupState,
    Holder,
    MappingEntry,
    MappingStore,
    PolicyState,
    Preflight,
    RoleState,
    Subject,
    User,
)


@dataclass(frozen=True, slots=True)
class Ports:
    """The three worlds that access lives in. `cluster` is None where a level binds nothing and the mapping is a local file.

    `preflight` is None where a plan is not checked in advance.
    """

    directory: Directory
    cluster: Cluster | None
    store: MappingStore
    preflight: Preflight | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at the three worlds. Keys of `roles`, `groups` and `members` are names; names in IAM are told apart by letter case
    only in what they show, so that every key is in lower case."""

    cluster_id: str
    cluster_name: str
    path: str
    caller_arn: str
    subject: Subject | None
    policies: tuple[PolicyState, ...]  # under our path, ours or not
    elsewhere: dict[str, PolicyState]  # a desired name that is taken at path /, by desired ARN
    roles: dict[str, RoleState]
    groups: dict[str, GroupState]
    members: dict[str, tuple[User, ...]]  # of groups that may go or come
    bindings: dict[tuple[str, str], BindingState]
    missing_rbac: tuple[
        tuple[str, str, str], ...
    ]  # kind, namespace, name of roles that levels bind and the cluster lacks
    entries: tuple[MappingEntry, ...]
    owners: OwnershipIndex
    rivals: Mapping[str, tuple[MappingEntry, ...]]  # further entries for roles of levels, by the roles' entry keys
    holders: Mapping[
        str, tuple[Holder, ...]
    ]  # users, roles and groups of others that have a policy of ours, by its ARN
    faults: tuple[str, ...]  # what keeps a server from loading the mapping
    others: tuple[
        MappingEntry, ...
    ] = ()  # all else that the server reads there: users, permission sets, whole accounts

    def owns_tags(self, state: PolicyState | RoleState) -> bool:
        """Return whether a policy's or role's tags say that it is this cluster's."""
        owners = self.owners
        return (owners.policy(state.arn) if isinstance(state, PolicyState) else owners.role(state.name)).is_marked

    def owns_group(self, group: GroupState) -> bool:
        """Return whether a group is this cluster's."""
        return self.owners.group(group.name).is_ours

    def owns_binding(self, binding: BindingState) -> bool:
        """Return whether a binding is this cluster's."""
        return self.owners.owns_binding(binding)

    def owned_policies(self) -> tuple[PolicyState, ...]:
        """The registry: the policies that are this cluster's."""
        return tuple(policy for policy in self.policies if self.owners.policy(policy.arn).is_ours)

    def owned_roles(self) -> tuple[RoleState, ...]:
        """The roles that are this cluster's, among those that the file, the registry or an entry with a level names."""
        return tuple(role for key, role in self.roles.items() if self.owners.role(key).is_ours)

    def owned_groups(self) -> tuple[GroupState, ...]:
        """The groups that are this cluster's."""
        return tuple(group for group in self.groups.values() if self.owns_group(group))

    def registered_levels(self) -> frozenset[str]:
        """The names of the levels that exist in IAM as ours."""
        return frozenset(self.level_of(policy) for policy in self.owned_policies())

    def level_of(self, state: PolicyState | RoleState) -> str:
        """The level of a policy or role of ours, by its tag or by what else says so; empty where nothing does."""
        owners = self.owners
        return (owners.policy(state.arn) if isinstance(state, PolicyState) else owners.role(state.name)).level

    def group_level(self, group: GroupState) -> str:
        """The level that a group of ours gives: the one of its policy, else the one that its name or the mapping says."""
        return self.owners.group(group.name).level

    def entry_levels(self) -> dict[str, str]:
        """The keys of the mapping entries that are ours, and their levels."""
        return {key: owner.level for key, owner in self.owners.entries.items() if owner.is_ours}
