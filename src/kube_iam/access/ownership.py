"""Ownership of roles, groups, policies and mapping entries, computed once a command from everything that it has read.

`plan`, `apply`, `destroy`, `grant`, `revoke` and `who` ask this index and nothing else. The rules, in this order:

1. The cluster tag of another cluster makes a thing that cluster's. So does another cluster's path, for a group a policy of another
   cluster, and for a role its description. Such things are never changed and never adopted. A role with this cluster's tag and the
   description of another cluster.name is this cluster's under that name: `plan` and `destroy` refuse the file (`under_other_name`).
2. This cluster's tag makes a policy or role this cluster's, and this cluster's path makes a group this cluster's.
3. A thing without cluster tag is this cluster's if two marks agree on a level, and one of them is the thing's own. That a policy names
   a role is no mark of the role's own: a user who may create policies can make it.
4. Everything else is unknown, and is left alone.

Existing roles and groups are not kube-iam's, by what the file says of a level or said when its policy was made: tags of the policy
keep their names. No mark makes them this cluster's.

An entry of the mapping belongs to the owner of its role or group. It is also this cluster's if the file or a policy names its role,
and its own level or group agrees: then it goes, though its role may stay. ARNs are compared as the server compares them. Of an entry
in an object of its own the labels count, and nothing else.

An entry of a permission set has no role and no group of ours. It is this cluster's if it has a level, since the mapping is the
cluster's own. `plan` needs --force where it deletes one whose level nothing else names.

A command that reads less than `plan` gets the answers of `plan` or `NOT_READ`: an answer that depends on something unread is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from kube_iam.access.changes import Kind
from kube_iam.access.desired import (
    CLUSTER_TAG,
    EXISTING_GROUPS_TAG,
    EXISTING_ROLES_TAG,
    LEVEL_TAG,
    DesiredLevel,
    assumed_roles,
    desired_entry,
    iam_arn,
    is_level_trust,
    level_in_name,
    names_in_tag,
    policy_arn,
    policy_document,
    same_document,
)
from kube_iam.access.inventory import Inventory
from kube_iam.access.levels import NOT_READ, UNKNOWN, ClusterAccess, Method, Owner, Standing
from kube_iam.access.mapping import MappingEntry, pathless, role_key
from kube_iam.access.ports import BindingState, GroupState, PolicyState, RoleState
from kube_iam.access.unmanaged import UnmanagedResource

_CLUSTER_PATH = re.compile(r"/kube-iam/([^/]+)/$")
_DESCRIPTION = re.compile(r"Level \S+ of the Kubernetes cluster (\S+)")


def is_at_path(access: ClusterAccess, policy_arn: str) -> bool:
    """Return whether a policy is at the cluster's path, and not below it."""
    path = iam_arn(access, f"policy{access.path}")
    return policy_arn.rpartition("/")[0] == path.removesuffix("/")


