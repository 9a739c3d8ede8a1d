"""Principals that a level or IAM knows, so that a misspelt name is noticed: a denial of it would be in force and deny nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kube_iam.access.documents import mapped_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.ports import Directory, MappingEntry, User
from kube_iam.core.principals import arn_key, kind_of, role_of
from kube_iam.errors import NotFound

Near = Callable[[str, Iterable[str]], str]


@dataclass(slots=True)
class KnownNames:
    """The users that are in a level for good or for a time, their unique ids, and the roles of levels and mapping entries.

    `roles` are comparable ARNs with the role's name as it is written; `others` are users of the account that are in no level.
    """

    account: str
    users: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)

    def knows(self, text: str) -> bool:
        """Return whether a level or IAM knows the principal. True for what neither can tell: access keys and unique ids of roles."""
        match kind_of(text):
            case "userName":
                return self._is_user(text)
            case "userId":
                return text in self.ids or not text.startswith("AIDA")
            case "arn":
                account, _, resource = arn_key(text).partition(":")
                kind, _, name = resource.rpartition("/")
                if kind == "user":
                    return account == self.account and self._is_user(name)
                return role_of(text) in self.roles and (kind == "role" or self._is_user(name))
        return True

    def _is_user(self, name: str) -> bool:
        return name.casefold() in self.users or name.casefold() in self.others

    def near(self, text: str, near: Near) -> str:
        """Return a near match as a question, empty where nothing is near."""
        role, name = role_of(text), text.rpartition("/")[2]
        if role and role not in self.roles:
            name = role.rpartition("/")[2]
            return near(name, self.roles.values())
        return near(name, self.users.values())


def known_names(
    access: ClusterAccess, directory: Directory, entries: Iterable[MappingEntry], texts: Iterable[str]
) -> KnownNames:
    """Read who is in the levels, and which of the principals in `texts` are users of the account that are in none.

    Raises KubeIamError where IAM cannot be read. A level that was not applied has no members.
    """
    known = KnownNames(access.account)

    def members(level: Level) -> tuple[User, ...]:
        try:
            return directory.members(level.group_name)
        except NotFound:
            return ()

    for users in directory.each(members, access.levels):
        known.users |= {user.name.casefold(): user.name for user in users}
        known.ids |= {user.unique_id: user.name for user in users}
    arns = [mapped_arn(access, level) for level in access.levels if level.method is Method.ROLE]
    for entry in entries:
        known.users |= {item.user_name.casefold(): item.user_name for item in entry.temporary}
        arns += [entry.role_arn] if entry.role_arn else []
    names = {text.rpartition("/")[2] for text in texts if kind_of(text) in ("userName", "arn")}
    found = directory.each(directory.user, [name for name in names if not known._is_user(name)])
    known.others = {user.name.casefold() for user in found if user is not None}
    known.roles = {role_of(arn): arn.rpartition("/")[2] for arn in arns if role_of(arn)}
    return known
