"""The access report: people, levels, temporary access, denials, drift and findings of one cluster, read once and put together.

What cannot be read stops nothing: it is named with its source, and no check that rests on it counts as complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from kube_iam.access.audit_checks import CheckResult, CheckState, Finding, Severity, Source
from kube_iam.access.audit_findings import Evidence, audit
from kube_iam.access.changes import Plan
from kube_iam.access.desired import policy_arn
from kube_iam.access.drift import Difference, differences
from kube_iam.access.inventory import Inventory
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import ClusterAccess, Level, TargetKind
from kube_iam.access.mapping import MappingEntry, MappingStore, ServerMapping
from kube_iam.access.members import LevelMembers, who
from kube_iam.access.permissions import Permission, PermissionIndex, Privilege
from kube_iam.access.ports import Directory, Holder
from kube_iam.access.temporary import temporary_in_force
from kube_iam.access.who_can import Candidate, CandidateNames, PeopleReader
from kube_iam.core.arns import user_name
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.rbac import MASTERS, Rbac
from kube_iam.denylist.denial import Denial, DenialTable
from kube_iam.errors import KubeIamError
from kube_iam.report.who_can_text import IGNORE_GROUP, LIMITS

Read = TypeVar("Read")

EVERYTHING = "everything, as a member of system:masters"


@dataclass(frozen=True, slots=True)
class AccessRow:
    """One way by which somebody has access. `username` and `groups` are templates where they are not known before the sign-in.

    `permissions` is None where RBAC was not read.
    """

    candidate: Candidate
    username: str
    groups: tuple[str, ...]
    permissions: tuple[Permission, ...] | None
    denial: Denial | None = None

    @property
    def who(self) -> str:
        """Return the name of the IAM user, or what else the entry admits."""
        return self.candidate.person or self.candidate.principal

    @property
    def role(self) -> str:
        """Return the ARN of the AWS role or the permission set by which they sign in, empty for people with keys of their own."""
        entry = self.candidate.entry
        return (
            entry.sso.describe()
            if entry.sso is not None
            else entry.role_arn or (entry.principal if ":role/" in entry.principal else "")
        )

    @property
    def is_master(self) -> bool:
        """Return whether kube-apiserver allows them everything, without RBAC."""
        return MASTERS in self.groups

    @property
    def privileges(self) -> tuple[Privilege, ...]:
        """Return their privileges, the strongest first."""
        found = {each for one in self.permissions or () for each in one.privileges}
        found |= {Privilege.MASTERS} if self.is_master else set()
        return tuple(each for each in Privilege if each in found)

    @property
    def permission_texts(self) -> tuple[str, ...]:
        """Return the permissions as texts, each once."""
        texts = [EVERYTHING] if self.is_master else []
        return tuple(dict.fromkeys((*texts, *map(str, self.permissions or ()))))


@dataclass(frozen=True, slots=True)
class LevelRow:
    """A level of the file with its members. `members` is None if they were not read."""

    level: Level
    members: LevelMembers | None


@dataclass(frozen=True, slots=True)
class TemporaryRow:
    """One grant of temporary access. `state` is `in force`, `over, not removed`, or why it admits nobody."""

    level: str
    grant: TemporaryGrant
    state: str


@dataclass(frozen=True, slots=True)
class AccessReport:
    """Everything that is printed. Parts that were not read are None; `unread` names them, by source."""

    access: ClusterAccess
    now: float
    rows: tuple[AccessRow, ...] | None
    levels: tuple[LevelRow, ...]
    temporary: tuple[TemporaryRow, ...] | None
    denials: tuple[Denial, ...] | None
    plan: Plan | None
    drift: tuple[Difference, ...] | None
    checks: tuple[CheckResult, ...]
    unread: Mapping[Source, tuple[str, ...]] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return the findings of all checks."""
        return tuple(finding for check in self.checks for finding in check.findings)

    @property
    def is_complete(self) -> bool:
        """Return whether everything that the report rests on was read."""
        return not any(self.unread.values())

    @property
    def not_seen(self) -> tuple[str, ...]:
        """Return what the report does not cover."""
        limits = [each for each in LIMITS if each != IGNORE_GROUP or not _covers_any_server(self.access)]
        return (*limits, "when somebody last signed in, and what they did: kube-apiserver's audit log has that")

    def by_severity(self) -> dict[Severity, tuple[CheckResult, ...]]:
        """Return the checks with findings of each severity, with those findings alone."""
        found: dict[Severity, tuple[CheckResult, ...]] = {}
        for severity in Severity:
            checks = (
                CheckResult(each.check, each.state, mine, each.missing)
                for each in self.checks
                if (mine := tuple(one for one in each.findings if one.severity is severity))
            )
            found[severity] = tuple(checks)
        return found

    def not_checked(self) -> tuple[CheckResult, ...]:
        """Return the checks that did not see everything that they rest on."""
        return tuple(each for each in self.checks if each.state is not CheckState.COMPLETE)


