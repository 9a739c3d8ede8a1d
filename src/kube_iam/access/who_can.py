"""People who may make a request in the cluster: the join of RBAC, the mapping and IAM.

An entry of the mapping gives a user name and groups to principals of AWS. The principals of an entry are found in IAM: members of its
group, users with temporary access, and, for a role whose entry asks for no group, the principals of its trust policy. Servers that
ignore the group admit these for every role.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kube_iam.access.desired import desired_entry
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.mapping import MappingEntry, pathless
from kube_iam.access.ports import Directory, RoleState, User
from kube_iam.core.arns import is_account_id, parse_arn, parse_sso_role, user_name
from kube_iam.core.identity import Identity
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.rbac import AUTHENTICATED, GROUP, SERVICE_ACCOUNT, USER, Grant, RbacSubject
from kube_iam.core.templates import GROUP_VARIABLES, VARIABLES, Template, parse_template, prefix_of
from kube_iam.core.trust_principals import trusted_principals
from kube_iam.errors import KubeIamError, NotFound

Read = TypeVar("Read")

_ANY_VALUE = r"[A-Za-z0-9_+=,.@-]*"
IGNORING = ", at servers that ignore iamGroup"
_LISTS = ("mapRoles", "mapUsers", "mapGroups")
_PLACE = re.compile(r"(\w+)\[(\d+)\]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody that an entry of the mapping admits. `person` is the name of the IAM user, empty where it is not known.

    `values` are the template variables that are known. `identity` is the one that the server will see, None without a person.
    """

    principal: str
    entry: MappingEntry
    through: str
    level: str = ""
    person: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A candidate who may make the request, by these grants. `username` is set where one user name alone may."""

    candidate: Candidate
    grants: tuple[Grant, ...]
    username: str = ""


@dataclass(frozen=True, slots=True)
class WhoCan:
    """The answer: people, and subjects of RBAC that no entry of the mapping gives to anybody."""

    answers: tuple[Answer, ...]
    others: tuple[RbacSubject, ...]
    service_accounts: tuple[RbacSubject, ...]


class PeopleReader:
    """Reads the principals of mapping entries in IAM, each group and role once. `unread` says what could not be read.

    `absent` are the things that IAM was asked for and does not have, as `what` and name: `("role", "ops")`.
    """

    def __init__(self, access: ClusterAccess, directory: Directory, now: float, *, any_server: bool = False) -> None:
        """`now` is Unix seconds: temporary access that is over by then admits nobody.

        With `any_server` the principals of a role's trust policy are candidates also where its entry asks for a group. Servers that
        ignore `iamGroup` admit every session of the role.
        """
        self._any_server = any_server
        self._access = access
        self._directory = directory
        self._now = now
        self._members: dict[str, tuple[User, ...]] = {}
        self._roles: dict[str, RoleState | None] = {}
        self._users: dict[str, User | None] = {}
        self.unread: list[str] = []
        self.absent: set[tuple[str, str]] = set()

    def role_states(self, entries: Iterable[MappingEntry]) -> dict[str, RoleState]:
        """Return the roles of this account that entries map, by comparable ARN, also those whose entry asks for a group."""
        arns = (self._own_arn(entry) for entry in entries)
        asked = {pathless(arn): _role_name(arn) for arn in arns if arn and pathless(arn) not in self._roles}
        self._roles |= dict(zip(asked, self._directory.each(self._role, asked.values()), strict=True))
        return {arn: role for arn, role in self._roles.items() if role is not None}

    def check_users(self, names: Iterable[str]) -> None:
        """Read IAM users of this account by name: those that do not exist are then in `absent`."""
        asked = [name for name in dict.fromkeys(names) if name not in self._users]
        self._users |= dict(zip(asked, self._directory.each(self._user, asked), strict=True))

    def candidates(self, entries: Iterable[MappingEntry]) -> tuple[Candidate, ...]:
        """Return the candidates of all entries, in the server's order. Of entries for one principal the first counts."""
        first: dict[str, MappingEntry] = {}
        for entry in in_server_order(entries):
            first.setdefault(f"group {entry.key} {entry.where}" if is_group_entry(entry) else match_key(entry), entry)
        kept = tuple(first.values())
        self._read(kept)
        found = [each for entry in kept for each in self._of(entry)]
        return tuple(_joined_groups(found))

    def _read(self, entries: tuple[MappingEntry, ...]) -> None:
        """Read groups, roles and users of temporary access, in parallel."""
        groups = {entry.iam_group.casefold(): entry.iam_group for entry in entries if entry.iam_group}
        groups |= {level.group_name.casefold(): level.group_name for e in entries for level in self._levels_of(e)}
        roles = {pathless(arn): _role_name(arn) for entry in entries if (arn := self._own_role(entry))}
        users = {who.user_name for entry in entries for who in self._in_force(entry)}
        each = self._directory.each
        self._members = dict(zip(groups, each(self._members_of, groups.values()), strict=True))
        self._roles = dict(zip(roles, each(self._role, roles.values()), strict=True))
        self._users = dict(zip(users, each(self._user, users), strict=True))

    def _of(self, entry: MappingEntry) -> Iterator[Candidate]:
        principal = entry.principal
        if entry.sso is not None or principal.startswith("permission set"):
            yield self._unnamed(entry, entry.name, "assignments in IAM Identity Center")
        elif is_account_id(principal):
            yield self._unnamed(entry, f"users and roles of account {principal}", "mapAccounts", principal)
        elif user := user_name(principal):
            yield self._user_entry(entry, user)
        elif entry.iam_group:
            yield from self._of_group(entry)
            if self._any_server and entry.role_arn:
                yield from self._of_trust(entry, entry.role_arn, IGNORING)
        elif (role := entry.role_arn or principal) and ":role/" in role.lower():
            yield from self._of_role(entry, role)
        else:
            yield self._unnamed(entry, entry.name, entry.where or "the mapping")

    def _of_group(self, entry: MappingEntry) -> Iterator[Candidate]:
        """Yield the members of the entry's IAM group, and users with temporary access who are no members."""
        members = self._members.get(entry.iam_group.casefold(), ())
        for user in members:
            yield self._person(entry, user, f"IAM group {entry.iam_group}")
        known = {user.name.casefold() for user in members}
        for who in self._in_force(entry):
            holder = self._users.get(who.user_name)
            if holder is not None and holder.unique_id == who.user_id and holder.name.casefold() not in known:
                yield self._person(entry, holder, f"temporary access until {who.until}")

    def _of_role(self, entry: MappingEntry, role: str) -> Iterator[Candidate]:
        """Yield the members of the level whose group allows to assume the role, and the principals of the trust policy."""
        if parse_sso_role(pathless(role)) is not None:
            yield self._unnamed(entry, f"sessions of {role}", "assignments in IAM Identity Center")
            return
        for level in self._levels_of(entry):
            for user in self._members.get(level.group_name.casefold(), ()):
                yield self._person(entry, user, f"IAM group {level.group_name}")
        yield from self._of_trust(entry, role)

    def _of_trust(self, entry: MappingEntry, role: str, note: str = "") -> Iterator[Candidate]:
        """Yield the principals of the role's trust policy. `note` is added to the way by which they are admitted."""
        if not self._own_role(entry):
            self.unread.append(f"role {role} is of another AWS account: who may assume it is not known")
            yield self._unnamed(entry, f"sessions of {role}", f"its trust policy, which was not read{note}")
            return
        state = self._roles.get(pathless(role))
        if state is None:
            return  # it does not exist, or it is in `unread`
        try:
            principals = trusted_principals(state.trust)
        except ValueError as problem:
            self.unread.append(f"role {state.name}: {problem}")
            return
        for each in principals:
            condition = ", under conditions" if each.conditional else ""
            yield self._unnamed(entry, str(each), f"trust policy of role {state.name}{condition}{note}")

    def _user_entry(self, entry: MappingEntry, user: str) -> Candidate:
        arn = parse_arn(entry.principal)
        account = arn.account if arn is not None else ""
        values = {"AccountID": account, "SessionName": "", "SessionNameRaw": ""}
        identity = Identity(entry.principal, entry.principal, account, "", "", "", "")
        return Candidate(entry.principal, entry, entry.where or "the mapping", "", user, values, identity)

    def _person(self, entry: MappingEntry, user: User, through: str) -> Candidate:
        account = self._access.account
        if not entry.role_arn:
            values = {"AccountID": account, "UserName": user.name}
            identity = Identity(user.arn, user.arn, account, user.unique_id, "", "", "")
            return Candidate(user.arn, entry, through, self._level(entry), user.name, values, identity)
        values = {"AccountID": account, "SessionName": user.name.replace("@", "-"), "SessionNameRaw": user.name}
        role = _role_name(entry.role_arn)
        arn = f"arn:{self._access.partition}:sts::{account}:assumed-role/{role}/{user.name}"
        identity = Identity(arn, entry.role_arn, account, "", user.name, "", "")
        return Candidate(user.arn, entry, through, self._level(entry), user.name, values, identity)

    def _unnamed(self, entry: MappingEntry, principal: str, through: str, account: str = "") -> Candidate:
        arn = parse_arn(entry.role_arn or entry.principal)
        account = account or (entry.sso.account_id if entry.sso else arn.account if arn else "")
        values = {"AccountID": account} if account else {}
        return Candidate(principal, entry, through, self._level(entry), values=values)

    def _level(self, entry: MappingEntry) -> str:
        """Return the level that the entry names, or that of the file whose entry it is."""
        mine = (level.name for level in self._access.levels if desired_entry(self._access, level).key == entry.key)
        return entry.level or next(mine, "")

    def _levels_of(self, entry: MappingEntry) -> list[Level]:
        """Return the level of the file that the entry is of, where AWS alone asks for the group."""
        by_role = (level for level in self._access.levels if level.method is Method.ROLE and not entry.iam_group)
        return [level for level in by_role if desired_entry(self._access, level).key == entry.key]

    def _own_role(self, entry: MappingEntry) -> str:
        """Return the ARN of the entry's role if its trust policy tells who may sign in and is in this account, else an empty text."""
        return self._own_arn(entry) if self._any_server or not entry.iam_group else ""

    def _own_arn(self, entry: MappingEntry) -> str:
        """Return the ARN of the entry's role if it is in this account, else an empty text."""
        role = entry.role_arn or entry.principal
        arn = parse_arn(role)
        is_own = arn is not None and (arn.partition, arn.account) == (self._access.partition, self._access.account)
        return role if is_own and entry.sso is None and ":role/" in role else ""

    def _in_force(self, entry: MappingEntry) -> list[TemporaryGrant]:
        return [who for who in entry.temporary if who.ends > self._now and entry.iam_group]

    def _members_of(self, group: str) -> tuple[User, ...]:
        return self._ask("members of IAM group", group, self._directory.members) or ()

    def _role(self, name: str) -> RoleState | None:
        return self._ask("role", name, self._directory.role)

    def _user(self, name: str) -> User | None:
        return self._ask("IAM user", name, self._directory.user)

    def _ask(self, what: str, name: str, read: Callable[[str], Read]) -> Read | None:
        found = None
        try:
            found = read(name)
        except NotFound:
            pass
        except KubeIamError as error:
            self.unread.append(f"{what} {name}: {error}")
            return None
        if found is None:
            self.absent.add((what, name))
        return found


