"""Reads of levels in IAM with the owners of what was read, for commands about members: `grant`, `revoke`, `who`.

A plan reads everything of the cluster (`observed`). These commands read of each level that they are about its group, its policy and
the other policies on its group that are at the cluster's path; a grant reads the role too. That is enough where marks are in place.
Where the index says that it is not, or where a group or role does not exist, they read what a plan reads of IAM: calls that grow with
the levels and never with the users.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kube_iam.access.changes import Kind
from kube_iam.access.desired import desired_entry, desired_state, policy_arn
from kube_iam.access.inventory import Inventory, read_inventory
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.ownership import OwnershipIndex, is_at_path, other_spellings
from kube_iam.access.ports import Directory, GroupState, User
from kube_iam.access.unmanaged import not_owned, unmanaged_resource
from kube_iam.errors import NotFound, NotOwned

_SEE_PLAN = "nothing was changed; `kube-iam plan` lists all that is in the way"
_NOTHING = Inventory()


class LevelReader:
    """The IAM resources of levels, each read at first use and once a command. `inventory` was read before."""

    def __init__(self, access: ClusterAccess, directory: Directory, inventory: Inventory = _NOTHING) -> None:
        self.access = access
        self.directory = directory
        self._inventory = inventory
        self._index: OwnershipIndex | None = None
        self._members: dict[str, tuple[User, ...]] = {}

    def set_entries(self, entries: tuple[MappingEntry, ...]) -> None:
        """Add the entries of the mapping, which the command has read."""
        self._set(replace(self._inventory, entries=entries))

    @property
    def entries(self) -> tuple[MappingEntry, ...]:
        """Return the entries of the mapping; none if it was not read."""
        return self._inventory.entries or ()

    def owners(self, levels: Iterable[Level], *, roles: bool = False) -> OwnershipIndex:
        """Return the index, in which the owners of the levels' groups and policies are known.

        With `roles` those of their roles are known too, and those of their mapping entries if the entries were read.
        """
        levels = tuple(levels)
        self._read_levels(levels, roles=roles)
        complete = self._inventory.is_complete
        if not complete and not all(self._is_covered(self._owners, level, roles=roles) for level in levels):
            desired, entries = desired_state(self.access), self._inventory.entries
            self._set(read_inventory(self.access, self.directory, desired, entries))
        return self._owners

    def group(self, level: Level, *, granting: bool = False) -> GroupState:
        """Return the level's group. Raises NotFound if the level was not applied, and NotOwned if its group or policy is not ours.

        With `granting` it raises NotOwned also where `plan` would not leave the level as it is: members would get more, or something
        else, than this level.
        """
        owners = self.owners((level,), roles=granting)
        group = owners.inventory.groups.get(level.group_name.casefold())
        if granting:
            self._check_spellings(level, owners.inventory)
        if group is None and level.existing_group:
            raise NotFound(
                f"there is no IAM group {level.group_name}, which level {level.name} names as existing",
                f"correct iam.group of level {level.name}, or create the group, and run apply",
            )
        if group is None:
            raise NotFound(
                f"level {level.name} does not exist in IAM yet: there is no group {level.group_name}", "run apply"
            )
        self._check_cluster(level, group, owners, granting=granting)
        if granting:
            _check_gives_one_level(self.access, level, group, owners)
        return group

    def members(self, level: Level, *, granting: bool = False) -> tuple[User, ...]:
        """Return the members of the level's group. Raises what `group` raises."""
        name = self.group(level, granting=granting).name
        if name not in self._members:
            self._members[name] = self.directory.members(name)
        return self._members[name]

    def _set(self, inventory: Inventory) -> None:
        self._inventory, self._index = inventory, None

    @property
    def _owners(self) -> OwnershipIndex:
        if self._index is None:
            self._index = OwnershipIndex(self.access, self._inventory)
        return self._index

    def _read_levels(self, levels: tuple[Level, ...], *, roles: bool) -> None:
        """Read what the inventory lacks of the levels."""
        known, directory = self._inventory, self.directory
        groups, role_states = dict(known.groups), dict(known.roles)
        group_names = [level.group_name for level in levels if level.group_name.casefold() not in groups]
        for name, group in zip(group_names, directory.each(directory.group, group_names), strict=True):
            groups[name.casefold()] = group
        asked = {policy_arn(self.access, level) for level in levels}
        for level in levels:
            group = groups[level.group_name.casefold()]
            asked |= {arn for arn in (group.attached if group else ()) if is_at_path(self.access, arn)}
        arns = sorted(arn for arn in asked if not (known.is_complete or arn in known.policies))
        policies = dict(zip(arns, directory.each(directory.policy, arns), strict=True))
        by_role = [level.role_name for level in levels if roles and level.method is Method.ROLE]
        role_names = [name for name in by_role if name.casefold() not in role_states]
        for name, role in zip(role_names, directory.each(directory.role, role_names), strict=True):
            role_states[name.casefold()] = role
        if group_names or arns or role_names:
            self._set(replace(known, groups=groups, policies={**known.policies, **policies}, roles=role_states))

    def _is_covered(self, index: OwnershipIndex, level: Level, *, roles: bool) -> bool:
        """Return whether the index knows the owners of the level. A missing group or role may exist in another spelling."""
        inventory = index.inventory
        if inventory.groups.get(level.group_name.casefold()) is None:
            return False
        owners = [index.group(level.group_name), index.policy(policy_arn(self.access, level))]
        if roles and level.method is Method.ROLE:
            if inventory.roles.get(level.role_name.casefold()) is None:
                return False
            owners.append(index.role(level.role_name))
        if roles and inventory.entries is not None:
            owners.append(index.entry(desired_entry(self.access, level).key))
        return all(owner.is_read for owner in owners)

    def _check_spellings(self, level: Level, inventory: Inventory) -> None:
        desired = tuple(each for each in desired_state(self.access) if each.name == level.name)
        taken = list(other_spellings(inventory, desired))
        if taken:
            raise not_owned(taken)

    def _check_cluster(self, level: Level, group: GroupState, owners: OwnershipIndex, *, granting: bool) -> None:
        """Raise NotOwned for resources of another cluster, and for a group or, with `granting`, a role that is not marked as ours."""
        found = [
            (Kind.GROUP, group.name, owners.group(group.name)),
            (Kind.POLICY, level.policy_name, owners.policy(policy_arn(self.access, level))),
        ]
        role = owners.inventory.roles.get(level.role_name.casefold()) if level.method is Method.ROLE else None
        if granting and role is not None:
            found.append((Kind.ROLE, role.name, owners.role(role.name)))
        for kind, name, owner in found:
            if owner.is_other:
                raise NotOwned(
                    f"{kind.value} {name} belongs to cluster {owner.cluster}, "
                    f"and {self.access.place('cluster.id')} is about cluster"
                    f" {self.access.cluster_id}",
                    "nothing was changed; correct cluster.id and cluster.name in the file; "
                    "`kube-iam plan` lists all that is in the way",
                )
        self._check_group(level, group, owners)
        if granting and role is not None and not owners.role(role.name).is_marked and not level.existing_role:
            raise not_owned([unmanaged_resource(Kind.ROLE, role.name, owners.role(role.name), level.name)])
        for kind, name, owner in found[1:] if granting else ():
            if owner.is_ours and owner.level not in ("", level.name):
                raise NotOwned(
                    f"{kind.value} {name} of level {level.name} is level {owner.level}'s",
                    "nothing was changed; run plan, then apply, then grant again",
                )

    def _check_group(self, level: Level, group: GroupState, owners: OwnershipIndex) -> None:
        """Raise NotOwned for a group that is not ours, unless it is an existing one and the level's policy was made."""
        if level.existing_group and owners.group(group.name).is_existing:
            if owners.inventory.policies.get(policy_arn(self.access, level)) is None:
                raise NotFound(
                    f"level {level.name} does not exist in IAM yet: there is no policy {level.policy_name}", "run apply"
                )
        elif not owners.group(group.name).is_ours:
            raise NotOwned(
                f"group {group.name} is at path {group.path}, not {level.path}: it is not this cluster's", _SEE_PLAN
            )


def _check_gives_one_level(access: ClusterAccess, level: Level, group: GroupState, owners: OwnershipIndex) -> None:
    """Raise NotOwned unless the group gives this level, and no other than those that share it as an existing group."""
    want, key = policy_arn(access, level), group.name.casefold()
    if want not in group.attached or not owners.policy(want).is_marked:
        what = "does not have" if want not in group.attached else "has, without this cluster's tag,"
        raise NotOwned(
            f"group {group.name} {what} policy {level.policy_name} of level {level.name}",
            "nothing was changed; run apply, then grant again",
        )
    shared = {each.name for each in access.levels if each.existing_group and each.group_name.casefold() == key}
    given = {owners.policy(arn).level for arn in group.attached if arn != want and owners.policy(arn).is_ours}
    if more := sorted(given - shared):
        raise NotOwned(
            f"group {group.name} of level {level.name} also has the policy of level {', '.join(more)}",
            "nothing was changed; run apply, which detaches it, then grant again",
        )