class OwnershipIndex:
    """The owner of each thing in an inventory. Keys are a policy's ARN, a role's or group's name in lower case, an entry's key."""

    def __init__(self, access: ClusterAccess, inventory: Inventory) -> None:
        self.inventory = inventory
        self._access = access
        self._role_prefix = iam_arn(access, "role/").lower()
        policies = tuple(each for each in inventory.policies.values() if each is not None)
        entries = inventory.entries or ()
        self.policies = {policy.arn: self._policy(policy) for policy in policies}
        # The id of another cluster with the same cluster.name. It has the same path and the same names: there a name proves nothing.
        others = (owner.cluster for owner in self.policies.values() if owner.is_read and owner.is_other)
        self._other_cluster = next(others, "")
        self._role_levels = self._levels_of_roles(policies)
        self._existing_roles, self._existing_groups = self._levels_of_existing(policies)
        self.knows_existing = bool(self._existing_roles or self._existing_groups)
        self.roles = {key: self._role(role) for key, role in inventory.roles.items() if role is not None}
        self.groups = {key: self._group(each, entries) for key, each in inventory.groups.items() if each is not None}
        self.entries: dict[str, Owner] = {}
        for entry in entries:
            known = self.entries.get(entry.key, UNKNOWN)
            if not (known.is_read and known.is_ours):
                self.entries[entry.key] = self._entry(entry)

    def policy(self, arn: str) -> Owner:
        """Return the owner of a policy under the cluster's path. Policies elsewhere are nobody's that is known."""
        is_covered = self.inventory.is_complete or arn in self.inventory.policies or not is_at_path(self._access, arn)
        return self.policies.get(arn, UNKNOWN if is_covered else NOT_READ)

    def role(self, name: str) -> Owner:
        """Return the owner of a role."""
        key = name.casefold()
        return self.roles.get(key, UNKNOWN if key in self.inventory.roles else NOT_READ)

    def group(self, name: str) -> Owner:
        """Return the owner of a group."""
        key = name.casefold()
        is_covered = self.inventory.is_complete or key in self.inventory.groups
        return self.groups.get(key, UNKNOWN if is_covered else NOT_READ)

    def is_existing_group(self, name: str) -> bool:
        """Return whether a level uses the group, or used it, as an existing one."""
        return name.casefold() in self._existing_groups

    def is_existing_role(self, name: str) -> bool:
        """Return whether a level uses the role, or used it, as an existing one."""
        return name.casefold() in self._existing_roles

    def entry(self, key: str) -> Owner:
        """Return the owner of the mapping entries with that key."""
        return NOT_READ if self.inventory.entries is None else self.entries.get(key, UNKNOWN)

    def owns_binding(self, binding: BindingState) -> bool:
        """Return whether a binding is this cluster's, by its labels or by what is left of them.

        Its name stands for a level label that is missing. Without the cluster label, label and name have to agree on a level of this
        cluster. Where another cluster has the same name, the level has to be one of this cluster's policies.
        """
        named = level_in_name(binding.name)
        level = binding.level or named
        applied = {owner.level for owner in self.policies.values() if owner.is_read and owner.is_ours}
        if binding.cluster == self._access.name:
            return bool(level) and (not self._other_cluster or level in applied)
        in_file = () if self._other_cluster else (each.name for each in self._access.levels)
        return not binding.cluster and binding.level == named != "" and named in {*applied, *in_file}

    def is_related(self, entry: MappingEntry) -> bool:
        """Return whether an entry is for a role or group that a level of the file, or a policy of this cluster, names."""
        if entry.sso is not None:
            return any(entry.key == desired_entry(self._access, level).key for level in self._access.levels)
        if not entry.role_arn:
            return any(entry.key == level.group_name.casefold() for level in self._access.levels)
        if self._level_with_mapped_role(entry.key):
            return True
        in_file = any(role_key(entry.key) == level.role_name.casefold() for level in self._access.levels)
        return self._is_in_account(entry.key) and (in_file or self.is_registered(entry.key))

    def is_registered(self, entry_key: str) -> bool:
        """Return whether a policy of this cluster names the role with that comparable ARN."""
        return self._is_in_account(entry_key) and role_key(entry_key) in self._role_levels

    def is_level_role(self, role: RoleState) -> bool:
        """Return whether a role is one that the file names for a level, or looks as `apply` makes roles."""
        return self._looks_made(role) or bool(self._level_with_role(role.name.casefold()))

    def _levels_of_existing(self, policies: tuple[PolicyState, ...]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """Return the levels of existing roles and groups, by names in lower case: those of the file and of our policies' tags.

        Where another cluster has the same name, a level of the file may be its level, and counts as the empty one.
        """
        roles: dict[str, set[str]] = {}
        groups: dict[str, set[str]] = {}
        for level in self._access.levels:
            name = "" if self._other_cluster else level.name
            if level.existing_role and level.method is Method.ROLE:
                roles.setdefault(level.role_name.casefold(), set()).add(name)
            if level.existing_group:
                groups.setdefault(level.group_name.casefold(), set()).add(name)
        for policy in policies:
            owner = self.policies[policy.arn]
            for tag, found in ((EXISTING_ROLES_TAG, roles), (EXISTING_GROUPS_TAG, groups)):
                for each in names_in_tag(policy.tags.get(tag, "")) if owner.is_read and owner.is_ours else ():
                    name, _, former = each.partition("/")
                    found.setdefault(name.casefold(), set()).add(former or owner.level)
        return roles, groups

    def _policy(self, policy: PolicyState) -> Owner:
        """Apply the rules to a policy. Its own mark of a level is the level tag or the file's name, its second mark the document."""
        cluster = policy.tags.get(CLUSTER_TAG, "")
        in_file = (each.name for each in self._access.iam_levels if policy_arn(self._access, each) == policy.arn)
        level = policy.tags.get(LEVEL_TAG, "") or next(in_file, "")
        if cluster:
            return self._by_tag(cluster, level or self._level_of_role(policy))
        return self._owner_by_document(policy, level) if level and policy.path == self._access.path else UNKNOWN

    def _level_of_role(self, policy: PolicyState) -> str:
        """Return the level that the tags of the policy's role say; empty where they say none, or the policy names several roles."""
        tags = self._tags_of_role(policy) or {}
        return tags.get(LEVEL_TAG, "") if tags.get(CLUSTER_TAG) == self._access.cluster_id else ""

    def _tags_of_role(self, policy: PolicyState) -> Mapping[str, str] | None:
        """Return the tags of the only role that a policy names, None if that role was not read.

        Empty where the policy names several roles, or one that is of another account or does not exist.
        """
        roles = assumed_roles(policy.document)
        if len(roles) != 1 or not self._is_in_account(pathless(roles[0])):
            return {}
        key = role_key(roles[0])
        role = self.inventory.roles.get(key)
        if role is None:
            return {} if key in self.inventory.roles or self.inventory.is_complete else None
        return role.tags

    def _owner_by_document(self, policy: PolicyState, name: str) -> Owner:
        """Return the owner of a policy without cluster tag: ours if its document is the level's, or names one role of this cluster."""
        level = self._access.level(name)
        if level is not None and same_document(policy.document, policy_document(self._access, level)):
            return Owner(Standing.UNMARKED, name)
        tags = self._tags_of_role(policy)
        if tags is None:
            return NOT_READ
        return Owner(Standing.UNMARKED, name) if tags.get(CLUSTER_TAG) == self._access.cluster_id else UNKNOWN

    def _levels_of_roles(self, policies: tuple[PolicyState, ...]) -> dict[str, set[str]]:
        """Return the levels of this cluster's policies by the roles of this account that they name, in lower case."""
        found: dict[str, set[str]] = {}
        for policy in policies:
            owner = self.policies[policy.arn]
            for arn in assumed_roles(policy.document) if owner.is_read and owner.is_ours else ():
                if self._is_in_account(pathless(arn)):
                    found.setdefault(role_key(arn), set()).add(owner.level)
        return found

    def _role(self, role: RoleState) -> Owner:
        """Apply the rules to a role. Its own marks are level tag, name, trust policy and description; a policy is a second one."""
        cluster, tagged = role.tags.get(CLUSTER_TAG, ""), role.tags.get(LEVEL_TAG, "")
        key = role.name.casefold()
        in_file = self._level_with_role(key)
        named = self._role_levels.get(key, set())
        marked = self._by_tag(cluster, tagged or min(named, default="") or in_file)
        if cluster and marked.is_other:
            return marked
        if described := self._described_name(role):
            return Owner(Standing.OTHER, cluster=described)
        if key in self._existing_roles:
            return Owner(Standing.EXISTING, in_file or min(self._existing_roles[key]))
        if cluster:
            return marked
        if not self.inventory.is_complete:
            return NOT_READ  # a policy that names the role may be a mark of it, or show that its name is another cluster's too
        for level in sorted({tagged, in_file, *named} - {""}):
            own = (level == tagged) + (level == in_file) + self._looks_made(role)
            if own and own + (level in named) >= 2:
                return Owner(Standing.UNMARKED, level)
        return UNKNOWN

    def under_other_name(self) -> Iterator[tuple[RoleState, str]]:
        """Yield roles with this cluster's tag that were made under another cluster.name, with that name."""
        for role in filter(None, self.inventory.roles.values()):
            described = self._described_name(role)
            if described and role.tags.get(CLUSTER_TAG) == self._access.cluster_id:
                yield role, described

    def _described_name(self, role: RoleState) -> str:
        """Return the cluster.name in the description that `apply` gave to a role, if it is another than the file's."""
        described = _DESCRIPTION.fullmatch(role.description)
        return described[1] if described and described[1] != self._access.name else ""

    def _looks_made(self, role: RoleState) -> bool:
        """Return whether a role looks as `apply` makes roles: by its description or its trust policy."""
        return bool(_DESCRIPTION.fullmatch(role.description)) or is_level_trust(self._access, role.trust)

    def _group(self, group: GroupState, entries: tuple[MappingEntry, ...]) -> Owner:
        """Apply the rules to a group. Groups have no tags, so that their path and policies take the place of these."""
        if group.path != self._access.path:
            place = _CLUSTER_PATH.search(group.path)
            if place:
                return Owner(Standing.OTHER, cluster=place[1])
        key = group.name.casefold()
        if key in self._existing_groups:
            return Owner(Standing.EXISTING, self._level_with_group(key) or min(self._existing_groups[key]))
        if group.path != self._access.path:
            return UNKNOWN if self.inventory.is_complete else NOT_READ  # the tag of a policy may name it as existing
        owners = [self.policy(arn) for arn in group.attached]
        other = next((owner for owner in owners if owner.is_read and owner.is_other), None)
        if other is not None:
            return other
        if not all(owner.is_read for owner in owners):
            return NOT_READ
        given = [owner.level for owner in owners if owner.is_ours]
        if self._other_cluster and not given:
            return Owner(Standing.OTHER, cluster=self._other_cluster)
        if not (self.inventory.is_complete or given):
            return NOT_READ  # a policy beside these may show that another cluster has the same path
        given = [level for level in given if level]
        mapped = (entry.level for entry in entries if entry.iam_group.casefold() == key and entry.level)
        named = [level for level in (self._level_with_group(key), *mapped) if level]
        # Of several levels that its policies give, the one that the file or the mapping names too.
        likely = [level for level in named if level in given] or given or named
        return Owner(Standing.MARKED, likely[0] if likely else "")

    def _entry(self, entry: MappingEntry) -> Owner:
        """Return the owner of the entry's role or group, or this cluster where the entry itself agrees with the file or a policy."""
        if entry.cluster is not None:
            return self._by_labels(entry.cluster, entry.level or self._level_with_role(role_key(entry.key)))
        if entry.sso is not None:
            own = self._is_in_account(f"arn:{entry.sso.partition}:iam::{entry.sso.account_id}:role/")
            return Owner(Standing.MARKED, entry.level) if own and entry.level else UNKNOWN
        if not entry.role_arn:
            return self._group_entry(entry)
        if mapped := self._level_with_mapped_role(entry.key):  # its role is not read: the entry's own mark decides
            return Owner(Standing.MARKED, mapped) if entry.level == mapped else UNKNOWN
        if not self._is_in_account(entry.key):
            return UNKNOWN
        key = role_key(entry.key)
        role = self.role(key)
        if role.is_read and role.is_ours:
            return role
        if not self.inventory.is_complete:
            return NOT_READ
        in_file = self._level_with_role(key)
        named = self._role_levels.get(key, set())
        for level in sorted({in_file, *named, *self._existing_roles.get(key, ())} - {""}):
            marks = [level == entry.level]
            # Others may map an existing role too, though our policy names it: there the level in the entry is the only mark.
            if key not in self._existing_roles:
                marks += [level == in_file and level in named, level == self.group(entry.iam_group).level]
            if any(marks):
                return Owner(Standing.UNMARKED, level)
        return UNKNOWN if role.is_read and role.is_existing else role

    def _group_entry(self, entry: MappingEntry) -> Owner:
        if entry.key in self._existing_groups:
            # The file's word for a group counts unless another cluster has the same name, which a part does not show.
            if not (self.inventory.is_complete or self._has_tag_of_group(entry)):
                return NOT_READ
            applied = entry.level and entry.level in self._existing_groups[entry.key]
            return Owner(Standing.UNMARKED, entry.level) if applied else UNKNOWN
        owner = self.groups.get(entry.key)
        if owner is not None:
            return owner
        if not self.inventory.is_complete:
            return NOT_READ
        in_file = self._level_with_group(entry.key)
        policies = {
            (arn.rsplit("/", 1)[-1].casefold(), each.level)
            for arn, each in self.policies.items()
            if each.is_read and each.is_ours
        }
        # By default the group is named like its level's policy.
        if entry.level and (entry.level == in_file or (entry.key, entry.level) in policies):
            return Owner(Standing.UNMARKED, entry.level)
        return UNKNOWN

    def _has_tag_of_group(self, entry: MappingEntry) -> bool:
        """Return whether a policy of this cluster has the entry's level and names the entry's group as an existing one."""
        tags = (
            policy.tags.get(EXISTING_GROUPS_TAG, "")
            for policy in self.inventory.policies.values()
            if policy is not None and self.policies[policy.arn] == Owner(Standing.MARKED, entry.level)
        )
        return any(entry.key == name.casefold() for tag in tags for name in names_in_tag(tag))

    def _by_labels(self, cluster: str, level: str) -> Owner:
        """Return the owner of a mapping object. Where another cluster has the same name, the level has to be one of this cluster's."""
        if cluster != self._access.name:
            return Owner(Standing.OTHER, cluster=cluster) if cluster else UNKNOWN
        if level in {owner.level for owner in self.policies.values() if owner.is_read and owner.is_ours}:
            return Owner(Standing.MARKED, level)
        if not self.inventory.is_complete:
            return NOT_READ
        return UNKNOWN if self._other_cluster else Owner(Standing.MARKED, level)

    def _by_tag(self, cluster: str, level: str) -> Owner:
        if cluster == self._access.cluster_id:
            return Owner(Standing.MARKED, level)
        return Owner(Standing.OTHER, cluster=cluster)

    def _level_with_role(self, key: str) -> str:
        """Return the level of the file whose role has that name; empty where the name may be another cluster's just as well."""
        levels = () if self._other_cluster else self._access.levels
        found = (each.name for each in levels if each.method is Method.ROLE and each.role_name.casefold() == key)
        return next(found, "")

    def _level_with_mapped_role(self, key: str) -> str:
        """Return the level of the file that maps the role of others with that comparable ARN, empty without one."""
        found = (each.name for each in self._access.levels if each.mapped_role and pathless(each.mapped_role) == key)
        return next(found, "")

    def _level_with_group(self, key: str) -> str:
        """Return the level of the file whose group has that name; empty where the name may be another cluster's just as well."""
        levels = () if self._other_cluster else self._access.levels
        return next((each.name for each in levels if each.group_name.casefold() == key), "")

    def _is_in_account(self, key: str) -> bool:
        """Return whether a comparable ARN is that of a role in the cluster's account and partition."""
        return key.startswith(self._role_prefix)


def other_spellings(
    inventory: Inventory, desired: tuple[DesiredLevel, ...], elsewhere: Iterable[PolicyState] = ()
) -> Iterator[UnmanagedResource]:
    """Yield names of levels that exist in another spelling, with the remedy: write that spelling into the file.

    IAM shows letter case and does not tell names apart by it: "names are not distinguished by case". So nothing can be created in
    another spelling while a name exists, and the role ARN, which every session and policy repeats, keeps its spelling. `elsewhere`
    are policies at another path.
    """
    policies = (*inventory.policies.values(), *elsewhere)
    present: dict[Kind, Iterable[PolicyState | RoleState | GroupState | None]] = {
        Kind.POLICY: policies,
        Kind.ROLE: inventory.roles.values(),
        Kind.GROUP: inventory.groups.values(),
    }
    spellings = {kind: {each.name.casefold(): each.name for each in found if each} for kind, found in present.items()}
    for level in desired:
        names = {Kind.POLICY: level.policy.name, Kind.GROUP: level.group.name}
        if level.role is not None:
            names[Kind.ROLE] = level.role.name
        for kind, name in names.items():
            spelled = spellings[kind].get(name.casefold(), name)
            if spelled != name:
                why = f"differs from {name} in letter case only, and IAM does not tell the two apart"
                remedy = f"set iam.{kind.value} of level {level.name} to {spelled}"
                yield UnmanagedResource(kind, spelled, why, remedy, adoptable=False)