def who_can(grants: Iterable[Grant], candidates: Iterable[Candidate], reserved: tuple[str, ...] = ()) -> WhoCan:
    """Return who may by these grants. `reserved` are prefixes of user names that the server refuses."""
    grants = tuple(grants)
    answers = [answer for each in candidates for answer in _answers(each, grants, reserved)]
    answered = {grant.subject for answer in answers for grant in answer.grants}
    subjects = dict.fromkeys(grant.subject for grant in grants)
    accounts = tuple(each for each in subjects if _is_service_account(each))
    others = tuple(each for each in subjects if each not in answered and each not in accounts)
    return WhoCan(tuple(answers), others, accounts)


def _answers(candidate: Candidate, grants: tuple[Grant, ...], reserved: tuple[str, ...]) -> Iterator[Answer]:
    """Yield the answer for the candidate, and one for each user name that a candidate without a known user name may have."""
    names = CandidateNames.of(candidate)
    if names is None or names.is_reserved(reserved):
        return
    mine = tuple(grant for grant in grants if names.gives(grant.subject))
    if mine:
        yield Answer(candidate, mine)
    if not names.exact:
        named = [grant for grant in grants if grant.subject.kind == USER and names.user.fullmatch(grant.subject.name)]
        for name in dict.fromkeys(grant.subject.name for grant in named):
            yield Answer(candidate, tuple(grant for grant in named if grant.subject.name == name), name)


