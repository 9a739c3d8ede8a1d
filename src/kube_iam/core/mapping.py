"""Which Kubernetes user and groups an AWS identity gets: the entries of one backend, indexed so that their number does not matter.

Rules: docs/protocol.md, section 5. ARNs compare without case, on the canonical ARN. STS does not show a role's path, so
entries are indexed without it. The first entry that matches wins, in the order of the file, roles before users. mapGroups
entries add up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from kube_iam.core.arns import canonical_arn, comparable_arn, is_account_id, strip_role_path
from kube_iam.core.identity import Identity
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.memberships import Gate, GroupMapping, Temporary
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.sso import Sso, parse_sso_role
from kube_iam.core.templates import Template
from kube_iam.errors import Problem

__all__ = [
    "GroupEntries",
    "GroupMapping",
    "Mapped",
    "MappingTable",
    "RoleMapping",
    "Sso",
    "Temporary",
    "UserMapping",
    "rendered",
]


@dataclass(frozen=True, slots=True)
class RoleMapping:
    """One mapRoles entry: a role's ARN, or the role of an IAM Identity Center permission set. `where` is its key path in the file.

    With `iam_group`, which goes with an ARN only, sessions enter that are named after a member, or after somebody in `temporary`.
    """

    who: str | Sso
    username: Template
    groups: tuple[Template, ...] = ()
    where: str = ""
    iam_group: str = ""
    level: str = ""
    temporary: tuple[Temporary, ...] = ()


@dataclass(frozen=True, slots=True)
class UserMapping:
    """One mapUsers entry. `where` is its key path in the file."""

    arn: str
    username: Template
    groups: tuple[Template, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What an entry says about an identity that it matches. `source` is the entry's key path; `gate` is what has to hold besides.

    `iam_groups` are the IAM groups that let the identity in, where it is groups that do.
    """

    username: Template
    groups: tuple[Template, ...]
    source: str = ""
    levels: tuple[str, ...] = ()
    gate: Gate | None = None
    iam_groups: tuple[str, ...] = ()

    @property
    def needs_ec2(self) -> bool:
        """Whether rendering needs the private DNS name of the instance that signed."""
        return self.username.needs_ec2 or any(group.needs_ec2 for group in self.groups)


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


class MappingTable:
    """The entries of one backend, each with its position in the file. Never changes once built: a reload builds another."""

    __slots__ = ("_accounts", "_by_arn", "_by_sso", "_wildcards", "gates", "groups")

    def __init__(self) -> None:
        self.gates: tuple[Gate, ...] = ()
        self.groups = GroupEntries()
        self._by_arn: dict[str, tuple[int, Mapped]] = {}
        self._by_sso: dict[tuple[str, str, str], tuple[int, Mapped]] = {}
        self._wildcards: list[tuple[int, re.Pattern[str], Sso, Mapped]] = []
        self._accounts: frozenset[str] = frozenset()

    @classmethod
    def build(
        cls,
        roles: Sequence[RoleMapping],
        users: Sequence[UserMapping],
        accounts: Iterable[str],
        groups: Sequence[GroupMapping] = (),
    ) -> tuple[MappingTable, list[Problem]]:
        """Index the entries. An entry that can never match is left out; it and every other oddity is reported."""
        table = cls()
        problems: list[Problem] = []
        entries: tuple[RoleMapping | UserMapping, ...] = (*roles, *users)
        for position, entry in enumerate(entries):
            who = entry.who if isinstance(entry, RoleMapping) else entry.arn
            mapped = _mapped(entry)
            problem = (
                table._add_sso(position, who, mapped) if isinstance(who, Sso) else table._add_arn(position, who, mapped)
            )
            problems += [Problem(entry.where, message, hint) for message, hint in problem]
        problems += table.let_in(accounts)
        table.gates = tuple(mapped.gate for _, mapped in table._by_arn.values() if mapped.gate is not None)
        table.let_groups_in(groups)
        return table, problems

    def find(self, identity: Identity) -> Mapped | None:
        """The first entry that matches the identity's canonical ARN, or None. Constant time, but for wildcards in SSO names."""
        arn, role = _keys(identity.canonical_arn)
        hits = [self._by_arn[arn]] if arn in self._by_arn else []
        if role is not None:
            if role in self._by_sso:
                hits.append(self._by_sso[role])
            hits += [
                (position, mapped)
                for position, name, sso, mapped in self._wildcards
                if role[:2] == (sso.partition, sso.account_id) and name.fullmatch(role[2])
            ]
        return min(hits, key=lambda hit: hit[0])[1] if hits else None

    @property
    def needs_ec2(self) -> bool:
        """Whether any entry needs the private DNS name of an instance."""
        hits = (*self._by_arn.values(), *self._by_sso.values())
        return any(mapped.needs_ec2 for _, mapped in hits) or any(each[3].needs_ec2 for each in self._wildcards)

    def account_match(self, account_id: str) -> bool:
        """Whether every principal of the account is let in, under its canonical ARN and without groups (mapAccounts).

        Separate from `find`, since it is asked after the explicit mappings of all backends.
        """
        return account_id in self._accounts

    def let_in(self, accounts: Iterable[str]) -> list[Problem]:
        """Set the accounts whose principals are let in, while the table is built; what is no account id is reported."""
        good, problems = [], []
        for account in accounts:
            if is_account_id(account):
                good.append(account)
            else:
                message = f"{account!r} is not a 12-digit account id"
                problems.append(Problem("mapAccounts", message, "quote it, as YAML reads numbers"))
        self._accounts = frozenset(good)
        return problems

    def let_groups_in(self, groups: Sequence[GroupMapping]) -> None:
        """Set the entries of whole IAM groups, while the table is built."""
        self.groups = GroupEntries([(entry, _of_group(entry)) for entry in groups])

    def _add_arn(self, position: int, text: str, mapped: Mapped) -> list[tuple[str, str]]:
        # Lower case first: the reference takes `ARN:AWS:IAM::…` for users.
        lowered = ascii_lower(text)
        try:
            canonical = canonical_arn(lowered)
        except ValueError as problem:
            return [(str(problem).replace(lowered, text), "")]
        key = strip_role_path(canonical)
        problems = []
        if canonical != lowered:
            problems.append((f"{text} names one session; it lets in every session of the role", f"write {key}"))
        elif key != canonical:
            problems.append((f"{text} has a path, which STS never shows; matched without it", f"write {key}"))
        if key in self._by_arn:
            return [*problems, _repeated(text, self._by_arn[key][1])]
        self._by_arn[key] = (position, mapped)
        return problems

    def _add_sso(self, position: int, sso: Sso, mapped: Mapped) -> list[tuple[str, str]]:
        key = sso.key
        if key in self._by_sso:
            return [_repeated(sso.describe(), self._by_sso[key][1])]
        pattern = sso.pattern()
        if pattern is not None:
            same = next((earlier for _, _, other, earlier in self._wildcards if other.key == key), None)
            if same is not None:
                return [_repeated(sso.describe(), same)]
            self._wildcards.append((position, pattern, sso, mapped))
        else:
            self._by_sso[key] = (position, mapped)
        return []


