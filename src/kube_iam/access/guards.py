"""Guards of a plan: changes that need --force, because they take access from their caller or delete many levels at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kube_iam.access.changes import Change, Field, FormerEntry, Kind, Membership, TemporaryRemoval, Verb, binding_name
from kube_iam.access.desired import desired_entry, mapped_arn, same_document
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.mapping import MappingEntry, pathless
from kube_iam.access.observed import Observed
from kube_iam.access.ports import BindingState, Subject

MASTERS = "system:masters"
_AUTHENTICATED = "system:authenticated"  # kube-apiserver adds it to every user
_VALUE = r"[^:/\s]+"  # what a template's value can be
_PLACE = re.compile(r"\{\{(?:SessionNameRaw|UserName)\}\}")


def lockout(changes: tuple[Change, ...], observed: Observed) -> Iterator[str]:
    """Yield a sentence for all access of the caller that the plan takes away.

    That is a mapping entry, its user name, groups or IAM group; a role of that entry or of the AWS credentials, and its trust
    policy; temporary access by that entry; and roles that RBAC bindings of ours grant to the caller's groups.
    """
    used = _used_entries(observed)
    deleted = set()
    yield from _lost_former_entries(changes, observed)
    for change in changes:
        if isinstance(change.item, MappingEntry) and change.item.key in used:
            lost = _lost(change, change.item, _members(change.item, changes, observed), observed.subject)
            if lost:
                deleted.add(change.item.key)
                yield f"you are signed in through {change.name}, and this plan {lost}"
    for change in changes:
        if (
            isinstance(change.item, TemporaryRemoval)
            and _is_own_temporary(change.item, observed)
            and change.item.only is None
        ):
            yield f"you are signed in by temporary access through {change.item.entry.name}, and this plan ends it"
    yield from _lost_roles(changes, observed, used, deleted)
    yield from _lost_grants(changes, observed)


def _lost_former_entries(changes: tuple[Change, ...], observed: Observed) -> Iterator[str]:
    """Yield entries of a former mapping by which the caller is signed in and which no entry of the mapping replaces in full.

    An entry of the mapping goes before one of the former mapping for the same role, also where that is of others and stays.
    """
    present = {entry.key for entry in observed.entries}
    former = {*(entry for entry, _ in observed.former.entries), *observed.former.of_others}
    used = {entry.key: entry for entry in former if entry.key not in present and signed_in_with(entry, observed)}
    for change in changes:
        item = change.item
        if isinstance(item, FormerEntry) and item.entry.key in used and not item.is_replaced:
            yield f"you are signed in through {change.name}, and this plan removes that mapping"
        if change.verb is Verb.CREATE and isinstance(item, MappingEntry) and item.key in used:
            where, before = f"{item.name} in {observed.former.place}", used[item.key]
            if before.username != item.username:
                yield f"you are signed in through {where}, and this plan changes your user name to {item.username}"
            elif set(before.groups) - set(item.groups):
                yield f"you are signed in through {where}, and this plan takes groups from it"


def lost_access_policies(changes: tuple[Change, ...]) -> Iterator[str]:
    """Yield access entries that are deleted, with the access policies that others associated with them."""
    for change in changes:
        item = change.item
        if change.verb is Verb.DELETE and isinstance(item, MappingEntry) and item.policies:
            policies = ", ".join(item.policies)
            yield (
                f"the access entry {change.name} has access policies of others ({policies}), which are deleted with it; associate"
                " them again afterwards (`aws eks associate-access-policy`), if they are wanted"
            )


def is_own(change: Change, observed: Observed) -> bool:
    """Return whether the change is about an entry, membership, temporary access or binding that the caller is signed in with."""
    item = change.item
    if isinstance(item, MappingEntry):
        return item.key in _used_entries(observed)
    if isinstance(item, FormerEntry):
        return signed_in_with(item.entry, observed)
    if isinstance(item, TemporaryRemoval):
        return _is_own_temporary(item, observed)
    if isinstance(item, Membership):
        used = (entry for entry in observed.entries if entry.key in _used_entries(observed))
        asking = (entry for entry in used if entry.iam_group.casefold() == item.group.casefold())
        return any(_is_one_of(observed.subject, {item.user}, entry) for entry in asking)
    if isinstance(item, BindingState):
        before = observed.bindings.get(item.ident, item)
        return bool({*item.subjects, *before.subjects} & _rbac_subjects(observed.subject))
    return False


def _used_entries(observed: Observed) -> set[str]:
    return {entry.key for entry in observed.entries if signed_in_with(entry, observed)}


def _is_own_temporary(ended: TemporaryRemoval, observed: Observed) -> bool:
    return ended.entry.key in _used_entries(observed) and _is_one_of(observed.subject, {ended.user}, ended.entry)


def _lost_roles(changes: tuple[Change, ...], observed: Observed, used: set[str], said: set[str]) -> Iterator[str]:
    """Yield roles of the caller's Kubernetes or AWS session that are deleted or whose trust policy changes."""
    own = {pathless(observed.caller_arn), *used}
    if observed.subject is not None and observed.subject.canonical_arn:
        own.add(pathless(observed.subject.canonical_arn))
    for change in changes:
        role = observed.roles.get(change.name.casefold()) if change.kind is Kind.ROLE else None
        if role is None or pathless(role.arn) not in own:
            continue
        if change.verb is Verb.DELETE and pathless(role.arn) not in said:
            yield f"you are signed in through the role {change.name}, and this plan deletes it"
        if change.verb is Verb.UPDATE and any(part.name == "trust" and _differs(part) for part in change.fields):
            yield f"you are signed in through the role {change.name}, and this plan changes who may assume it"


