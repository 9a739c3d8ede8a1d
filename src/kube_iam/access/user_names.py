"""Warnings about user names of levels: one name for two users, and names that EKS access entries refuse.

RBAC and the user field of audit logs know a user by this name. With the default two users never have one name, since IAM user names
are unique in an account and the trust policy makes the session name the user's own. One user has one name at all levels, by role
and by group alike. That is no collision: the groups of the request tell the levels apart, and denials name IAM users, not these names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from kube_iam.access.levels import (
    DEFAULT_USERNAME,
    DEFAULT_USERNAME_OF_PERMISSION_SET,
    DEFAULT_USERNAMES,
    ClusterAccess,
    Level,
    Method,
    TargetKind,
)
from kube_iam.core.access_entries import access_entry_refusals
from kube_iam.core.templates import VARIABLES, parse_template, prefix_of

if TYPE_CHECKING:
    from kube_iam.access.desired import AnyLevel

_FOLDED = "SessionName"  # `@` becomes `-`
_WHOLE = ("SessionNameRaw", "UserName")
_KEY = "AccessKeyID"  # of one user, but new in each session
_NAME = re.compile(r"[\w+=,.@-]*", re.ASCII)  # characters of IAM user names; a colon is none
_EXAMPLE = "alice"


def user_name_warnings(access: ClusterAccess) -> Iterator[str]:
    """Yield the warnings about the user names of all levels."""
    for level in access.levels:
        yield from _within(level)
    for first, second in combinations(access.levels, 2):
        yield from _between(_Shape.of(access, first), _Shape.of(access, second))
    yield from _of_several_groups(access)
    if access.mapping.kind is TargetKind.AWS_AUTH:
        yield from _at_access_entries(access)


def can_be_named_alike(access: ClusterAccess, username: str, level: Level) -> bool:
    """Return whether the template of another entry can make a user name of a synced level, which is a prefix, a colon and a value.

    No value of a template has a colon, so that the text before the last colon decides. A malformed template counts as one that can.
    """
    try:
        parts = parse_template(username, (*VARIABLES, "UserName")).parts
    except ValueError:
        return True
    wanted = level.username.replace("{{AccountID}}", access.account).rpartition(":")[0]
    pattern = "".join(_pattern(access, part) if index % 2 else re.escape(part) for index, part in enumerate(parts))
    before, colon, _ = pattern.rpartition(":")
    return bool(colon) and re.fullmatch(before, wanted) is not None


def alike_levels(access: ClusterAccess) -> Iterator[tuple[int, Level]]:
    """Yield the position of each level that can give a user name of a synced level, and that synced level."""
    for level in filter(access.is_synced, access.levels):
        for index, other in enumerate(access.levels):
            if other.name != level.name and can_be_named_alike(access, other.username, level):
                yield index, level


def _pattern(access: ClusterAccess, variable: str) -> str:
    return re.escape(access.account) if variable == "AccountID" else _NAME.pattern


def reserved_user_names(desired: Iterable[AnyLevel], prefixes: tuple[str, ...]) -> dict[str, str]:
    """Return by level why the server refuses all its user names, with no key for other levels.

    `prefixes` are those that the server reserves.
    """
    return {
        level.name: f"the server refuses user names that begin with {prefix} (server.reservedPrefixConfig): "
        f"write another username than {level.entry.username} for level {level.name}"
        for level in desired
        if (prefix := prefix_of(level.entry.username, prefixes))
    }


def _within(level: Level) -> Iterator[str]:
    variables = _variables(level)
    if not variables & {_FOLDED, *_WHOLE, _KEY}:
        default = DEFAULT_USERNAMES[level.method]
        yield (
            f"{level.username} is the user name of all users of level {level.name}: audit logs tell them apart by user.extra at "
            f"most, and RBAC does not; write {default}"
        )
    elif _FOLDED in variables and not variables & {*_WHOLE, _KEY}:
        yield (
            f"level {level.name}: {{{{SessionName}}}} writes - for @, so that {_EXAMPLE}@example.com and {_EXAMPLE}-example.com "
            "have one user name; write {{SessionNameRaw}}"
        )


def _variables(level: Level) -> set[str]:
    return set(parse_template(level.username, (*VARIABLES, "UserName")).parts[1::2])


@dataclass(frozen=True, slots=True)
class _Shape:
    """A level's user name as text around one value. Without `has_value` the user name is `before`, for all users."""

    level: str
    before: str
    after: str = ""
    has_value: bool = False
    folded: bool = False
    is_permission_set: bool = False

    @classmethod
    def of(cls, access: ClusterAccess, level: Level) -> _Shape | None:
        """Return the shape, or None for a template of several values or of keys, which no other level's names resemble."""
        text = level.username.replace("{{AccountID}}", access.account)
        parts = parse_template(text, (*VARIABLES, "UserName")).parts
        is_set = level.method is Method.PERMISSION_SET
        if len(parts) == 1:
            return cls(level.name, text, is_permission_set=is_set)
        if len(parts) > 3 or parts[1] not in (_FOLDED, *_WHOLE):
            return None
        folded = parts[1] == _FOLDED
        return cls(level.name, parts[0], parts[2], has_value=True, folded=folded, is_permission_set=is_set)

    def user_of(self, name: str) -> str:
        """Return the IAM user that has this user name at the level, `every user` if all have it, empty if none can."""
        if not self.has_value:
            return "every user" if name == self.before else ""
        if not (name.startswith(self.before) and name.endswith(self.after)):
            return ""
        user = name[len(self.before) : len(name) - len(self.after)]
        return user if _NAME.fullmatch(user) and not (self.folded and "@" in user) else ""


