"""The IAM policy of the server for one access file. It covers levels that are added later, so that it is attached once.

Groups are covered by the IAM path of the cluster, roles by the prefix of their default names. A role with a name of its own is named;
so is a group with a name of its own, for the case that it is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kube_iam.access.changes import Change, Kind, Verb
from kube_iam.access.desired import role_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.core.server_policy import literal, server_policy


def server_document(access: ClusterAccess) -> dict[str, object]:
    """Return the policy: read the members of all groups and the trust policies of all roles that levels of this file can have.

    Each name is covered below its path and without one. IAM knows no path of a name that does not exist, so it checks the rights for
    the ARN without path. Where the policy does not cover that ARN, IAM answers AccessDenied for a deleted group and not NoSuchEntity;
    the server would then keep what it read last, with all members, for `membershipMaxAge`.
    """
    home = f"arn:{access.partition}:iam::{access.account}"
    prefix = f"{_prefix(access)}*"
    named = {level.group_name for level in access.levels if not level.group_name.startswith(_prefix(access))}
    groups = [f"{home}:group{literal(access.path)}*", *(f"{home}:group/{name}" for name in (prefix, *named))]
    paths = {"/", *(literal(level.role_path) for level in access.levels)}
    names = (prefix, *(level.role_name for level in _named_roles(access)))
    return server_policy(groups, [f"{home}:role{path}{name}" for path in paths for name in names])


def asks_membership(access: ClusterAccess, level: Level) -> bool:
    """Return whether the server reads IAM for the sign-ins of this level."""
    return access.checks_sign_in or level.method is Method.GROUP


def uncovered_roles(access: ClusterAccess, changes: Iterable[Change]) -> Iterator[str]:
    """Yield a warning for each role that the changes map and that a policy printed before does not cover."""
    mapped = {change.level for change in changes if change.kind is Kind.MAPPING and change.verb is not Verb.DELETE}
    for level in _named_roles(access):
        if level.name in mapped:
            yield (
                f"the server has to be allowed iam:GetRole on {role_arn(access, level)} (level {level.name}): the name does not"
                f" begin with {_prefix(access)}, so that an older policy does not cover it; print the policy with"
                " `kube-iam policy server`, and attach it before anybody signs in"
            )


def _prefix(access: ClusterAccess) -> str:
    return f"{access.name}-"


def _named_roles(access: ClusterAccess) -> Iterator[Level]:
    """Yield the levels whose role the server reads and whose name the prefix does not cover. ARNs in policies count letter case."""
    for level in access.levels:
        reads_role = level.method is Method.ROLE and access.checks_sign_in
        if reads_role and not level.role_name.startswith(_prefix(access)):
            yield level