@dataclass(frozen=True, slots=True)
class Sources:
    """The connections of a report. Each function may raise KubeIamError: that part is then named as not read."""

    directory: Directory
    store: Callable[[], MappingStore]
    rbac: Callable[[], Rbac]
    plan: Callable[[], Plan]
    denials: Callable[[], Iterable[Denial]]


class ReportReader:
    """Reads one report. `unread` says, by source, what could not be read."""

    def __init__(self, access: ClusterAccess, sources: Sources, now: float) -> None:
        """`now` is Unix seconds."""
        self._access = access
        self._sources = sources
        self._now = now
        self._unread: dict[Source, list[str]] = {}
        self._absent: set[Source] = set()

    def read(self) -> AccessReport:
        """Return the report. Raises nothing but for a caller of another AWS account, which `check_caller` refuses before."""
        access, now = self._access, self._now
        store = self._ask(Source.MAPPING, self._sources.store)
        mapping = self._ask(Source.MAPPING, partial(_read_mapping, store)) if store is not None else None
        listed, others, server = mapping or (None, (), ServerMapping(""))
        entries = None if listed is None else (*listed, *others)
        people = PeopleReader(access, self._sources.directory, now, any_server=_covers_any_server(access))
        candidates = people.candidates(entries or ())
        roles = people.role_states(entries or ())
        people.check_users(self._users_of(entries or ()))
        self._add(Source.IAM, people.unread)
        # Users in mapUsers who do not exist are findings, and nobody who has access.
        gone = {name for kind, name in people.absent if kind == "IAM user"}
        candidates = tuple(each for each in candidates if each.person not in gone or not each.entry.principal)
        permissions = self._permissions()
        reserved = store.reserved_prefixes() if store is not None and entries is not None else ()
        denials = self._denials()
        reader = LevelReader(access, self._sources.directory, Inventory(entries=listed))
        levels = self._levels(reader, listed)
        plan = self._ask(Source.DRIFT, self._sources.plan)
        evidence = Evidence(
            access=access,
            now=now,
            entries=entries or (),
            unused=server.unused,
            problems=server.problems,
            faults=store.faults() if store is not None and entries is not None else (),
            reserved_prefixes=reserved,
            candidates=candidates,
            roles=roles,
            absent=frozenset(people.absent),
            permissions=permissions,
            members=tuple(each.members for each in levels if each.members is not None),
            holders=self._holders(reader, levels),
            unread={source: tuple(texts) for source, texts in self._unread.items()},
            absent_sources=frozenset(self._absent),
        )
        return AccessReport(
            access,
            now,
            rows=None if entries is None else _rows(candidates, permissions, reserved, denials or (), now),
            levels=levels,
            temporary=None if entries is None else tuple(self._temporary(entries, levels)),
            denials=denials,
            plan=plan,
            drift=None if plan is None else differences(plan.changes),
            checks=audit(evidence),
            unread={source: tuple(texts) for source, texts in self._unread.items()},
        )

    def _ask(self, source: Source, read: Callable[[], Read]) -> Read | None:
        try:
            return read()
        except KubeIamError as error:
            self._add(source, ["; ".join(filter(None, (" ".join(error.lines), error.hint)))])
            self._absent.add(source)
            return None

    def _add(self, source: Source, texts: Iterable[str]) -> None:
        known = self._unread.setdefault(source, [])
        known += [text for text in dict.fromkeys(texts) if text not in known]

    def _users_of(self, entries: Iterable[MappingEntry]) -> list[str]:
        """Return the names of this account's users in entries of mapUsers."""
        account = f"::{self._access.account}:"
        return [name for entry in entries if account in entry.principal and (name := user_name(entry.principal))]

    def _permissions(self) -> PermissionIndex | None:
        rbac = self._ask(Source.RBAC, self._sources.rbac)
        if rbac is None:
            return None
        self._add(Source.RBAC, rbac.unread)
        if rbac.unread and not (rbac.roles and rbac.bindings):
            self._absent.add(Source.RBAC)
            return None
        return PermissionIndex(rbac)

    def _denials(self) -> tuple[Denial, ...] | None:
        found = self._ask(Source.DENY_LIST, lambda: tuple(self._sources.denials()))
        return None if found is None else tuple(each for each in found if each.until > self._now)

    def _levels(self, reader: LevelReader, entries: tuple[MappingEntry, ...] | None) -> tuple[LevelRow, ...]:
        """Return the levels with their members. Where one cannot be read, the others are."""
        access = self._access
        temporary = temporary_in_force(access, access.levels, entries or (), self._now)

        def members(*levels: Level) -> tuple[LevelMembers, ...]:
            return who(reader, levels, temporary, entries)

        try:
            return tuple(map(LevelRow, access.levels, members(*access.levels)))
        except KubeIamError:
            rows = []
            for level in access.levels:
                found = self._ask(Source.MEMBERS, partial(members, level))
                rows.append(LevelRow(level, found[0] if found else None))
            if any(row.members is not None for row in rows):
                self._absent.discard(Source.MEMBERS)
            return tuple(rows)

    def _holders(self, reader: LevelReader, levels: tuple[LevelRow, ...]) -> dict[str, tuple[Holder, ...]]:
        """Return others that have the policy of a level, by level. They are read only where IAM counts more than one attachment."""
        found: dict[str, tuple[Holder, ...]] = {}
        read = [row.level for row in levels if row.level.method.is_in_iam and row.members is not None]
        owners = self._ask(Source.MEMBERS, lambda: reader.owners(read)) if read else None
        if owners is None:
            return found
        for level in read:
            policy = owners.inventory.policies.get(policy_arn(self._access, level))
            if policy is not None and policy.attachments > 1:
                holders = self._ask(Source.MEMBERS, partial(self._sources.directory.holders, policy.arn))
                own = ("group", level.group_name.casefold())
                found[level.name] = tuple(each for each in holders or () if (each.kind, each.name.casefold()) != own)
        return found

    def _temporary(self, entries: tuple[MappingEntry, ...], levels: tuple[LevelRow, ...]) -> Iterable[TemporaryRow]:
        """Yield temporary access of all entries, also what is over and was not removed."""
        void = {(row.level.name, grant): why for row in levels if row.members for grant, why in row.members.void}
        for entry in entries:
            for grant in entry.temporary:
                why = void.get((entry.level, grant))
                over = "over, not removed" if grant.ends <= self._now else ""
                yield TemporaryRow(entry.level, grant, over or (f"admits nobody: {why}" if why else "in force"))


