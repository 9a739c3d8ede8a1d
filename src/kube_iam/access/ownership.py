"""The owner of a role, group, policy or mapping entry, and how certain that is. `ownership` decides it.

Ownership of roles, groups, policies and mapping entries, computed once from everything that was observed.

`plan`, `apply`, `destroy`, `grant`, `revoke` and `who` ask this index and nothing else. The rules, in this order:

1. The cluster tag of another cluster makes a thing that cluster's. So does another cluster's path, for a group a policy of another
   cluster, and for a role without cluster tag its description. Such things are never changed and never adopted.
2. This cluster's tag makes a policy or role this cluster's, and this cluster's path makes a group this cluster's.
3. A thing without cluster tag is this cluster's if two marks agree on a level, and one of them is the thing's own. That a policy names
   a role is no mark of the role's own: a user who may create policies can make it.
4. Everything else is unknown, and is left alone.

An entry of the mapping belongs to the owner of its role or group. It is also this cluster's if the file or a policy names its role,
and its own level or group agrees: then it goes, though its role may stay. ARNs are compared as the server compares them. Of an entry
in an object of its own the labels count, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from kube_iam.access.desired import (
    CLUSTER_TAG,
    LEVEL_TAG,
    assumed_roles,
    is_level_trust,
    level_in_name,
    policy_arn,
    policy_document,
    same_document,
)
from kube_iam.access.levels import ClusterAccess, Method
from kube_iam.access.mapping import MappingEntry, pathless, role_key
from kube_iam.access.ports import BindingState, GroupState, PolicyState, RoleState


class Standing(Enum):
    """The certainty with which the owner of a thing is known."""

    MARKED = "marked as this cluster's"
    UNMARKED = "this cluster's by two marks, without the tag that says so"
    OTHER = "another cluster's"
    UNKNOWN = "not known to be kube-iam's"


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of one thing. `level` is set for this cluster's things, as far as it is known; `cluster` names another cluster."""

    standing: Standing
    level: str = ""
    cluster: str = ""

    @property
    def is_ours(self) -> bool:
        """Return whether the thing is this cluster's, with or without its tag."""
        return self.standing in (Standing.MARKED, Standing.UNMARKED)

    @property
    def is_marked(self) -> bool:
        """Return whether the thing carries this cluster's mark."""
        return self.standing is Standing.MARKED

    @property
    def is_other(self) -> bool:
        """Return whether the thing is another cluster's."""
        return self.standing is Standing.OTHER


UNKNOWN = Owner(Standing.UNKNOWN)


_CLUSTER_PATH = re.compile(r"/kube-iam/([^/]+)/$")
_DESCRIPTION = re.compile(r"Level \S+ of the Kubernetes cluster (\S+)")


