"""Findings of an access report: what in the mapping, the roles and RBAC an auditor should look at. Pure.

Every check names the sources that it rests on. A check whose source was not read has found nothing and says so: it is not passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from shlex import quote

from kube_iam.access.audit_checks import Check, CheckResult, CheckState, Finding, Severity, Source
from kube_iam.access.desired import desired_entry
from kube_iam.access.levels import ClusterAccess, Level, TargetKind
from kube_iam.access.mapping import MappingEntry, UnusedEntry, given, pathless
from kube_iam.access.members import LevelMembers
from kube_iam.access.permissions import Permission, PermissionIndex, Privilege
from kube_iam.access.ports import Holder, RoleState
from kube_iam.access.who_can import Candidate, CandidateNames, in_server_order, is_group_entry, match_key
from kube_iam.core.arns import canonical_arn, is_account_id, parse_sso_role, user_name
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.rbac import AUTHENTICATED, GROUP, MASTERS, RbacSubject
from kube_iam.core.templates import prefix_of
from kube_iam.core.trust_policy import deleted_principals, unrestricted_session_name
from kube_iam.core.trust_principals import TrustedPrincipal, trusted_principals

UNAUTHENTICATED = "system:unauthenticated"
_EVERYBODY = {
    AUTHENTICATED: "everybody who signs in, service accounts too",
    UNAUTHENTICATED: "anybody, without signing in",
}
_OF_NODES = ("system:nodes", "system:bootstrappers", "system:node-proxier", "eks:")
_MOST_NAMED = 6
_SESSION = ("{{SessionName}}", "{{SessionNameRaw}}")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that findings rest on. `unread` has, by source, what could not be read, as sentences; `absent_sources` were not read at all.

    `entries` are all entries of the mapping. `unused` are those that the server can use for nobody, and `problems` are its reports by
    `where`. `roles` are the mapped roles of this account by comparable ARN. `absent` is
    `PeopleReader.absent`. `holders` are others that have a level's policy, by level name. `now` is Unix seconds.
    """

    access: ClusterAccess
    now: float
    entries: tuple[MappingEntry, ...] = ()
    unused: tuple[UnusedEntry, ...] = ()
    problems: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    reserved_prefixes: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    roles: Mapping[str, RoleState] = field(default_factory=dict)
    absent: frozenset[tuple[str, str]] = frozenset()
    permissions: PermissionIndex | None = None
    members: tuple[LevelMembers, ...] = ()
    holders: Mapping[str, tuple[Holder, ...]] = field(default_factory=dict)
    unread: Mapping[Source, tuple[str, ...]] = field(default_factory=dict)
    absent_sources: frozenset[Source] = frozenset()


def audit(evidence: Evidence) -> tuple[CheckResult, ...]:
    """Return the result of each check, with its findings by severity."""
    found: dict[Check, list[Finding]] = {}
    for finding in (each for part in _PARTS for each in part(evidence)):
        found.setdefault(finding.check, []).append(finding)
    order = list(Severity)
    return tuple(
        CheckResult(
            check,
            _state(check, evidence),
            tuple(sorted(found.get(check, ()), key=lambda each: order.index(each.severity))),
            tuple(each for each in check.value.sources if evidence.unread.get(each)),
        )
        for check in Check
    )


def _state(check: Check, evidence: Evidence) -> CheckState:
    if evidence.absent_sources & set(check.value.sources):
        return CheckState.NOT_CHECKED
    complete = not any(evidence.unread.get(source) for source in check.value.sources)
    return CheckState.COMPLETE if complete else CheckState.INCOMPLETE


