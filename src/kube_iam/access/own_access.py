"""Access that `revoke` takes from its caller. Such a revocation needs --force, as a plan does that takes access from its caller."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kube_iam.access.documents import mapped_arn
from kube_iam.access.guards import MASTERS
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.ports import Directory, Subject, pathless
from kube_iam.errors import NotFound

_VARIABLE = re.compile(r"\{\{(\w+)\}\}")
_ADMINISTRATOR = ("", "ClusterRole", "cluster-admin")


def callers_in_cluster(access: ClusterAccess, users: Iterable[str], subject: Subject | None) -> tuple[str, ...] | None:
    """Return which of the IAM users is the caller, by what the cluster shows, since its access is what is revoked.

    None where only AWS knows: the cluster was not asked (`subject` is None), or its user name does not say which IAM user it is.
    """
    if subject is None:
        return None
    if ":user/" in subject.canonical_arn:
        return callers_in_aws(access, users, subject.canonical_arn)
    through = [level for level in access.levels if _signed_in_through(access, level, subject)]
    if not all(_names_user(level.username) for level in through):
        return None
    patterns = {user: [_user_name(access, level, user) for level in through] for user in users}
    return tuple(user for user, each in patterns.items() if any(re.fullmatch(name, subject.username) for name in each))


def callers_in_aws(access: ClusterAccess, users: Iterable[str], caller_arn: str) -> tuple[str, ...]:
    """Return which of the IAM users has that ARN."""
    head, _, name = caller_arn.partition(":user/")
    here = head.endswith(f"::{access.account}")
    return tuple(user for user in users if here and name.rsplit("/", 1)[-1].casefold() == user.casefold())


def lost_access(
    access: ClusterAccess, level: Level, user: str, directory: Directory, subject: Subject | None = None
) -> str:
    """Return a sentence when revoking the level takes access from the user. Empty when other levels of the user give as much.

    Who is signed in through the level (`subject`) without being a member has temporary access. Raises what the directory raises.
    """
    through = subject is not None and _signed_in_through(access, level, subject)
    if not through and not _is_member(directory, level, user):
        return ""
    others = [each for each in access.levels if each.name != level.name and _is_member(directory, each, user)]
    if _covers(others, level):
        return ""
    return f"you are {user}, and no other level that you are in gives what level {level.name} gives"


def _signed_in_through(access: ClusterAccess, level: Level, subject: Subject) -> bool:
    """Whether the cluster shows the level's role, or, where it shows no ARN, all groups of the level."""
    if subject.canonical_arn:
        return level.method is Method.ROLE and pathless(subject.canonical_arn) == pathless(mapped_arn(access, level))
    return set(level.groups) <= set(subject.groups)


def _names_user(template: str) -> bool:
    return bool({"SessionName", "SessionNameRaw", "UserName"} & set(_VARIABLE.findall(template)))


def _user_name(access: ClusterAccess, level: Level, user: str) -> str:
    """A pattern of the user name that the level's template makes of an IAM user, who signs in under that name."""
    values = {
        "SessionName": re.escape(user.replace("@", "-")),
        "SessionNameRaw": re.escape(user),
        "UserName": re.escape(user),
        "AccountID": access.account,
    }
    parts = _VARIABLE.split(level.username)
    texts = (values.get(part, r"\S+") if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return "".join(texts)


def _is_member(directory: Directory, level: Level, user: str) -> bool:
    try:
        return user.casefold() in {member.name.casefold() for member in directory.members(level.group_name)}
    except NotFound:
        return False


def _covers(others: list[Level], level: Level) -> bool:
    """Whether the other levels give all that the level gives: its groups, or what it binds."""
    groups = {group for other in others for group in other.groups}
    if set(level.groups) <= groups or MASTERS in groups:
        return True
    held = {grant for other in others for grant in _grants(other)}
    return bool(level.bind) and all({grant, ("", *grant[1:]), _ADMINISTRATOR} & held for grant in _grants(level))


def _grants(level: Level) -> Iterator[tuple[str, str, str]]:
    for bind in level.bind:
        kind, role = ("ClusterRole", bind.cluster_role) if bind.cluster_role else ("Role", bind.role)
        for namespace in bind.namespaces or ("",):
            yield namespace, kind, role