class OwnershipIndex:
    """The owner of each observed thing. Keys are a policy's ARN, a role's or group's name in lower case, and an entry's key."""

    def __init__(
        self,
        access: ClusterAccess,
        policies: Iterable[PolicyState],
        roles: Mapping[str, RoleState],
        groups: Mapping[str, GroupState],
        entries: Iterable[MappingEntry] = (),
    ) -> None:
        self._access = access
        self._role_prefix = f"arn:{access.partition}:iam::{access.account}:role/".lower()
        policies, entries = tuple(policies), tuple(entries)
        self._role_tags = {key: role.tags for key, role in roles.items()}
        self.policies = {policy.arn: self._policy(policy) for policy in policies}
        # The id of another cluster with the same cluster.name. It has the same path and the same names: there a name proves nothing.
        self._other_cluster = next((owner.cluster for owner in self.policies.values() if owner.is_other), "")
        self._role_levels = self._levels_of_roles(policies)
        self.roles = {key: self._role(role) for key, role in roles.items()}
        self.groups = {key: self._group(group, entries) for key, group in groups.items()}
        self.entries: dict[str, Owner] = {}
        for entry in entries:
            if not self.entries.get(entry.key, UNKNOWN).is_ours:
                self.entries[entry.key] = self._entry(entry)

    def policy(self, arn: str) -> Owner:
        """Return the owner of a policy under the cluster's path."""
        return self.policies.get(arn, UNKNOWN)

    def role(self, name: str) -> Owner:
        """Return the owner of a role."""
        return self.roles.get(name.casefold(), UNKNOWN)

    def group(self, name: str) -> Owner:
        """Return the owner of a group."""
        return self.groups.get(name.casefold(), UNKNOWN)

    def entry(self, key: str) -> Owner:
        """Return the owner of the mapping entries with that key."""
        return self.entries.get(key, UNKNOWN)

    def owns_binding(self, binding: BindingState) -> bool:
        """Return whether a binding is this cluster's, by its labels or by what is left of them.

        Its name stands for a level label that is missing. Without the cluster label, label and name have to agree on a level of this
        cluster. Where another cluster has the same name, the level has to be one of this cluster's policies.
        """
        named = level_in_name(binding.name)
        level = binding.level or named
        applied = {owner.level for owner in self.policies.values() if owner.is_ours}
        if binding.cluster == self._access.name:
            return bool(level) and (not self._other_cluster or level in applied)
        in_file = () if self._other_cluster else (each.name for each in self._access.levels)
        return not binding.cluster and binding.level == named != "" and named in {*applied, *in_file}

    def is_related(self, entry: MappingEntry) -> bool:
        """Return whether an entry is for a role or group that a level of the file, or a policy of this cluster, names."""
        if not entry.role_arn:
            return any(entry.key == level.group_name.casefold() for level in self._access.levels)
        in_file = any(role_key(entry.key) == level.role_name.casefold() for level in self._access.levels)
        return self._is_in_account(entry.key) and (in_file or self.is_registered(entry.key))

    def is_registered(self, entry_key: str) -> bool:
        """Return whether a policy of this cluster names the role with that comparable ARN."""
        return self._is_in_account(entry_key) and role_key(entry_key) in self._role_levels

    def is_level_role(self, role: RoleState) -> bool:
        """Return whether a role is one that the file names for a level, or looks as `apply` makes roles."""
        return self._looks_made(role) or bool(self._level_with_role(role.name.casefold()))

    def _policy(self, policy: PolicyState) -> Owner:
        """Apply the rules to a policy. Its own mark of a level is the level tag or the file's name, its second mark the document."""
        cluster = policy.tags.get(CLUSTER_TAG, "")
        in_file = (each.name for each in self._access.levels if policy_arn(self._access, each) == policy.arn)
        level = policy.tags.get(LEVEL_TAG, "") or next(in_file, "")
        if cluster:
            return self._by_tag(cluster, level or self._level_of_role(policy))
        if level and policy.path == self._access.path and self._grants_level(policy, level):
            return Owner(Standing.UNMARKED, level)
        return UNKNOWN

    def _level_of_role(self, policy: PolicyState) -> str:
        """Return the level that the tags of the policy's role say; empty where they say none, or the policy names several roles."""
        tags = self._tags_of_role(policy)
        return tags.get(LEVEL_TAG, "") if tags.get(CLUSTER_TAG) == self._access.cluster_id else ""

    def _tags_of_role(self, policy: PolicyState) -> Mapping[str, str]:
        """Return the tags of the only role that a policy names; empty where it names several, or one of another account."""
        roles = assumed_roles(policy.document)
        alone = len(roles) == 1 and self._is_in_account(pathless(roles[0]))
        return self._role_tags.get(role_key(roles[0]), {}) if alone else {}

    def _grants_level(self, policy: PolicyState, name: str) -> bool:
        """Return whether the document of a policy without cluster tag is the level's, or names one role of this cluster."""
        level = self._access.level(name)
        if level is not None and same_document(policy.document, policy_document(self._access, level)):
            return True
        return self._tags_of_role(policy).get(CLUSTER_TAG) == self._access.cluster_id

    def _levels_of_roles(self, policies: tuple[PolicyState, ...]) -> dict[str, set[str]]:
        """Return the levels of this cluster's policies by the roles of this account that they name, in lower case."""
        found: dict[str, set[str]] = {}
        for policy in policies:
            owner = self.policies[policy.arn]
            for arn in assumed_roles(policy.document) if owner.is_ours else ():
                if self._is_in_account(pathless(arn)):
                    found.setdefault(role_key(arn), set()).add(owner.level)
        return found

    def _role(self, role: RoleState) -> Owner:
        """Apply the rules to a role. Its own marks are level tag, name, trust policy and description; a policy is a second one."""
        cluster, tagged = role.tags.get(CLUSTER_TAG, ""), role.tags.get(LEVEL_TAG, "")
        key = role.name.casefold()
        in_file = self._level_with_role(key)
        named = self._role_levels.get(key, set())
        if cluster:
            return self._by_tag(cluster, tagged or min(named, default="") or in_file)
        described = _DESCRIPTION.fullmatch(role.description)
        if described and described[1] != self._access.name:
            return Owner(Standing.OTHER, cluster=described[1])
        for level in sorted({tagged, in_file, *named} - {""}):
            own = (level == tagged) + (level == in_file) + self._looks_made(role)
            if own and own + (level in named) >= 2:
                return Owner(Standing.UNMARKED, level)
        return UNKNOWN

    def _looks_made(self, role: RoleState) -> bool:
        """Return whether a role looks as `apply` makes roles: by its description or its trust policy."""
        return bool(_DESCRIPTION.fullmatch(role.description)) or is_level_trust(self._access, role.trust)

    def _group(self, group: GroupState, entries: tuple[MappingEntry, ...]) -> Owner:
        """Apply the rules to a group. Groups have no tags, so that their path and policies take the place of these."""
        if group.path != self._access.path:
            place = _CLUSTER_PATH.search(group.path)
            return Owner(Standing.OTHER, cluster=place[1]) if place else UNKNOWN
        key = group.name.casefold()
        owners = [self.policy(arn) for arn in group.attached]
        other = next((owner for owner in owners if owner.is_other), None)
        if other is not None:
            return other
        if self._other_cluster and not any(owner.is_ours for owner in owners):
            return Owner(Standing.OTHER, cluster=self._other_cluster)
        given = [owner.level for owner in owners if owner.is_ours and owner.level]
        mapped = (entry.level for entry in entries if entry.iam_group.casefold() == key and entry.level)
        named = [level for level in (self._level_with_group(key), *mapped) if level]
        # Of several levels that its policies give, the one that the file or the mapping names too.
        likely = [level for level in named if level in given] or given or named
        return Owner(Standing.MARKED, likely[0] if likely else "")

    def _entry(self, entry: MappingEntry) -> Owner:
        """Return the owner of the entry's role or group, or this cluster where the entry itself agrees with the file or a policy."""
        if entry.cluster is not None:
            return self._by_labels(entry.cluster, entry.level or self._level_with_role(role_key(entry.key)))
        if not entry.role_arn:
            return self._group_entry(entry)
        if not self._is_in_account(entry.key):
            return UNKNOWN
        key = role_key(entry.key)
        role = self.role(key)
        if role.is_ours:
            return role
        in_file = self._level_with_role(key)
        named = self._role_levels.get(key, set())
        for level in sorted({in_file, *named} - {""}):
            marks = (
                level == entry.level,
                level == in_file and level in named,
                level == self.group(entry.iam_group).level,
            )
            if any(marks):
                return Owner(Standing.UNMARKED, level)
        return role

    def _group_entry(self, entry: MappingEntry) -> Owner:
        owner = self.groups.get(entry.key)
        if owner is not None:
            return owner
        in_file = self._level_with_group(entry.key)
        policies = {
            (arn.rsplit("/", 1)[-1].casefold(), each.level) for arn, each in self.policies.items() if each.is_ours
        }
        # By default the group is named like its level's policy.
        if entry.level and (entry.level == in_file or (entry.key, entry.level) in policies):
            return Owner(Standing.UNMARKED, entry.level)
        return UNKNOWN

    def _by_labels(self, cluster: str, level: str) -> Owner:
        """Return the owner of a mapping object. Where another cluster has the same name, the level has to be one of this cluster's."""
        if cluster != self._access.name:
            return Owner(Standing.OTHER, cluster=cluster) if cluster else UNKNOWN
        applied = {owner.level for owner in self.policies.values() if owner.is_ours}
        return UNKNOWN if self._other_cluster and level not in applied else Owner(Standing.MARKED, level)

    def _by_tag(self, cluster: str, level: str) -> Owner:
        if cluster == self._access.cluster_id:
            return Owner(Standing.MARKED, level)
        return Owner(Standing.OTHER, cluster=cluster)

    def _level_with_role(self, key: str) -> str:
        """Return the level of the file whose role has that name; empty where the name may be another cluster's just as well."""
        levels = () if self._other_cluster else self._access.levels
        found = (each.name for each in levels if each.method is Method.ROLE and each.role_name.casefold() == key)
        return next(found, "")

    def _level_with_group(self, key: str) -> str:
        """Return the level of the file whose group has that name; empty where the name may be another cluster's just as well."""
        levels = () if self._other_cluster else self._access.levels
        return next((each.name for each in levels if each.group_name.casefold() == key), "")

    def _is_in_account(self, key: str) -> bool:
        """Return whether a comparable ARN is that of a role in the cluster's account and partition."""
        return key.startswith(self._role_prefix)