def named(names: Iterable[str]) -> str:
    """Return the names in one line: the first few of many, and the number of the others."""
    every = list(dict.fromkeys(names))
    more = len(every) - _MOST_NAMED
    return ", ".join(every[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _faults(evidence: Evidence) -> Iterator[Finding]:
    target = evidence.access.mapping.describe()
    for fault in evidence.faults:
        yield Finding(Check.MAPPING_NOT_LOADED, Severity.CRITICAL, target, fault, f"correct it: {_edit(evidence)}")


_OF_PRIVILEGE: Mapping[Privilege, tuple[Check, Severity, Severity]] = {
    Privilege.CLUSTER_ADMIN: (Check.CLUSTER_ADMIN, Severity.HIGH, Severity.MEDIUM),
    Privilege.WILDCARD: (Check.WILDCARD, Severity.HIGH, Severity.MEDIUM),
    Privilege.ESCALATION: (Check.ESCALATION, Severity.HIGH, Severity.MEDIUM),
    Privilege.SECRETS: (Check.SECRETS, Severity.MEDIUM, Severity.LOW),
}
"""The check of a privilege, and its severity in the whole cluster and in one namespace."""


def _masters(evidence: Evidence) -> Iterator[Finding]:
    for entry in _effective(evidence):
        if MASTERS in entry.groups:
            people = _people(
                each for each in evidence.candidates if each.entry.where == entry.where and each.entry.key == entry.key
            )
            level = _level_of(evidence.access, entry)
            edit = (
                f"change groups of level {level.name} in {evidence.access.source}"
                if level
                else f"change groups of {_name(entry)}"
            )
            yield Finding(
                Check.MASTERS,
                Severity.CRITICAL,
                _name(entry),
                f"gives group {MASTERS} to {people or 'nobody at the moment'}",
                f"{edit} to a group of your own, bind that group to cluster-admin"
                + (", and run `kube-iam apply`" if level else f": {_edit(evidence)}"),
            )


def _privileges(evidence: Evidence) -> Iterator[Finding]:
    index = evidence.permissions
    if index is None:
        return
    holders = _holders_of_subjects(evidence, index)
    for subject in index.subjects:
        everybody = _EVERYBODY.get(subject.name, "") if subject.kind == GROUP else ""
        people = everybody or _people(holders.get(subject, ()))
        if not people:
            continue
        for privilege, (check, cluster, namespace) in _OF_PRIVILEGE.items():
            having = [each for each in index.of_subject(subject) if privilege in each.privileges]
            if having:
                wide = any(not each.binding.namespace for each in having)
                severity = Severity.CRITICAL if everybody and wide else cluster if wide else namespace
                yield Finding(
                    check,
                    severity,
                    f"Kubernetes {subject.kind.lower()} {subject.name}",
                    _by(having, people),
                    _unbind(evidence, subject, having),
                )


def _holders_of_subjects(evidence: Evidence, index: PermissionIndex) -> dict[RbacSubject, list[Candidate]]:
    found: dict[RbacSubject, list[Candidate]] = {}
    for candidate in evidence.candidates:
        names = CandidateNames.of(candidate)
        if names is not None and not names.is_reserved(evidence.reserved_prefixes):
            for subject in index.subjects_of(names):
                found.setdefault(subject, []).append(candidate)
    return found


def _by(having: list[Permission], people: str) -> str:
    ways = named(f"{each.binding} to {each.binding.role} ({each.place})" for each in having)
    return f"{ways}; held by {people}"


def _unbind(evidence: Evidence, subject: RbacSubject, having: list[Permission]) -> str:
    binding = having[0].binding
    levels = [level for level in evidence.access.levels if subject.kind == GROUP and subject.name in level.groups]
    bound = [
        level
        for level in levels
        if any(having[0].binding.role.name in (each.cluster_role, each.role) for each in level.bind)
    ]
    if bound:
        return f"if it should have less: change bind of level {bound[0].name} in {evidence.access.source}, and run `kube-iam apply`"
    kind, _, name = str(binding).partition(" ")
    place = f" -n {quote(binding.namespace)}" if binding.namespace else ""
    return f"if this is not intended, remove the subject: `kubectl edit {kind.lower()} {quote(name.rpartition('/')[2])}{place}`"


def _roles(evidence: Evidence) -> Iterator[Finding]:
    for entry in _effective(evidence):
        role = evidence.roles.get(pathless(entry.role_arn or entry.principal))
        if role is None or parse_sso_role(pathless(role.arn)) is not None:
            continue
        yield from _trust(evidence, entry, role)
        yield from _session_name(evidence, entry, role)


def _trust(evidence: Evidence, entry: MappingEntry, role: RoleState) -> Iterator[Finding]:
    access, level = evidence.access, _level_of(evidence.access, entry)
    group = entry.iam_group or (level.group_name if level is not None else "")
    item, remedy = f"role {role.name}", _mend_trust(role, level)
    gone = deleted_principals(role.trust)
    if gone:
        yield Finding(Check.TRUST_OF_DELETED, Severity.LOW, item, f"trusts {named(gone)}", remedy)
    try:
        principals = trusted_principals(role.trust)
    except ValueError as problem:
        detail = f"{problem}: who may assume it is not known"
        yield Finding(Check.ROLE_OPEN_TO_MORE, Severity.MEDIUM, item, detail, remedy)
        return
    anybody = [each for each in principals if each.kind == "*"]
    if anybody:
        detail = "anybody in AWS may assume it" + (", under conditions" if anybody[0].conditional else "")
        severity = Severity.HIGH if anybody[0].conditional else Severity.CRITICAL
        yield Finding(Check.ROLE_OPEN_TO_ANYBODY, severity, item, detail, remedy)
    others = [each for each in principals if each.kind != "*"]
    if group:
        # The account as a whole is how a level's trust policy says it: IAM policies decide, and the group has one.
        restricted = not unrestricted_session_name(role.trust, role.arn)
        others = [each for each in others if not (restricted and each.whole_account == access.account)]
    elif _is_of_nodes(entry):
        return
    if others:
        check = Check.ROLE_OPEN_TO_MORE if group else Check.ROLE_WITHOUT_GROUP
        outside = any(each.account != access.account for each in others)
        beside = f"beside IAM group {group}: " if group else "may be assumed by "
        checked = "; the server still asks for membership at each sign-in" if entry.iam_group else ""
        way = remedy if group else f"manage it as a level: {_as_level(access)}"
        yield Finding(
            check,
            Severity.HIGH if outside else Severity.MEDIUM,
            item,
            f"{beside}{named(map(_principal, others))}{checked}",
            way,
        )


def _principal(principal: TrustedPrincipal) -> str:
    return f"{principal}{' (under conditions)' if principal.conditional else ''}"


def _session_name(evidence: Evidence, entry: MappingEntry, role: RoleState) -> Iterator[Finding]:
    uses = any(variable in text for text in (entry.username, *entry.groups) for variable in _SESSION)
    problem = unrestricted_session_name(role.trust, role.arn) if uses or entry.iam_group else ""
    if problem:
        level = _level_of(evidence.access, entry)
        refused = (
            "; kube-iam's server refuses the sessions of this role meanwhile, other authenticators do not"
            if entry.iam_group
            else ""
        )
        severity = Severity.MEDIUM if entry.iam_group else Severity.HIGH
        yield Finding(
            Check.SESSION_NAME_UNRESTRICTED,
            severity,
            f"role {role.name}",
            f"{problem}{refused}",
            _mend_trust(role, level),
        )


def _mend_trust(role: RoleState, level: Level | None) -> str:
    if level is not None and not level.existing_role and not level.mapped_role:
        return "`kube-iam apply` restores the trust policy of the level"
    return (
        f"correct the trust policy: `aws iam get-role --role-name {quote(role.name)}` shows it, "
        f"`aws iam update-assume-role-policy --role-name {quote(role.name)} --policy-document file://trust.json` replaces it"
    )


def _holders(evidence: Evidence) -> Iterator[Finding]:
    for level in evidence.access.iam_levels:
        for holder in evidence.holders.get(level.name, ()):
            detach = f"`aws iam detach-{holder.kind}-policy --{holder.kind}-name {quote(holder.name)} --policy-arn ARN`"
            yield Finding(
                Check.LEVEL_POLICY_ELSEWHERE,
                Severity.MEDIUM,
                f"policy {level.policy_name} of level {level.name}",
                f"{holder} has it too",
                f"if {holder} should not assume the role, detach it: {detach}",
            )


def _users_and_accounts(evidence: Evidence) -> Iterator[Finding]:
    for entry in _effective(evidence):
        user = user_name(entry.principal)
        if is_account_id(entry.principal):
            yield Finding(
                Check.ACCOUNT_ENTRY,
                Severity.HIGH,
                f"account {entry.principal}",
                "every IAM user and role of the account signs in, under its ARN and without groups",
                f"map roles instead, and remove the account from mapAccounts: {_edit(evidence)}",
            )
        elif user and ("IAM user", user) not in evidence.absent:
            yield Finding(
                Check.USER_ENTRY,
                Severity.HIGH if MASTERS in entry.groups else Severity.MEDIUM,
                _name(entry),
                f"IAM user {entry.principal} signs in with {given(entry)}",
                f"`kube-iam grant {quote(user)} LEVEL`, then remove the entry: {_edit(evidence, entry)}",
            )


def _temporary(evidence: Evidence) -> Iterator[Finding]:
    for entry in evidence.entries:
        for grant in entry.temporary:
            if grant.ends <= evidence.now:
                level = entry.level or "of no level"
                yield Finding(
                    Check.TEMPORARY_OVER,
                    Severity.LOW,
                    f"user {grant.user_name}, level {level}",
                    f"ended at {grant.until}" + (f" ({grant.reason})" if grant.reason else ""),
                    f"`kube-iam apply` removes it, and so does `kube-iam revoke {quote(grant.user_name)} {quote(level)}`"
                    if entry.level
                    else f"remove it from {_name(entry)}: {_edit(evidence, entry)}",
                )
    for each in evidence.members:
        for grant, why in each.void:
            yield Finding(
                Check.TEMPORARY_VOID,
                Severity.MEDIUM,
                f"user {grant.user_name}, level {each.level}",
                f"until {grant.until}: {why}",
                f"`kube-iam revoke {quote(grant.user_name)} {quote(each.level)}`",
            )


def _dead_entries(evidence: Evidence) -> Iterator[Finding]:
    for entry in _effective(evidence):
        why, severity = _never_matches(evidence, entry)
        if why:
            remedy = f"if it is no longer needed, remove it: {_edit(evidence, entry)}"
            yield Finding(Check.ENTRY_NEVER_MATCHES, severity, _name(entry), why, remedy)
        refused = _refused_names(evidence, entry)
        if refused:
            remedy = f"correct username and groups: {_edit(evidence, entry)}"
            yield Finding(Check.ENTRY_NAMES_REFUSED, Severity.MEDIUM, _name(entry), refused, remedy)


def _unused(evidence: Evidence) -> Iterator[Finding]:
    """Yield entries that the server leaves out when it loads the mapping."""
    known = {entry.where for entry in evidence.entries}
    for entry in evidence.unused:
        if entry.where not in known:
            why = "; ".join(evidence.problems.get(entry.where, ())) or "the server cannot use it"
            name = f"{entry.where} ({entry.principal})" if entry.principal else entry.where
            yield Finding(
                Check.ENTRY_NEVER_MATCHES, Severity.LOW, name, why, f"correct or remove it: {_edit(evidence)}"
            )


def _never_matches(evidence: Evidence, entry: MappingEntry) -> tuple[str, Severity]:
    """Return why the entry admits nobody, empty where it may admit somebody."""
    arn = entry.role_arn or entry.principal
    if arn and entry.sso is None and not is_account_id(arn) and not arn.startswith("permission set"):
        try:
            canonical_arn(ascii_lower(arn.strip()))
        except ValueError as problem:
            return str(problem), Severity.LOW
    gone = {
        ("role", arn.rpartition("/")[2]): f"there is no role {arn}",
        ("IAM user", user_name(entry.principal)): f"there is no IAM user {entry.principal}",
        ("members of IAM group", entry.iam_group): f"there is no IAM group {entry.iam_group}",
    }
    is_here = f":{evidence.access.account}:" in arn or not arn
    why = next(
        (
            text
            for key, text in gone.items()
            if key[1] and key in evidence.absent and (is_here or key[1] == entry.iam_group)
        ),
        "",
    )
    return why, Severity.MEDIUM


def _refused_names(evidence: Evidence, entry: MappingEntry) -> str:
    if is_account_id(entry.principal):
        return ""
    names = CandidateNames.of(
        Candidate(entry.principal, entry, "", values=dict.fromkeys(("SessionName", "SessionNameRaw", "UserName"), ""))
    )
    if names is None:
        return f"its {given(entry)} cannot be used"
    prefix = prefix_of(entry.username, evidence.reserved_prefixes)
    return f"user names may not begin with {prefix} here (reservedPrefixConfig)" if prefix else ""


def _repeated(evidence: Evidence) -> Iterator[Finding]:
    for entry, first in _hidden(evidence):
        same = (entry.username, entry.groups, entry.iam_group) == (first.username, first.groups, first.iam_group)
        check, severity = (Check.ENTRY_DUPLICATE, Severity.LOW) if same else (Check.ENTRY_SHADOWED, Severity.MEDIUM)
        gives = "" if same else f", which gives {given(first)}; this one would give {given(entry)}"
        yield Finding(
            check,
            severity,
            _name(entry),
            f"{'repeats' if same else 'is hidden by'} {first.where or first.name}{gives}",
            f"remove it: {_edit(evidence, entry)}",
        )


def _hidden(evidence: Evidence) -> Iterator[tuple[MappingEntry, MappingEntry]]:
    """Yield each entry that an earlier one hides or repeats, with the earlier one. Entries of mapGroups only repeat."""
    first: dict[tuple[object, ...], MappingEntry] = {}
    sets: list[MappingEntry] = []
    for entry in in_server_order(evidence.entries):
        is_group = is_group_entry(entry)
        key: tuple[object, ...] = (
            ("group", entry.key, entry.username, entry.groups) if is_group else (match_key(entry),)
        )
        earlier = first.setdefault(key, entry)
        if earlier is entry and not is_group:
            covers = (
                each
                for each in sets
                if (entry.sso and each.matches_permission_set(entry.sso)) or each.matches_role(entry.role_arn)
            )
            earlier = next(covers, entry)
        if earlier is not entry:
            yield entry, earlier
        elif entry.sso is not None:
            sets.append(entry)


def _effective(evidence: Evidence) -> list[MappingEntry]:
    """Return the entries without those that an earlier one hides, in the server's order."""
    hidden = {id(entry) for entry, _ in _hidden(evidence)}
    return [entry for entry in in_server_order(evidence.entries) if id(entry) not in hidden]


_PARTS: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    _faults,
    _masters,
    _privileges,
    _roles,
    _holders,
    _users_and_accounts,
    _temporary,
    _dead_entries,
    _unused,
    _repeated,
)


def _level_of(access: ClusterAccess, entry: MappingEntry) -> Level | None:
    """Return the level of the file whose entry it is."""
    return next((level for level in access.levels if desired_entry(access, level).key == entry.key), None)


def _is_of_nodes(entry: MappingEntry) -> bool:
    return bool(entry.groups) and all(group.startswith(_OF_NODES) for group in entry.groups)


def _people(candidates: Iterable[Candidate]) -> str:
    """Return the names of people and principals, empty without any."""
    return named(each.person or each.principal for each in candidates)


def _name(entry: MappingEntry) -> str:
    return f"{entry.where} ({entry.name})" if entry.where and entry.where not in entry.name else entry.name


def _edit(evidence: Evidence, entry: MappingEntry | None = None) -> str:
    """Return the command that edits the mapping, or deletes the entry's object."""
    target = evidence.access.mapping
    if target.kind is TargetKind.FILE:
        return f"edit {target.path}"
    if target.kind is TargetKind.ACCESS_ENTRIES:
        of = f" --principal-arn {quote(entry.role_arn or entry.principal)}" if entry is not None else ""
        return f"`aws eks {'delete-access-entry' if of else 'list-access-entries'} --cluster-name {quote(target.name)}{of}`"
    if target.kind is TargetKind.CRD:
        name = entry.where.partition(" ")[2] if entry is not None else ""
        return f"`kubectl delete iamidentitymapping {quote(name)}`" if name else "`kubectl get iamidentitymappings`"
    return f"`kubectl -n {quote(target.namespace)} edit configmap {quote(target.name)}`"


def _as_level(access: ClusterAccess) -> str:
    return f"add a level with `iam.role` and a group to {access.source}, and run `kube-iam apply`"
