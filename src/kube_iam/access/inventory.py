"""Inventory: the resources in IAM and the mapping entries that the owners of one cluster's resources depend on, as they were read.

`check_caller` comes before: nothing is read of another account than the file's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kube_iam.access.desired import DesiredLevel, assumed_roles, iam_arn
from kube_iam.access.levels import ClusterAccess
from kube_iam.access.mapping import MappingEntry, pathless, role_key
from kube_iam.access.ports import Caller, Directory, GroupState, PolicyState, RoleState
from kube_iam.core.arns import is_iam_name
from kube_iam.errors import CredentialsError

LONGEST_ROLE_NAME = 64  # in characters


@dataclass(frozen=True, slots=True)
class Inventory:
    """Resources of one cluster as they were read. `ownership` finds their owners from it.

    Keys are a policy's ARN, and a role's or group's name in lower case. None stands for a resource that does not exist. A key that is
    absent was not read, but with `is_complete` all policies and groups under the cluster's path were. `entries` is None if the mapping
    was not read.
    """

    policies: Mapping[str, PolicyState | None] = field(default_factory=dict)
    roles: Mapping[str, RoleState | None] = field(default_factory=dict)
    groups: Mapping[str, GroupState | None] = field(default_factory=dict)
    entries: tuple[MappingEntry, ...] | None = None
    is_complete: bool = False


def check_caller(access: ClusterAccess, directory: Directory) -> Caller:
    """Return the caller. Raises CredentialsError if the credentials are for another account or partition than the file."""
    caller = directory.caller()
    partition = caller.arn.split(":")[1] if caller.arn.startswith("arn:") else access.partition
    if caller.account != access.account or partition != access.partition:
        raise CredentialsError(
            f"these credentials are for account {caller.account} ({partition}), "
            f"and {access.place('account')} is about account {access.account} ({access.partition})",
            "choose other credentials with --profile or AWS_PROFILE, or correct account in the file",
        )
    return caller


def read_inventory(
    access: ClusterAccess,
    directory: Directory,
    desired: tuple[DesiredLevel, ...],
    entries: tuple[MappingEntry, ...] | None,
) -> Inventory:
    """Read from IAM what the ownership of everything depends on that belongs to the cluster. `entries` are those of the mapping."""
    policies = {policy.arn: policy for policy in directory.policies(access.path) if policy.path == access.path}
    groups: dict[str, GroupState | None] = {
        group.name.casefold(): group for group in directory.groups(access.path) if group.path == access.path
    }
    wanted = [level.group.name for level in desired if level.group.name.casefold() not in groups]
    groups |= {
        name.casefold(): group for name, group in zip(wanted, directory.each(directory.group, wanted), strict=True)
    }
    roles = _roles(access, directory, desired, tuple(policies.values()), entries or ())
    return Inventory(policies, roles, groups, entries, is_complete=True)


def _roles(
    access: ClusterAccess,
    directory: Directory,
    desired: tuple[DesiredLevel, ...],
    policies: tuple[PolicyState, ...],
    entries: tuple[MappingEntry, ...],
) -> dict[str, RoleState | None]:
    """Return roles of the file's levels, and roles of this account that the registry or an entry with a level names.

    None stands for a role that does not exist.
    """
    home = iam_arn(access, "role/")
    names = [level.role_name for level in access.iam_levels] + [level.role.name for level in desired if level.role]
    # By default the role is named like its policy, which finds it if somebody broke the policy's document.
    arns = [arn for policy in policies for arn in assumed_roles(policy.document) or (home + policy.name,)]
    arns += [entry.role_arn for entry in entries if entry.role_arn and entry.level]
    others: list[str] = []
    for arn in arns:
        if pathless(arn).startswith(home):
            name = role_key(arn)
            spelled = (part for part in arn.split("/") if part.casefold() == name)
            others.append(next(spelled, name))
    # Each spelling is asked for: where letter case counts, only the right one answers. The file's own goes last, and wins.
    asked = dict.fromkeys((*(name for name in others if name not in names), *names))
    # Policies and entries may name what no role can be named. IAM would answer with an error.
    found = directory.each(directory.role, (name for name in asked if is_iam_name(name, LONGEST_ROLE_NAME)))
    absent: dict[str, RoleState | None] = dict.fromkeys(name.casefold() for name in asked)
    return absent | {role.name.casefold(): role for role in found if role is not None}