def _between(first: _Shape | None, second: _Shape | None) -> Iterator[str]:
    """Yield a warning with an example if two users can have one user name, each at one of the levels.

    Levels with equal shapes give one user one name, unless one level has users of IAM Identity Center and the other one IAM users.
    What collides within one level is that level's own warning.
    """
    if first is None or second is None:
        return
    if (first.before, first.after) == (second.before, second.after):
        yield from _of_two_directories(first, second)
        return
    constant = next((shape.before for shape in (first, second) if not shape.has_value), None)
    before, after = (max(texts, key=len) for texts in ((first.before, second.before), (first.after, second.after)))
    name = f"{before}{_EXAMPLE}{after}" if constant is None else constant
    users = first.user_of(name), second.user_of(name)
    if all(users):
        yield (
            f"users of levels {first.level} and {second.level} can have the user name {name} "
            f"({first.level}: {users[0]}, {second.level}: {users[1]}), and RBAC takes them for one user; begin the user "
            "names of each level with a prefix that ends in a colon, which no IAM user name contains"
        )


def _of_two_directories(first: _Shape, second: _Shape) -> Iterator[str]:
    """Yield a warning if levels of equal shapes have users of IAM and of IAM Identity Center."""
    if first.has_value and first.is_permission_set is not second.is_permission_set:
        level = (first if first.is_permission_set else second).level
        yield (
            f"an IAM user and a user of IAM Identity Center, who may be two people, can have one user name at levels {first.level} and"
            f" {second.level}; write {DEFAULT_USERNAME_OF_PERMISSION_SET} for level {level}"
        )


def _of_several_groups(access: ClusterAccess) -> Iterator[str]:
    by_group = [level for level in access.levels if level.method is Method.GROUP]
    if len({level.username for level in by_group}) > 1:
        names = ", ".join(level.name for level in by_group)
        yield (
            f"levels by method group have different user names ({names}): a user in several of them has the user name of the "
            "entry that comes first in mapGroups; write the same one in all"
        )


def _at_access_entries(access: ClusterAccess) -> Iterator[str]:
    """Yield warnings of what could not move from aws-auth, which AWS has deprecated, to access entries. They hold no IAM groups."""
    for level in access.levels:
        refusals = "; ".join(access_entry_refusals(level.username, level.groups))
        if refusals and level.method is Method.ROLE:
            yield (
                f"level {level.name} cannot move from aws-auth to EKS access entries as it is: {refusals}; "
                f"they take {DEFAULT_USERNAME} and groups of your own"
            )