def _differs(trust: Field) -> bool:
    """Return whether a trust policy changes in more than the names of its statements."""
    return not same_document(_unnamed(trust.before), _unnamed(trust.after))


def _unnamed(document: object) -> object:
    if isinstance(document, dict):
        return {key: _unnamed(value) for key, value in document.items() if key not in ("Sid", "Id")}
    return [_unnamed(item) for item in document] if isinstance(document, list) else document


def _lost_grants(changes: tuple[Change, ...], observed: Observed) -> Iterator[str]:
    """Yield what our bindings grant to the caller before the plan, and no longer after it."""
    mine = _rbac_subjects(observed.subject)
    if MASTERS in mine:  # RBAC cannot take anything from this group
        return
    after = dict(observed.bindings)
    for change in changes:
        if isinstance(change.item, BindingState):
            after[change.item.ident] = change.item
            if change.verb is Verb.DELETE:
                del after[change.item.ident]
    kept = {binding.grant for binding in after.values() if mine & set(binding.subjects)}
    for binding in observed.bindings.values():
        namespace, kind, role = binding.grant
        if mine & set(binding.subjects) and not {binding.grant, ("", kind, role)} & kept:
            place = f"in namespace {namespace}" if namespace else "in the whole cluster"
            yield f"you have {kind} {role} {place} by binding {binding_name(binding)}, and this plan takes it away"


def _rbac_subjects(subject: Subject | None) -> set[str]:
    """Return the caller's groups and user, as `BindingState.subjects` writes them."""
    return set() if subject is None else {*subject.groups, f"User:{subject.username}"}


def signed_in_with(entry: MappingEntry, observed: Observed) -> bool:
    """Return whether the caller is signed in by this entry: through its role in the cluster or in AWS, or as a member of its group.

    If the cluster does not show which principal signed in, a user name that the entry could have made counts as made by it. The
    cluster never shows in which IAM group a user is.
    """
    subject = observed.subject
    if entry.sso is not None:
        if entry.matches_role(observed.caller_arn):
            return True
        arn = subject.canonical_arn if subject is not None else ""
        return entry.matches_role(arn) if arn else subject is not None and _could_be(entry, subject)
    if not entry.role_arn:
        return subject is not None and ":user/" in (subject.canonical_arn or ":user/") and _could_be(entry, subject)
    if pathless(observed.caller_arn) == entry.key:
        return True
    if subject is None:
        return False
    if subject.canonical_arn:
        return pathless(subject.canonical_arn) == entry.key
    return _could_be(entry, subject)


def deletes_too_many_levels(observed: Observed, wanted: frozenset[str]) -> Iterator[str]:
    """Yield a sentence if more than a third of the existing levels would be deleted."""
    sets = {entry.level for entry in observed.entries if entry.sso is not None and entry.key in observed.entry_levels}
    present = observed.registered_levels | sets
    going = sorted(present - wanted)
    if 3 * len(going) > len(present):
        names = ", ".join(name or "one without a name" for name in going)
        yield f"{len(going)} of {len(present)} levels would be removed ({names}): more than a third"


