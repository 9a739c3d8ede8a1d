"""Index of one backend's mapping entries, which finds the Kubernetes user name and groups of an AWS identity.

The rules are in docs/protocol.md, section 5. ARNs compare without letter case, on the canonical ARN. STS does not show the path of a
role, so entries are indexed without it. The first entry that matches wins, in the order of the file, roles before users. Entries of
mapGroups add up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kube_iam.core.arns import Sso, canonical_arn, comparable_arn, is_account_id, strip_role_path
from kube_iam.core.identity import Identity
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping_entries import GroupMapping, MembershipRequirement, RoleMapping, UserMapping
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.templates import Template, prefix_of
from kube_iam.errors import Problem


@dataclass(frozen=True, slots=True)
class MappingMatch:
    """The user name and groups that an entry gives an identity. `source` is the entry's key path.

    `requirement` is the membership that a mapRoles entry asks for. `iam_groups` are the IAM groups that the match rests on.
    """

    username: Template
    groups: tuple[Template, ...]
    source: str = ""
    levels: tuple[str, ...] = ()
    requirement: MembershipRequirement | None = None
    iam_groups: tuple[str, ...] = ()
    needs_ec2: bool = field(init=False, repr=False, compare=False)
    """True if rendering needs the private DNS name of the instance that signed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "needs_ec2", any(each.needs_ec2 for each in (self.username, *self.groups)))


class GroupMappingIndex:
    """The mapGroups entries of one table, by IAM group and by the unique ids of temporary grants."""

    __slots__ = ("_by_group", "_by_user_id", "iam_groups")

    def __init__(self, entries: Sequence[GroupMapping] = ()) -> None:
        self._by_group: dict[str, list[tuple[int, MappingMatch]]] = {}
        self._by_user_id: dict[str, list[tuple[int, str, float, MappingMatch]]] = {}
        for position, entry in enumerate(entries):
            match = _group_match(entry)
            self._by_group.setdefault(entry.iam_group, []).append((position, match))
            for grant in entry.temporary:
                indexed = (position, entry.iam_group, grant.ends, match)
                self._by_user_id.setdefault(grant.user_id, []).append(indexed)
        self.iam_groups = tuple(self._by_group)

    def __bool__(self) -> bool:
        return bool(self.iam_groups)

    def matches(self) -> Iterator[MappingMatch]:
        """Yield what each entry gives."""
        return (match for found in self._by_group.values() for _, match in found)

    def find(
        self, member_of: Iterable[str], user_id: str, now: float, *, is_current: Callable[[str], bool]
    ) -> list[MappingMatch]:
        """Return the entries of the groups that the user is a member of, and of unexpired grants to its unique id, in file order.

        `now` is Unix seconds. `is_current` tells whether a group was read recently enough and exists in the user's account. No
        other group admits anybody, by membership or by grant.
        """
        found = {
            position: match
            for group in member_of
            if is_current(group)
            for position, match in self._by_group.get(group, ())
        }
        for position, group, until, match in self._by_user_id.get(user_id, ()):
            if now < until and is_current(group):
                found[position] = match
        return [found[position] for position in sorted(found)]


@dataclass(frozen=True, slots=True)
class GroupSources:
    """The roles (comparable ARNs) and IAM groups whose entries give a Kubernetes group."""

    roles: frozenset[str]
    iam_groups: frozenset[str]


