"""The observed state: what IAM, the cluster and the mapping hold of one cluster's levels, and which of it is ours.

The policies under the cluster's path are the registry of levels: a policy is the first thing of a level to be created and the last
to be deleted, and its document names the role. So what a killed run or an edited file left behind is found in API calls that grow
with the levels, never with the users.
"""

from __future__ import annotations

from dataclasses import dataclass

from kube_iam.access.desired import CLUSTER_TAG, LEVEL_TAG
from kube_iam.access.documents import assumed_roles
from kube_iam.access.ports import (
    BindingState,
    Cluster,
    Directory,
    GroupState,
    MappingEntry,
    MappingStore,
    PolicyState,
    RoleState,
    Subject,
    User,
)


@dataclass(frozen=True, slots=True)
class Ports:
    """The three worlds that access lives in. `cluster` is None where a level binds nothing and the mapping is a local file."""

    directory: Directory
    cluster: Cluster | None
    store: MappingStore


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

    def owns_tags(self, state: PolicyState | RoleState) -> bool:
        """Whether a policy's or role's tags say that it is this cluster's."""
        return state.tags.get(CLUSTER_TAG) == self.cluster_id

    def owns_group(self, group: GroupState) -> bool:
        """Whether a group is this cluster's: by its path, unless it carries a policy of another cluster of the same name."""
        others = {policy.arn for policy in self.policies if CLUSTER_TAG in policy.tags and not self.owns_tags(policy)}
        return group.path == self.path and not others & set(group.attached)

    def owns_binding(self, binding: BindingState) -> bool:
        """Whether our labels on a binding name this cluster."""
        return bool(binding.level) and binding.cluster == self.cluster_name

    def owned_policies(self) -> tuple[PolicyState, ...]:
        """The registry: the policies that are this cluster's."""
        return tuple(policy for policy in self.policies if self.owns_tags(policy))

    def owned_roles(self) -> tuple[RoleState, ...]:
        """The roles that are this cluster's, among those that the file or the registry names."""
        return tuple(role for role in self.roles.values() if self.owns_tags(role))

    def owned_groups(self) -> tuple[GroupState, ...]:
        """The groups that are this cluster's."""
        return tuple(group for group in self.groups.values() if self.owns_group(group))

    def registered_levels(self) -> frozenset[str]:
        """The names of the levels that exist in IAM as ours."""
        return frozenset(policy.tags.get(LEVEL_TAG, "") for policy in self.owned_policies())

    def group_level(self, group: GroupState) -> str:
        """The level that a group of ours gives: the one of its policy. Empty where it carries none of ours."""
        levels = {policy.arn: policy.tags.get(LEVEL_TAG, "") for policy in self.owned_policies()}
        return next((levels[arn] for arn in group.attached if arn in levels), "")

    def entry_levels(self) -> dict[str, str]:
        """The keys of the mapping entries that are ours, and their levels: an entry is ours when its role, or its group, is.

        Where the group is gone, the entry is ours that names the group as it was by default: like the level's policy.
        """
        roles = self.role_levels()
        named = {(policy.name.casefold(), policy.tags.get(LEVEL_TAG, "")) for policy in self.owned_policies()}
        found: dict[str, str] = {}
        for entry in self.entries:
            group = self.groups.get(entry.key)
            if entry.role_arn and entry.key in roles:
                found[entry.key] = roles[entry.key]
            elif not entry.role_arn and group is not None and self.owns_group(group):
                found[entry.key] = self.group_level(group)
            elif not entry.role_arn and group is None and (entry.key, entry.level) in named:
                found[entry.key] = entry.level
        return found

    def role_levels(self) -> dict[str, str]:
        """Which role ARNs without path (in lower case) are ours, and of which level: by the registry, unless the role is another's."""
        found: dict[str, str] = {}
        for policy in self.owned_policies():
            for arn in assumed_roles(policy.document):
                role = self.roles.get(role_key(arn))
                if role is None or self.owns_tags(role):
                    found[pathless(arn)] = policy.tags.get(LEVEL_TAG, "")
        found.update((pathless(role.arn), role.tags.get(LEVEL_TAG, "")) for role in self.owned_roles())
        return found


def pathless(role_arn: str) -> str:
    """A role's ARN without its path, in lower case: what mapping entries are compared by."""
    head, _, rest = role_arn.partition(":role/")
    return f"{head}:role/{rest.rsplit('/', 1)[-1]}".casefold()


def role_key(role_arn: str) -> str:
    """A role's name in lower case, from its ARN: the key of `Observed.roles`."""
    return role_arn.rsplit("/", 1)[-1].casefold()
