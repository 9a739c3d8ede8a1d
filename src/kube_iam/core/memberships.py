"""Entries that ask for membership in an IAM group: what a role's entry holds its sessions to, and the entries of whole groups.

They say what is asked. Who is a member now is known to `kube_iam.authn.door`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kube_iam.core.templates import Template

if TYPE_CHECKING:
    from kube_iam.core.mapping import Mapped


@dataclass(frozen=True, slots=True)
class Temporary:
    """Somebody who is let in although no member, until then (Unix seconds). `user_id` is the IAM user's unique id (AIDA…)."""

    user_name: str
    user_id: str
    until: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GroupMapping:
    """One mapGroups entry. `where` is its key path in the file."""

    iam_group: str
    username: Template
    groups: tuple[Template, ...] = ()
    level: str = ""
    temporary: tuple[Temporary, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a role's entry asks besides the role: its sessions are named after members of the group, or after who is in it for a time.

    `role` is the role's ARN as mappings are compared, without path and in lower case; `role_name` is spelled as in the file.
    """

    iam_group: str
    role: str
    role_name: str
    temporary: tuple[Temporary, ...] = ()


class GroupEntries:
    """The mapGroups entries of one table, by group and by the unique ids that are let in for a time. In the order of the file."""

    __slots__ = ("_by_group", "_by_user_id", "names")

    def __init__(self, entries: Sequence[tuple[GroupMapping, Mapped]] = ()) -> None:
        self._by_group: dict[str, list[tuple[int, Mapped]]] = {}
        self._by_user_id: dict[str, list[tuple[int, str, float, Mapped]]] = {}
        for position, (entry, mapped) in enumerate(entries):
            self._by_group.setdefault(entry.iam_group, []).append((position, mapped))
            for item in entry.temporary:
                grant = (position, entry.iam_group, item.until, mapped)
                self._by_user_id.setdefault(item.user_id, []).append(grant)
        self.names = tuple(self._by_group)

    def __bool__(self) -> bool:
        return bool(self.names)

    def of(
        self, member_of: Iterable[str], user_id: str, now: float, *, is_current: Callable[[str], bool]
    ) -> list[Mapped]:
        """Return the entries of the groups that the user is a member of, and of unexpired grants to its unique id, in file order.

        `now` is Unix seconds. `is_current` says of a group whether it was read lately enough and exists in the user's account: no
        other group admits anybody, by membership or by grant.
        """
        found = {
            position: mapped
            for group in member_of
            if is_current(group)
            for position, mapped in self._by_group.get(group, ())
        }
        for position, group, until, mapped in self._by_user_id.get(user_id, ()):
            if now < until and is_current(group):
                found[position] = mapped
        return [found[position] for position in sorted(found)]
