"""The server's side of an access file: its IAM policy, and sessions that it will refuse for a time after a plan.

The policy covers levels that are added later, so that it is attached once (`policy_resources`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from kube_iam.access.changes import Change, Kind, Verb
from kube_iam.access.desired import DesiredLevel, DesiredRole, role_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.mapping import pathless
from kube_iam.access.observed import Observed
from kube_iam.access.policy_resources import existing_groups, existing_roles, groups_of_levels, roles_of_levels
from kube_iam.core.server_policy import server_policy
from kube_iam.core.trust_policy import unrestricted_session_name


def server_document(access: ClusterAccess) -> dict[str, object]:
    """Return the policy: read the members of all groups and the trust policies of all roles that levels of this file can have.

    Each name is covered below its path and without one. IAM knows no path of a name that does not exist, so it checks the rights for
    the ARN without path. Where the policy does not cover that ARN, IAM answers AccessDenied for a deleted group and not NoSuchEntity;
    the server would then keep what it read last, with all members, for `membershipMaxAge`.
    """
    groups = [*groups_of_levels(access), *existing_groups(access)]
    own = (level.role_name for level in _named_roles(access) if not level.existing_role)
    return server_policy(groups, [*roles_of_levels(access, own), *existing_roles(access, access.asks_membership)])


def uncovered_by_policy(access: ClusterAccess, mapped: Collection[str]) -> Iterator[str]:
    """Yield a warning for each role and existing group that a policy printed before does not cover.

    `mapped` are the levels whose mapping entries a plan writes.
    """
    print_it = "print the policy with `kube-iam policy server`, and attach it before anybody signs in"
    for level in _named_roles(access):
        if level.name in mapped:
            default = f"is not like {access.name_pattern}" if access.name_pattern else "is not known in advance"
            yield (
                f"the server has to be allowed iam:GetRole on {role_arn(access, level)} (level {level.name}): the name {default},"
                f" so that an older policy does not cover it; {print_it}"
            )
    for level in access.levels:
        if level.existing_group and level.name in mapped and access.asks_membership(level):
            yield (
                f"the server has to be allowed iam:GetGroup on the existing group {level.group_name} (level {level.name}), which an"
                f" older policy does not cover; {print_it}"
            )


def _named_roles(access: ClusterAccess) -> Iterator[Level]:
    """Yield levels whose role the server reads and whose name no pattern covers. ARNs in policies count letter case."""
    for level in access.levels:
        reads_role = level.method is Method.ROLE and access.asks_membership(level)
        if reads_role and (level.existing_role or not access.is_default_name(level.role_name)):
            yield level


def suspensions(observed: Observed, desired: Iterable[DesiredLevel], changes: Iterable[Change]) -> Iterator[str]:
    """Yield a warning for each level whose users the server will refuse for a time, with the length of it and the remedy.

    The server does not suspend levels whose entries require no IAM group.
    """
    asking = {level.name for level in desired if level.entry.iam_group}
    mapped = {entry.key for entry in observed.entries}
    for change in changes:
        if change.level not in asking or not isinstance(change.item, DesiredRole):
            continue
        if change.verb is Verb.CREATE and pathless(change.item.arn) in mapped:
            yield (
                f"level {change.level}: role {change.name} is created again; the server refuses sessions of the former role until they"
                f" end; a person with one runs `kube-iam logout {change.level}`"
            )
        elif change.kind is Kind.ROLE and change.changes("trust"):
            yield from _repaired(observed, change, change.item)


def _repaired(observed: Observed, change: Change, role: DesiredRole) -> Iterator[str]:
    """Yield the warning if the present trust policy may let callers choose their session name."""
    have = observed.roles.get(role.name.casefold())
    if have is None or not unrestricted_session_name(have.trust, have.arn):
        return
    longest = max(have.max_session_seconds, role.max_session_seconds)
    yield (
        f"level {change.level}: the trust policy of role {change.name} may let callers choose their session name; once it is repaired,"
        f" the server refuses everybody in this level for {longest // 60} minutes, while such a session may be valid;"
        f" {remedy(role.name, change.level)}"
    )


def remedy(role: str, level: str) -> str:
    """Return how to end a suspension at once."""
    return (
        f"to end that at once run `aws iam delete-role --role-name {role}`, then `kube-iam apply`; people who are signed in then run"
        f" `kube-iam logout {level}`"
    )