def _lost(change: Change, entry: MappingEntry, members: set[str], subject: Subject | None) -> str:
    if change.verb is Verb.DELETE:
        return "removes that mapping"
    if change.verb is Verb.CREATE:
        return ""
    for part in change.fields:
        if part.name == "username":
            return "changes its user name"
        if part.name == "groups" and set(_texts(part.before)) - set(_texts(part.after)):
            return "takes groups from it"
        if part.name == "iamGroup" and entry.iam_group and not _is_one_of(subject, members, entry):
            return f"admits only members of the IAM group {entry.iam_group}, and you are not known to be one"
    return "takes groups from you" if _groups_by(entry, subject) - set(entry.groups) else ""


def _groups_by(entry: MappingEntry, subject: Subject | None) -> set[str]:
    """Return the caller's groups by an entry of that key, whichever of several the server applies."""
    arn = subject.canonical_arn if subject is not None else ""
    matches = entry.matches_role(arn) if entry.role_arn or entry.sso else ":user/" in arn
    return set(subject.groups) - {_AUTHENTICATED} if subject is not None and matches else set()


def _members(entry: MappingEntry, changes: tuple[Change, ...], observed: Observed) -> set[str]:
    """Return the members of the entry's group after the plan."""
    members = {*observed.member_names(entry.iam_group)}
    for change in changes:
        if isinstance(change.item, Membership) and change.item.group == entry.iam_group:
            edit = members.add if change.verb is Verb.CREATE else members.discard
            edit(change.item.user)
    return members


def _is_one_of(subject: Subject | None, members: set[str], entry: MappingEntry) -> bool:
    """Return whether the entry makes the caller's user name of a member, and of nobody else."""
    literals = _PLACE.split(entry.username)
    return len(literals) > 1 and subject is not None and subject.username in {name.join(literals) for name in members}


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _could_be(entry: MappingEntry, subject: Subject) -> bool:
    literals = re.split(r"\{\{.*?\}\}", entry.username)
    pattern = _VALUE.join(re.escape(literal) for literal in literals)
    return re.fullmatch(pattern, subject.username) is not None and set(entry.groups) <= set(subject.groups)


_VARIABLE = re.compile(r"\{\{(\w+)\}\}")


def callers_in_cluster(access: ClusterAccess, users: Iterable[str], subject: Subject | None) -> tuple[str, ...] | None:
    """Return which of the IAM users is the caller, by what the cluster shows.

    None if only AWS knows: the cluster was not asked (`subject` is None), or its user name does not show the IAM user. It does not
    where the mapping still makes the user names of an earlier file.
    """
    if subject is None:
        return None
    if ":user/" in subject.canonical_arn:
        return callers_in_aws(access, users, subject.canonical_arn)
    through = [level for level in access.levels if signed_in_through(access, level, subject)]
    made = (re.fullmatch(_user_name(access, level, _VALUE), subject.username) for level in through)
    if not all(_names_user(level.username) for level in through) or (through and not any(made)):
        return None
    patterns = {user: [_user_name(access, level, re.escape(user)) for level in through] for user in users}
    return tuple(user for user, each in patterns.items() if any(re.fullmatch(name, subject.username) for name in each))


def callers_in_aws(access: ClusterAccess, users: Iterable[str], caller_arn: str) -> tuple[str, ...]:
    """Return which of the IAM users has that ARN."""
    head, _, name = caller_arn.partition(":user/")
    here = head.endswith(f"::{access.account}")
    return tuple(user for user in users if here and name.rsplit("/", 1)[-1].casefold() == user.casefold())


def signed_in_through(access: ClusterAccess, level: Level, subject: Subject) -> bool:
    """Return whether the cluster shows the level's role or, if it shows no ARN, all groups of the level.

    Of a level without groups, the user name has to be one that the level's template makes.
    """
    if subject.canonical_arn and not level.method.is_in_iam:
        return desired_entry(access, level).matches_role(subject.canonical_arn)
    if subject.canonical_arn:
        return level.method is Method.ROLE and pathless(subject.canonical_arn) == pathless(mapped_arn(access, level))
    if not level.groups:
        return re.fullmatch(_user_name(access, level, _VALUE), subject.username) is not None
    return set(level.groups) <= set(subject.groups)


def _names_user(template: str) -> bool:
    return bool({"SessionName", "SessionNameRaw", "UserName"} & set(_VARIABLE.findall(template)))


def _user_name(access: ClusterAccess, level: Level, user: str) -> str:
    """Return a pattern of the user name that the level's template makes of an IAM user. `user` is a pattern too."""
    values = {
        "SessionName": user.replace("@", "-"),
        "SessionNameRaw": user,
        "UserName": user,
        "AccountID": access.account,
    }
    parts = _VARIABLE.split(level.username)
    texts = (values.get(part, r"\S+") if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return "".join(texts)
