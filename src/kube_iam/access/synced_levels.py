"""Users of the bindings of synced levels (`membershipCheck: rbac`), as a plan writes them. `kube-iam sync` keeps them up to date.

A plan names no user whose session another user could have: none while the role's trust policy leaves the session name open, and none
of two whose user names are equal. It names no denied user.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from kube_iam.access.desired import DesiredLevel, desired_entry
from kube_iam.access.levels import ClusterAccess
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.observed import Observed
from kube_iam.access.ports import BindingState, DeniedUsers
from kube_iam.access.reassignments import moved_members
from kube_iam.access.synced_grants import Grants, grants_of
from kube_iam.access.user_names import can_be_named_alike
from kube_iam.core.member_source import MemberSource
from kube_iam.core.trust_policy import unrestricted_session_name


def with_users(
    observed: Observed, desired: tuple[DesiredLevel, ...], denied: DeniedUsers | None, now: float
) -> tuple[DesiredLevel, ...]:
    """Return the levels with the users of their bindings: the members after the plan, and temporary access that is not over.

    `now` is in Unix seconds. Raises what `denied` raises.
    """
    staying = frozenset(level.group.name.casefold() for level in desired)

    def completed(level: DesiredLevel) -> DesiredLevel:
        if not level.is_synced:
            return level
        members = _members(observed, level, staying)
        grants = bound_grants(observed, level.name)
        users = {**{each.user_name: each.user_id for each in grants if each.ends > now}, **members}
        bindings = tuple(_completed(observed, level, each, grants, users, denied) for each in level.bindings)
        return replace(level, bindings=bindings)

    return tuple(map(completed, desired))


def bound_grants(observed: Observed, level: str) -> Grants:
    """Return the grants of temporary access that our bindings of a level hold."""
    return grants_of(each for each in observed.bindings.values() if each.level == level and observed.owns_binding(each))


def user_names(source: MemberSource, users: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the Kubernetes users of these IAM users by name, and the IAM users that are refused since others have their name."""
    by_name: dict[str, list[str]] = {}
    for user in users:
        by_name.setdefault(source.user_name(user), []).append(user)
    found = {each[0]: name for name, each in by_name.items() if name and len(each) == 1}
    refused = (user for name, each in by_name.items() if name and len(each) > 1 for user in each)
    return found, tuple(sorted(refused))


def synced_warnings(observed: Observed, desired: tuple[DesiredLevel, ...]) -> Iterator[str]:
    """Yield a warning for each synced level whose plan leaves members out."""
    staying = frozenset(level.group.name.casefold() for level in desired)
    for level in desired:
        if not level.is_synced:
            continue
        if why := _open_role(observed, level):
            yield (
                f"level {level.name}: no member gets access yet, since {why}; the plan repairs a role of its own, and `kube-iam sync`"
                " adds the members when sessions that were begun before have ended"
            )
        source = next(each.source for each in level.bindings if each.source)
        _, refused = user_names(source, _members(observed, level, staying))
        if refused:
            yield (
                f"level {level.name}: {', '.join(refused)} have one user name by {source.username} and get no access; write"
                " {{SessionNameRaw}}"
            )


def alike_entries(access: ClusterAccess, entries: Iterable[MappingEntry]) -> Iterator[str]:
    """Yield a sentence for each entry of others that can give the user name of a synced level, whose rights it then gives."""
    own = {desired_entry(access, level).key for level in access.levels}
    synced = [level for level in access.levels if access.is_synced(level)]
    for entry in entries:
        for level in synced if entry.key not in own else ():
            if can_be_named_alike(access, entry.username, level):
                yield (
                    f"mapping {entry.name} at {entry.where or 'an object'} can give the user name {entry.username}, which level"
                    f" {level.name} gives its members rights by: change one of the two user names"
                )


def _members(observed: Observed, level: DesiredLevel, staying: frozenset[str]) -> Mapping[str, str]:
    """Return the members of the level's group after the plan, with their unique ids as far as they are known."""
    ids = {user.name: user.unique_id for user in observed.members.get(level.group.name.casefold(), ())}
    if level.members is not None:
        present = {name.casefold(): name for name in ids}
        spelled = (
            present.get(name.casefold(), "") or (name if observed.spelling(name) == name else "")
            for name in level.members.users
        )
        return {name: ids.get(name, "") for name in spelled if name}
    return {**{move.user: "" for move in moved_members(observed, level, staying)}, **ids}


def _completed(
    observed: Observed,
    level: DesiredLevel,
    want: BindingState,
    grants: Grants,
    users: Mapping[str, str],
    denied: DeniedUsers | None,
) -> BindingState:
    """Return the binding with these IAM users, given with their unique ids. Grants that are over stay until they are removed."""
    if want.source is None:
        return want
    source = replace(want.source, temporary=grants)
    named, _ = user_names(source, users)
    if _open_role(observed, level):
        named = {}
    out = denied(source, {user: users[user] for user in named}) if denied is not None and named else frozenset()
    return replace(want, source=source, users=tuple(sorted(name for user, name in named.items() if user not in out)))


def _open_role(observed: Observed, level: DesiredLevel) -> str:
    """Return why callers may choose the session name of the level's role now, empty where they may not or there is no role."""
    role = observed.roles.get(level.role_key)
    return unrestricted_session_name(role.trust, role.arn) if role is not None else ""