class MappingTable:
    """The entries of one backend. Immutable once built: a reload builds another.

    `requirements` are the membership requirements of all role entries; `group_mappings` are the entries of whole IAM groups.
    """

    __slots__ = ("_accounts", "_by_arn", "_by_sso", "_sources", "_wildcards", "group_mappings", "requirements")

    def __init__(self) -> None:
        self.requirements: tuple[MembershipRequirement, ...] = ()
        self.group_mappings = GroupMappingIndex()
        self._by_arn: dict[str, tuple[int, MappingMatch]] = {}
        self._by_sso: dict[tuple[str, str, str], tuple[int, MappingMatch]] = {}
        self._wildcards: list[tuple[int, re.Pattern[str], Sso, MappingMatch]] = []
        self._accounts: frozenset[str] = frozenset()
        self._sources: dict[str, GroupSources] | None = None

    @classmethod
    def build(
        cls,
        roles: Sequence[RoleMapping],
        users: Sequence[UserMapping],
        accounts: Iterable[str],
        groups: Sequence[GroupMapping] = (),
    ) -> tuple[MappingTable, list[Problem]]:
        """Return the index of the entries, and the problems found. An entry that can never match is left out and reported."""
        table = cls()
        problems: list[Problem] = []
        entries: tuple[RoleMapping | UserMapping, ...] = (*roles, *users)
        for position, entry in enumerate(entries):
            who = entry.who if isinstance(entry, RoleMapping) else entry.arn
            match = _entry_match(entry)
            problem = (
                table._add_sso(position, who, match) if isinstance(who, Sso) else table._add_arn(position, who, match)
            )
            problems += [Problem(entry.where, message, hint) for message, hint in problem]
        problems += table.set_accounts(accounts)
        matches = (match for _, match in table._by_arn.values())
        table.requirements = tuple(match.requirement for match in matches if match.requirement is not None)
        table.set_groups(groups)
        return table, problems

    def find(self, identity: Identity) -> MappingMatch | None:
        """Return the first role or user entry that matches the identity, or None.

        The time does not depend on the number of entries, except on those with wildcards in the name of a permission set.
        """
        hit = self._by_arn.get(identity.comparable_arn)
        permission_set = identity.permission_set
        if permission_set is None:
            return hit[1] if hit is not None else None
        hits = [each for each in (hit, self._by_sso.get(permission_set)) if each is not None]
        hits += [
            (position, match)
            for position, name, sso, match in self._wildcards
            if permission_set[:2] == (sso.partition, sso.account_id) and name.fullmatch(permission_set[2])
        ]
        return min(hits, key=lambda each: each[0])[1] if hits else None

    def sources_of(self, group: str) -> GroupSources | None:
        """Return the entries that give this Kubernetes group, or None where none does. Groups with templates are left out."""
        if self._sources is None:
            self._sources = self._index_sources()
        return self._sources.get(group)

    def _index_sources(self) -> dict[str, GroupSources]:
        roles: dict[str, set[str]] = {}
        iam_groups: dict[str, set[str]] = {}
        for arn, match in self._matches():
            for template in match.groups:
                if template.is_fixed:
                    roles.setdefault(template.text, set()).update([arn] if ":role/" in arn else [])
                    iam_groups.setdefault(template.text, set()).update(match.iam_groups)
        return {group: GroupSources(frozenset(roles[group]), frozenset(iam_groups[group])) for group in roles}

    def _matches(self) -> Iterator[tuple[str, MappingMatch]]:
        """Yield each entry with its comparable ARN, which is empty where the entry has none."""
        yield from ((arn, match) for arn, (_, match) in self._by_arn.items())
        yield from (("", match) for _, match in self._by_sso.values())
        yield from (("", each[3]) for each in self._wildcards)
        yield from (("", match) for match in self.group_mappings.matches())

    @property
    def needs_ec2(self) -> bool:
        """True if any entry needs the private DNS name of an instance."""
        return any(match.needs_ec2 for _, match in self._matches())

    def account_match(self, account_id: str) -> bool:
        """Return whether mapAccounts lists the account: its principals get their canonical ARN as user name, and no groups.

        Separate from `find`, since it is asked after the explicit mappings of all backends.
        """
        return account_id in self._accounts

    def set_accounts(self, accounts: Iterable[str]) -> list[Problem]:
        """Set the accounts of mapAccounts while the table is built. Return the problems: what is no account id is left out."""
        good, problems = [], []
        for account in accounts:
            if is_account_id(account):
                good.append(account)
            else:
                message = f"{account!r} is not a 12-digit account id"
                problems.append(Problem("mapAccounts", message, "quote it, as YAML reads numbers"))
        self._accounts = frozenset(good)
        return problems

    def set_groups(self, groups: Sequence[GroupMapping]) -> None:
        """Set the entries of whole IAM groups while the table is built."""
        self.group_mappings = GroupMappingIndex(groups)

    def _add_arn(self, position: int, text: str, match: MappingMatch) -> list[tuple[str, str]]:
        # Lower case first: the reference takes `ARN:AWS:IAM::…` for users.
        lowered = ascii_lower(text)
        try:
            canonical = canonical_arn(lowered)
        except ValueError as problem:
            return [(str(problem).replace(lowered, text), "")]
        key = strip_role_path(canonical)
        problems = []
        if canonical != lowered:
            problems.append((f"{text} names one session; it admits every session of the role", f"write {key}"))
        elif key != canonical:
            problems.append((f"{text} has a path, which STS never shows; matched without it", f"write {key}"))
        if key in self._by_arn:
            return [*problems, _repeated(text, self._by_arn[key][1])]
        self._by_arn[key] = (position, match)
        return problems

    def _add_sso(self, position: int, sso: Sso, match: MappingMatch) -> list[tuple[str, str]]:
        key = sso.key
        if key in self._by_sso:
            return [_repeated(sso.describe(), self._by_sso[key][1])]
        pattern = sso.pattern()
        if pattern is not None:
            same = next((earlier for _, _, other, earlier in self._wildcards if other.key == key), None)
            if same is not None:
                return [_repeated(sso.describe(), same)]
            self._wildcards.append((position, pattern, sso, match))
        else:
            self._by_sso[key] = (position, match)
        return []


