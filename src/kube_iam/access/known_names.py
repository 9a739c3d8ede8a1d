"""Principals that a level or IAM knows. A misspelt name is noticed: a denial of it would deny nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kube_iam.access.desired import mapped_arn, mapped_levels
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.ports import Directory, User
from kube_iam.core.arns import user_name
from kube_iam.core.principals import arn_key, kind_of, role_of
from kube_iam.core.rbac import MASTERS
from kube_iam.errors import NotFound

Suggest = Callable[[str, Iterable[str]], str]


@dataclass(slots=True)
class KnownNames:
    """Users that are mapped or in a level, their unique ids, and the roles of levels and entries.

    `roles` are ARNs as written by comparable ARN. `mapped` are comparable ARNs of users. `others` are users of the account in no
    level. `in_masters`: a level or entry is in the Kubernetes group system:masters.
    """

    account: str
    in_masters: bool = False
    users: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    mapped: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    sets: list[MappingEntry] = field(default_factory=list)  # entries of permission sets, whose users are not known here

    def knows(self, text: str) -> bool:
        """Return whether a level, a mapping entry or IAM knows the principal.

        True for principals that none of them can know: access keys, unique ids of roles, federated users of the account, sessions
        of permission sets.
        """
        match kind_of(text):
            case "userName":
                return self._is_user(text)
            case "userId":
                return text in self.ids or not text.startswith("AIDA")
            case "arn":
                account, _, resource = arn_key(text).partition(":")
                kind, _, name = resource.rpartition("/")
                if resource == "root" or kind == "federated-user":
                    return account == self.account
                if kind == "user":
                    return arn_key(text) in self.mapped or (account == self.account and self._is_user(name))
                if any(entry.matches_role(text) for entry in self.sets):
                    return True
                return role_of(text) in self.roles and (kind == "role" or self._is_user(name))
        return True

    def _is_user(self, name: str) -> bool:
        return name.casefold() in self.users or name.casefold() in self.others

    def suggestion(self, text: str, suggest: Suggest) -> str:
        """Return a suggestion as a question, empty if there is none."""
        role, name = role_of(text), text.rpartition("/")[2]
        roles = {arn.rpartition("/")[2]: arn for arn in self.roles.values()}
        if role and role not in self.roles:
            return suggest(role.rpartition("/")[2], roles)
        of_that_name = [arn for role_name, arn in roles.items() if role_name.casefold() == name.casefold()]
        return f"did you mean the role {of_that_name[0]}?" if of_that_name else suggest(name, self.users.values())


def known_names(
    access: ClusterAccess, directory: Directory, entries: Iterable[MappingEntry], texts: Iterable[str]
) -> KnownNames:
    """Read the members of the levels, and which principals in `texts` are users of the account in no level.

    Raises KubeIamError if IAM cannot be read. A level that was not applied has no members.
    """
    known = KnownNames(access.account)

    def members(level: Level) -> tuple[User, ...]:
        try:
            return directory.members(level.group_name)
        except NotFound:
            return ()

    for users in directory.each(members, access.iam_levels):
        known.users |= {user.name.casefold(): user.name for user in users}
        known.ids |= {user.unique_id: user.name for user in users}
    arns = [mapped_arn(access, level) for level in access.levels if level.method is Method.ROLE]
    own = [level.entry for level in mapped_levels(access)]
    entries = tuple(entries)
    known.in_masters = any(MASTERS in entry.groups for entry in (*own, *entries))
    known.sets = [entry for entry in own if entry.sso is not None]
    arns += [entry.role_arn for entry in own if entry.role_arn]
    for entry in entries:
        known.sets += [entry] if entry.sso is not None else []
        known.users |= {item.user_name.casefold(): item.user_name for item in entry.temporary}
        arns += [entry.role_arn] if entry.role_arn else []
        if kind_of(entry.principal) == "arn" and (name := user_name(entry.principal)):
            known.mapped.add(arn_key(entry.principal))
            known.users[name.casefold()] = name
    names = {text.rpartition("/")[2] for text in texts if kind_of(text) in ("userName", "arn")}
    found = directory.each(directory.user, [name for name in names if not known._is_user(name)])
    known.others = {user.name.casefold() for user in found if user is not None}
    known.roles = {role_of(arn): arn for arn in arns if role_of(arn)}
    return known