@dataclass(frozen=True, slots=True)
class CandidateNames:
    """The user name and groups of a candidate as patterns. `exact` is the user name, empty if it is not known before the sign-in.

    `known_groups` are the groups whose names are known before the sign-in. `start` is what every possible user name begins with.
    """

    user: re.Pattern[str]
    groups: tuple[re.Pattern[str], ...]
    exact: str
    known_groups: tuple[str, ...] = ()
    start: str = ""

    @classmethod
    def of(cls, candidate: Candidate) -> CandidateNames | None:
        """Return the names, None where the server would refuse the sign-in because of them."""
        entry = candidate.entry
        if is_account_id(entry.principal):
            return cls(re.compile(rf"arn:[a-z-]+:(?:iam|sts)::{entry.principal}:.+", re.ASCII), (), "")
        variables = GROUP_VARIABLES if is_group_entry(entry) else VARIABLES
        try:
            user, *groups = (parse_template(text, variables) for text in (entry.username, *entry.groups))
        except ValueError:
            return None
        exact = _rendered(user, candidate.values)
        known = [_rendered(each, candidate.values) for each in groups]
        templates = zip((user, *groups), (exact, *known), strict=True)
        if any(name.startswith("system:") and not each.parts[0].startswith("system:") for each, name in templates):
            return None
        patterns = tuple(_pattern(each, candidate.values) for each in groups)
        return cls(
            _pattern(user, candidate.values), patterns, exact, tuple(filter(None, known)), exact or user.parts[0]
        )

    def is_reserved(self, prefixes: Iterable[str]) -> bool:
        """Return whether the server refuses the user name because of one of these prefixes."""
        return bool(prefix_of(self.start, prefixes))

    def gives(self, subject: RbacSubject) -> bool:
        """Return whether the candidate is the subject, for certain or by a group that it may have."""
        if subject.kind == GROUP:
            return subject.name == AUTHENTICATED or any(each.fullmatch(subject.name) for each in self.groups)
        return subject.kind == USER and bool(self.exact) and subject.name == self.exact