def _covers_any_server(access: ClusterAccess) -> bool:
    """Return whether servers that ignore `iamGroup` are covered: EKS's own authenticator reads aws-auth."""
    return access.mapping.kind is TargetKind.AWS_AUTH


def _read_mapping(store: MappingStore) -> tuple[tuple[MappingEntry, ...], tuple[MappingEntry, ...], ServerMapping]:
    return store.entries(), store.others(), store.server_mapping()


def _rows(
    candidates: Iterable[Candidate],
    permissions: PermissionIndex | None,
    reserved: tuple[str, ...],
    denials: Iterable[Denial],
    now: float,
) -> tuple[AccessRow, ...]:
    """Return the rows by name. Candidates whose names the server refuses have none: they are findings."""
    table, known = DenialTable(denials), {}
    rows = []
    for candidate in candidates:
        names = CandidateNames.of(candidate)
        if names is None or names.is_reserved(reserved):
            continue
        found = None
        if permissions is not None:
            subjects = permissions.subjects_of(names)
            if subjects not in known:
                every = (each for subject in subjects for each in permissions.of_subject(subject))
                known[subjects] = tuple(dict.fromkeys(every))
            found = known[subjects]
        entry = candidate.entry
        groups = names.known_groups if len(names.known_groups) == len(entry.groups) else entry.groups
        hit = (
            table.find(candidate.identity, now, (entry.iam_group,) if entry.iam_group else ())
            if candidate.identity
            else None
        )
        rows.append(AccessRow(candidate, names.exact or entry.username, groups, found, hit))
    return tuple(sorted(rows, key=lambda row: (not row.candidate.person, row.who.casefold(), row.candidate.level)))
