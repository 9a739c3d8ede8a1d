"""Existing roles and groups of levels: what IAM says of them, what keeps a level from using them, and what follows for its users.

They are not kube-iam's. A level only attaches its policy to its group, and names its role in its policy and in the mapping.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from kube_iam.access.changes import Kind
from kube_iam.access.desired import CLUSTER_TAG, LEVEL_TAG, DesiredLevel
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.observed import Observed
from kube_iam.access.ports import Directory, GroupState, RoleState
from kube_iam.access.unmanaged import UnmanagedResource
from kube_iam.core.trust_policy import unrestricted_session_name
from kube_iam.errors import AccessDenied

Desired = tuple[DesiredLevel, ...]


def located(access: ClusterAccess, directory: Directory) -> ClusterAccess:
    """Return the access with the path and the longest session of each existing role, which IAM alone knows.

    A role that IAM does not have keeps the path `/`. Without existing roles IAM is not asked.
    """
    asked = [level for level in access.levels if _uses_existing_role(level)]
    found = directory.each(directory.role, (level.role_name for level in asked))
    roles = {level.name: role for level, role in zip(asked, found, strict=True) if role is not None}

    def with_role(level: Level) -> Level:
        role = roles.get(level.name)
        if role is None:
            return level
        return replace(level, role_path=role.path, session_seconds=role.max_session_seconds)

    return replace(access, levels=tuple(map(with_role, access.levels))) if roles else access


def _uses_existing_role(level: Level) -> bool:
    return level.existing_role and level.method is Method.ROLE


def unusable(observed: Observed, desired: Desired, directory: Directory) -> Iterator[UnmanagedResource]:
    """Yield existing roles and groups that a level cannot use, with the remedy."""
    for level in desired:
        if level.group.existing:
            group = observed.groups.get(level.group.name.casefold())
            yield from _group_problem(observed, level, group, directory)
        if level.role is not None and level.role.existing:
            yield from _role_problem(observed, level, observed.roles.get(level.role_key))


def _group_problem(
    observed: Observed, level: DesiredLevel, group: GroupState | None, directory: Directory
) -> Iterator[UnmanagedResource]:
    name = level.group.name
    if group is None:
        why, remedy = "does not exist", _remedy_for_missing(Kind.GROUP, level)
        # IAM does not tell names apart by letter case; where it finds a group by its exact name only, the list has the spelling.
        # The list reads the policies of each group, to which an administrator of this cluster may have no right.
        other = ""
        with suppress(AccessDenied):
            spelled = (each.name for each in directory.groups("/") if each.name.casefold() == name.casefold())
            other = next(spelled, "")
        if other:
            why, remedy = f"is spelled {other} in IAM", f"set iam.group of level {level.name} to {other}"
        yield _unusable(Kind.GROUP, name, why, remedy)
        return
    owner = observed.owners.group(name)
    if owner.is_other:
        why = f"belongs to cluster {owner.cluster}, by its path {group.path}"
        yield _unusable(Kind.GROUP, name, why, f"name a group that is not kube-iam's for level {level.name}")


def misplaced_groups(observed: Observed) -> Iterator[UnmanagedResource]:
    """Yield existing groups at kube-iam's path, of the file or of earlier files.

    Only the file or the level's policy tells them from groups of kube-iam, which are deleted. Without the policy nothing would.
    """
    for group in observed.groups.values():
        if group.path == observed.path and observed.owners.group(group.name).is_existing:
            why = f"is kube-iam's, by its path {group.path}, and would be deleted with its level"
            move = f"aws iam update-group --group-name {group.name} --new-path /"
            yield _unusable(
                Kind.GROUP, group.name, why, f"move it to a path of your own ({move}), or leave out existing"
            )


def _role_problem(observed: Observed, level: DesiredLevel, role: RoleState | None) -> Iterator[UnmanagedResource]:
    assert level.role is not None
    name = level.role.name
    if role is None:
        yield _unusable(Kind.ROLE, name, "does not exist", _remedy_for_missing(Kind.ROLE, level))
        return
    owner = observed.owners.role(name)
    if owner.is_other:
        remedy = f"name a role that is not kube-iam's for level {level.name}"
        yield _unusable(Kind.ROLE, name, f"belongs to cluster {owner.cluster}", remedy)
    elif role.tags.get(CLUSTER_TAG):
        untag = f"aws iam untag-role --role-name {name} --tag-keys {CLUSTER_TAG} {LEVEL_TAG}"
        yield _unusable(Kind.ROLE, name, "is kube-iam's, by its tags", f"remove them ({untag}), or leave out existing")
    elif (level.entry.iam_group or level.is_synced) and (reason := unrestricted_session_name(role.trust, role.arn)):
        why = (
            f"lets callers choose their session name, so that nobody would be admitted to level {level.name}: {reason}"
        )
        remedy = (
            f"restrict the trust policy, or set membershipCheck: assumeRole for level {level.name}, by which everybody who can"
            " assume the role signs in, member of the group or not"
        )
        yield _unusable(Kind.ROLE, name, why, remedy)


def _remedy_for_missing(kind: Kind, level: DesiredLevel) -> str:
    word = kind.value
    create = "create it" if kind is Kind.ROLE else f"create it (aws iam create-group --group-name {level.group.name})"
    return (
        f"{create}, correct iam.{word} of level {level.name}, or leave out existing, and kube-iam makes one of its own"
    )


def _unusable(kind: Kind, name: str, why: str, remedy: str) -> UnmanagedResource:
    return UnmanagedResource(kind, name, why, remedy, adoptable=False)


def consequences(access: ClusterAccess) -> Iterator[str]:
    """Yield a warning for each existing role of the file: who else may assume it, and who signs in by it."""
    for level in access.levels:
        if not _uses_existing_role(level):
            continue
        role = f"level {level.name}: kube-iam does not change the existing role {level.role_name}"
        if access.asks_membership(level):
            yield (
                f"{role}; its trust policy has to hold session names to ${{aws:username}}, or the server admits nobody; others who"
                f" can assume it are refused unless they are in the IAM group {level.group_name}"
            )
        elif access.is_synced(level):
            yield (
                f"{role}; its trust policy has to hold session names to ${{aws:username}}, or nobody gets access; others who can"
                " assume it sign in and have no rights by this level"
            )
        else:
            yield (
                f"{role}; with membershipCheck: assumeRole everybody who can assume it signs in, in IAM group {level.group_name} or"
                " not, and where its trust policy leaves the session name open, under a name of their choice"
            )


def findings(observed: Observed, desired: Desired) -> Iterator[str]:
    """Yield warnings about what users of existing roles and groups have beside the level."""
    for level in desired:
        role = observed.roles.get(level.role_key) if level.role is not None and level.role.existing else None
        if role is not None and role.policies:
            given = ", ".join(role.policies)
            yield f"level {level.name}: everybody at this level also has what role {role.name} gives in AWS: {given}"
        inline = observed.inline.get(level.group.name.casefold(), ()) if level.group.existing else ()
        if inline:
            yield f"group {level.group.name} has the inline policies {', '.join(inline)}; its members have that too"
        yield from _former_members(observed, level)


def _former_members(observed: Observed, level: DesiredLevel) -> Iterator[str]:
    """Yield a warning for members of the level's former groups, where they do not move to its present group.

    Nobody joins or leaves an existing group because a file changes.
    """
    ours = {policy.arn for policy in observed.owned_policies if observed.level_of(policy) == level.name}
    name = level.group.name
    for group in observed.owned_groups if level.group.existing else ():
        present = observed.member_names(name)
        users = [user for user in observed.member_names(group.name) if user not in present]
        if ours & set(group.attached) and users:
            yield (
                f"level {level.name}: {', '.join(users)} lose it, as members of its former group {group.name} and not of the existing"
                f" group {name}; to keep them, add them to {name} first"
            )
    for holder in (holder for arn in sorted(ours) for holder in observed.holders.get(arn, ())):
        if holder.kind == "group" and observed.owners.is_existing_group(holder.name):
            yield (
                f"level {level.name}: the members of its former group {holder.name}, which kube-iam does not change, lose it unless"
                f" they are in {name}; to keep them, grant them the level"
            )