@dataclass(frozen=True, slots=True)
class MappingSnapshot:
    """The state of one backend at one moment. A reload replaces the whole snapshot, so that its parts are of one version.

    `name` is the backend's name in the configuration. `table` is None until the first load, and the last good table where a later
    load fails. `reserved_prefixes` are prefixes that user names of this backend must not have.
    """

    name: str
    table: MappingTable | None = None
    reserved_prefixes: tuple[str, ...] = ()


def merge(matches: Sequence[MappingMatch]) -> MappingMatch:
    """Return one match for at least one: the first one's user name, and the groups, levels and IAM groups of all."""
    if len(matches) == 1:
        return matches[0]
    groups = dict.fromkeys(group for each in matches for group in each.groups)
    levels = dict.fromkeys(level for each in matches for level in each.levels)
    iam_groups = dict.fromkeys(name for each in matches for name in each.iam_groups)
    source = " ".join(each.source for each in matches)
    return MappingMatch(matches[0].username, tuple(groups), source, tuple(levels), iam_groups=tuple(iam_groups))


def render(
    match: MappingMatch, identity: Identity, reserved: tuple[str, ...], private_dns_name: str = ""
) -> tuple[str, tuple[str, ...]] | Refusal:
    """Return the user name and groups for the identity, with all templates replaced, or why there are none.

    `reserved` are prefixes that user names of this backend must not have, checked on the rendered name.
    """
    username = match.username.render(identity, private_dns_name)
    if isinstance(username, Refusal):
        return username
    refusal = reserved_prefix(username, reserved)
    if refusal is not None:
        return refusal
    groups = []
    for template in match.groups:
        group = template.render(identity, private_dns_name)
        if isinstance(group, Refusal):
            return group
        groups.append(group)
    return username, tuple(groups)


def reserved_prefix(username: str, reserved: tuple[str, ...]) -> Refusal | None:
    """Return the refusal of a user name that begins with a reserved prefix, or None."""
    prefix = prefix_of(username, reserved)
    return Refusal(Reason.RESERVED_NAME, f"user names may not begin with {prefix!r} here") if prefix else None


def _entry_match(entry: RoleMapping | UserMapping) -> MappingMatch:
    if isinstance(entry, UserMapping):
        return MappingMatch(entry.username, entry.groups, entry.where)
    levels = (entry.level,) if entry.level else ()
    if not entry.iam_group:
        return MappingMatch(entry.username, entry.groups, entry.where, levels)
    requirement = MembershipRequirement(entry.iam_group, *_role(entry.who), entry.temporary)
    return MappingMatch(entry.username, entry.groups, entry.where, levels, requirement, (entry.iam_group,))


def _role(who: str | Sso) -> tuple[str, str]:
    """Return a role's comparable ARN and its name as spelled; both empty for what is no role, whose entry admits nobody."""
    try:
        key = comparable_arn(who) if isinstance(who, str) else ""
    except ValueError:
        key = ""  # which the index reports
    name = key.rpartition("/")[2]
    return key, next((part for part in str(who).split("/") if ascii_lower(part) == name), "")


def _group_match(entry: GroupMapping) -> MappingMatch:
    levels = (entry.level,) if entry.level else ()
    return MappingMatch(entry.username, entry.groups, entry.where, levels, iam_groups=(entry.iam_group,))


def _repeated(text: str, first: MappingMatch) -> tuple[str, str]:
    return (
        f"{text} is mapped before{' at ' + first.source if first.source else ''}; this entry is ignored",
        "remove one of the two",
    )