def merged(entries: Sequence[Mapped]) -> Mapped:
    """All that the entries give, of which there is at least one: the first one's user name, and the groups and levels of all."""
    if len(entries) == 1:
        return entries[0]
    groups = dict.fromkeys(group for entry in entries for group in entry.groups)
    levels = dict.fromkeys(level for entry in entries for level in entry.levels)
    through = dict.fromkeys(name for entry in entries for name in entry.iam_groups)
    source = " ".join(entry.source for entry in entries)
    return Mapped(entries[0].username, tuple(groups), source, tuple(levels), iam_groups=tuple(through))


@lru_cache(maxsize=1024)
def _keys(canonical_arn: str) -> tuple[str, tuple[str, str, str] | None]:
    """What to look up for a principal: ARN and permission set. Remembered, since few principals ask again and again."""
    arn = comparable_arn(canonical_arn)
    return arn, parse_sso_role(arn)


def rendered(
    mapped: Mapped, identity: Identity, reserved: tuple[str, ...], private_dns_name: str = ""
) -> tuple[str, tuple[str, ...]] | Refusal:
    """The user name and groups for the identity, templates filled in, or why it gets none.

    `reserved` are prefixes that user names of this backend must not have, checked on the rendered name.
    """
    username = mapped.username.render(identity, private_dns_name)
    if isinstance(username, Refusal):
        return username
    refusal = reserved_prefix(username, reserved)
    if refusal is not None:
        return refusal
    groups = []
    for template in mapped.groups:
        group = template.render(identity, private_dns_name)
        if isinstance(group, Refusal):
            return group
        groups.append(group)
    return username, tuple(groups)


def reserved_prefix(username: str, reserved: tuple[str, ...]) -> Refusal | None:
    """The refusal of a user name that begins with a reserved prefix, or None."""
    for prefix in reserved:
        if prefix and username.startswith(prefix):
            return Refusal(Reason.RESERVED_NAME, f"user names may not begin with {prefix!r} here")
    return None


def _mapped(entry: RoleMapping | UserMapping) -> Mapped:
    if isinstance(entry, UserMapping):
        return Mapped(entry.username, entry.groups, entry.where)
    levels = (entry.level,) if entry.level else ()
    if not entry.iam_group:
        return Mapped(entry.username, entry.groups, entry.where, levels)
    gate = Gate(entry.iam_group, *_role(entry.who), entry.temporary)
    return Mapped(entry.username, entry.groups, entry.where, levels, gate, (entry.iam_group,))


def _role(who: str | Sso) -> tuple[str, str]:
    """A role's ARN as it is compared, and its name as it is spelled; empty for what is no role, which lets nobody in."""
    try:
        key = comparable_arn(who) if isinstance(who, str) else ""
    except ValueError:
        key = ""  # which the index reports
    name = key.rpartition("/")[2]
    return key, next((part for part in str(who).split("/") if ascii_lower(part) == name), "")


def _of_group(entry: GroupMapping) -> Mapped:
    levels = (entry.level,) if entry.level else ()
    return Mapped(entry.username, entry.groups, entry.where, levels, iam_groups=(entry.iam_group,))


def _repeated(text: str, first: Mapped) -> tuple[str, str]:
    return (
        f"{text} is mapped before{' at ' + first.source if first.source else ''}; this entry is ignored",
        "remove one of the two",
    )
