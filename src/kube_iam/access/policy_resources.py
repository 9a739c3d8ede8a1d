"""Resources of IAM policies about the levels of an access file: the policies of the server, of administrators and of operators.

The policies cover levels that are added later. Groups are covered by the IAM path of the cluster, roles by the pattern of their
default names. A role or group with a name of its own is named. Existing roles and groups, which are not kube-iam's, are named below
any path: their owners may move them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kube_iam.access.desired import iam_arn
from kube_iam.access.levels import ClusterAccess, Level
from kube_iam.core.server_policy import arn_patterns, literal


def groups_at_path(access: ClusterAccess) -> str:
    """Return the pattern of all groups at the cluster's path."""
    return iam_arn(access, f"group{literal(access.path)}*")


def groups_of_levels(access: ClusterAccess) -> list[str]:
    """Return the groups at the cluster's path, and their names without a path: those of missing groups and of groups to adopt."""
    own = (level.group_name for level in access.iam_levels if not level.existing_group)
    return [groups_at_path(access), *(iam_arn(access, f"group/{name}") for name in with_default_names(access, own))]


def roles_of_levels(access: ClusterAccess, names: Iterable[str]) -> list[str]:
    """Return the roles with default names or one of these names, at their paths and without one.

    IAM checks the ARN without path for a role that does not exist.
    """
    own = (level for level in access.iam_levels if not level.existing_role)
    paths = dict.fromkeys(("/", *(literal(level.role_path) for level in own)))
    patterns = with_default_names(access, names)
    return [iam_arn(access, f"role{path}{name}") for path in paths for name in patterns]


def with_default_names(access: ClusterAccess, names: Iterable[str]) -> list[str]:
    """Return the pattern of the default names, if there is one, and each of these names that it does not cover."""
    others = (name for name in names if name and not access.is_default_name(name))
    return [*((access.name_pattern,) if access.name_pattern else ()), *dict.fromkeys(others)]


def existing_groups(access: ClusterAccess) -> list[str]:
    """Return the existing groups of the file, below any path."""
    return _at_any_path(access, "group", (level.group_name for level in access.iam_levels if level.existing_group))


def existing_roles(access: ClusterAccess, only: Callable[[Level], bool] = lambda _: True) -> list[str]:
    """Return the existing roles of the file, or of the levels for which `only` is true, below any path."""
    names = (level.role_name for level in access.iam_levels if level.existing_role and only(level))
    return _at_any_path(access, "role", names)


def _at_any_path(access: ClusterAccess, kind: str, names: Iterable[str]) -> list[str]:
    return [arn for name in names for arn in arn_patterns(kind, name, access.partition, access.account)]