def _rendered(template: Template, values: Mapping[str, str]) -> str:
    """Return the name, empty if a variable is not known."""
    parts = [part if at % 2 == 0 else values.get(part) for at, part in enumerate(template.parts)]
    return "" if None in parts else "".join(str(part) for part in parts)


def _pattern(template: Template, values: Mapping[str, str]) -> re.Pattern[str]:
    """Return the pattern of the names that the template can give."""
    parts = [part if at % 2 == 0 else values.get(part) for at, part in enumerate(template.parts)]
    return re.compile("".join(_ANY_VALUE if part is None else re.escape(part) for part in parts), re.ASCII)


def _joined_groups(found: list[Candidate]) -> Iterator[Candidate]:
    """Yield the candidates, with the entries of whole IAM groups as the server joins them.

    A user in several of them has the user name of the first and the groups of all; a user with an entry of mapUsers has that alone.
    """
    users = {candidate.principal.lower() for candidate in found if candidate.entry.principal}
    names: dict[str, str] = {}
    for each in found:
        if not is_group_entry(each.entry):
            yield each
        elif each.principal.lower() not in users:
            username = names.setdefault(each.principal, each.entry.username)
            yield replace(each, entry=replace(each.entry, username=username))


def in_server_order(entries: Iterable[MappingEntry]) -> list[MappingEntry]:
    """Return the entries in the order in which the server tries them."""
    return sorted(entries, key=_place)


def match_key(entry: MappingEntry) -> str:
    """Return what the server compares: of entries with one key, roles and users together, the first counts."""
    return pathless(entry.principal) if entry.principal else entry.key


def is_group_entry(entry: MappingEntry) -> bool:
    """Return whether the entry is of mapGroups, whose entries add up: none of them hides another."""
    return not (entry.role_arn or entry.sso or entry.principal)


def _place(entry: MappingEntry) -> tuple[int, int]:
    """Return a sort key: the order in which the server tries entries. Objects and accounts keep theirs."""
    found = _PLACE.search(entry.where)
    if found is None or found[1] not in _LISTS:
        return (len(_LISTS), 0) if is_account_id(entry.principal) else (0, 0)
    return (_LISTS.index(found[1]), int(found[2]))


def _is_service_account(subject: RbacSubject) -> bool:
    if subject.kind == SERVICE_ACCOUNT:
        return True
    return subject.name.startswith("system:serviceaccount" + ("s" if subject.kind == GROUP else ":"))


def _role_name(arn: str) -> str:
    return arn.rpartition("/")[2]
