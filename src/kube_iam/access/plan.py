"""Plan of `apply` and `destroy`: compare the file with what was observed, and order the changes. Changes nothing.

Additions come before removals, so that a run that stops half way leaves access in place:

1. Detach policies from groups of other levels. This precedes all additions: a policy may be about to name another level's role.
2. Build each level. A role that moves to another path comes last: IAM has no two roles of one name, so the old one goes first.
3. Delete mapping entries, temporary access, bindings and members that the file does not list. What the caller is signed in with
   goes last: without it the caller could not delete the rest.
4. Delete the IAM things of levels that leave. A policy document names a replaced role until that role is deleted: until then the
   document is the only record of the role.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from kube_iam.access.apply import Refusals, find_refusals
from kube_iam.access.changes import Change, Kind, Plan, TemporaryRemoval, Verb
from kube_iam.access.deletions import cluster_deletions, iam_deletions, left_alone, replaced_roles
from kube_iam.access.desired import AnyLevel, DesiredLevel, desired_state, mapped_levels
from kube_iam.access.existing import consequences, findings, located, misplaced_groups, unusable
from kube_iam.access.guards import MASTERS, deletes_too_many_levels, is_own, lockout, lost_access_policies
from kube_iam.access.inventory import check_caller
from kube_iam.access.level_changes import EntryPlanner, LevelPlanner
from kube_iam.access.levels import ClusterAccess, Method, TargetKind
from kube_iam.access.mapping import MappingEntry, given
from kube_iam.access.member_lists import exceeded_quotas, exceeded_tags, guarded_removals, member_failures
from kube_iam.access.observed import Observed, observe
from kube_iam.access.ownership import other_spellings
from kube_iam.access.ports import BindingState, Ports
from kube_iam.access.reassignments import (
    guarded_changes,
    guarded_deletions,
    guarded_permission_sets,
    refused_reassignments,
    under_other_name,
)
from kube_iam.access.server_policy import suspensions, uncovered_by_policy
from kube_iam.access.synced_levels import alike_entries, synced_warnings, with_users
from kube_iam.access.tombstones import explained_recreations
from kube_iam.access.unmanaged import UnmanagedResource, not_owned
from kube_iam.access.user_names import reserved_user_names, user_name_warnings
from kube_iam.core.trust_policy import ACCOUNT_ACCESS, allows_chosen_session_names


def plan_apply(
    access: ClusterAccess, ports: Ports, *, adopt: bool = False, now: float = 0.0, dry_run: bool = True
) -> Plan:
    """Return what `apply` would do.

    Temporary access that is over at `now` (Unix seconds; by default none is) is deleted. Without `dry_run` no change is tried in
    advance, so that rights to read are enough. Raises CredentialsError for another
    account, and NotOwned with all things of others that prevent the plan.
    """
    caller = check_caller(access, ports.directory)
    access = located(access, ports.directory) if access.uses_existing else access
    desired = desired_state(access)
    sets = mapped_levels(access)
    observed = observe(access, desired, ports, caller, sets)
    desired = with_users(observed, desired, ports.denied, now) if access.uses_sync else desired
    replaced = tuple(replaced_roles(observed, desired))
    names = frozenset(change.name.casefold() for change in replaced)
    staying = frozenset(level.group.name.casefold() for level in desired)
    planners = (
        *(LevelPlanner(level, observed, adopt, staying=staying, replaced=names) for level in desired),
        *(EntryPlanner(each, observed, adopt) for each in sets),
    )
    unmanaged: list[UnmanagedResource] = [
        *other_spellings(observed.owners.inventory, desired, observed.elsewhere.values()),
        *under_other_name(observed),
        *refused_reassignments(observed, desired),
        *(unusable(observed, desired, ports.directory) if access.uses_existing else ()),
        *(misplaced_groups(observed) if observed.owners.knows_existing else ()),
    ]
    for planner in planners:
        planner.plan()
        unmanaged += planner.unmanaged
    if unmanaged:
        raise not_owned(unmanaged)
    taken = (*cluster_deletions(observed, desired, now, sets), *replaced)
    changes = arrange(taken, planners, iam_deletions(observed, desired), lambda change: is_own(change, observed))
    wanted = frozenset(level.name for level in access.levels)
    refusals = find_refusals(changes, ports) if dry_run else Refusals()
    misplaced = tuple(misplaced_mapping(access, ports))
    reserved = reserved_user_names((*desired, *sets), observed.reserved_prefixes)
    written = {
        change.level: change for change in changes if change.kind is Kind.MAPPING and change.verb is not Verb.DELETE
    }
    return Plan(
        cluster=access.cluster_id,
        account=access.account,
        target=ports.store.describe(),
        changes=changes,
        warnings=(
            *access_warnings(access),
            *(f"servers cannot load {ports.store.describe()} as it is now: {fault}" for fault in observed.faults),
            *_findings(observed, desired, changes),
            *uncovered_by_policy(access, written),
            *suspensions(observed, desired, changes),
            *(explained_recreations(changes) if access.mapping.kind is TargetKind.ACCESS_ENTRIES else ()),
            *_access_policies(observed, changes),
            *_former_mapping(observed, (*desired, *sets)),
            *_unchecked_memberships(access, written),
            *(synced_warnings(observed, desired) if access.uses_sync else ()),
            *map(_unchecked, refusals.unchecked),
            *(() if written else misplaced),
            *(f"level {name} admits nobody: {why}" for name, why in reserved.items() if name not in written),
        ),
        guards=(
            *lockout(changes, observed),
            *deletes_too_many_levels(observed, wanted),
            *guarded_changes(observed, desired, changes),
            *guarded_permission_sets(observed, changes, wanted),
            *guarded_removals(access, observed, desired),
            *lost_access_policies(changes),
            *(misplaced if written else ()),
        ),
        failures=(
            *member_failures(access, observed, desired, changes),
            *refusals.failures,
            *(
                f"{change.verb.value} mapping {change.name}: {reserved[name]}"
                for name, change in written.items()
                if name in reserved
            ),
            *exceeded_quotas(changes, observed, ports.directory),
            *exceeded_tags(changes, observed),
            *(alike_entries(access, (*observed.entries, *observed.others)) if access.uses_sync else ()),
        ),
        entries=(*observed.entries, *observed.others),
        inventory=observed.owners.inventory,
    )


def plan_destroy(access: ClusterAccess, ports: Ports) -> Plan:
    """Return what `destroy` would do: delete everything of this cluster, leftovers of earlier files included.

    Raises CredentialsError for another account, and NotOwned for a file with another cluster.name than the cluster was applied with
    and for existing groups at kube-iam's path.
    """
    caller = check_caller(access, ports.directory)
    access = located(access, ports.directory) if access.uses_existing else access
    observed = observe(access, (), ports, caller)
    if renamed := list(under_other_name(observed)):
        raise not_owned(renamed, "these resources were made with another cluster.name:")
    if observed.owners.knows_existing and (misplaced := list(misplaced_groups(observed))):
        raise not_owned(misplaced, "existing groups are where kube-iam deletes groups with their levels:")
    taken = cluster_deletions(observed, (), 0.0)
    changes = arrange(taken, (), iam_deletions(observed, ()), lambda change: is_own(change, observed))
    refusals = find_refusals(changes, ports)
    levels = frozenset(level.name for level in access.levels)
    return Plan(
        cluster=access.cluster_id,
        account=access.account,
        target=ports.store.describe(),
        changes=changes,
        warnings=(
            *_findings(observed, (), changes),
            *_former_mapping(observed),
            *map(_unchecked, refusals.unchecked),
        ),
        guards=(
            *lockout(changes, observed),
            *guarded_deletions(observed, changes),
            *guarded_permission_sets(observed, changes, levels),
            *lost_access_policies(changes),
        ),
        left_alone=tuple(left_alone(observed)),
        failures=refusals.failures,
    )


def _access_policies(observed: Observed, changes: tuple[Change, ...]) -> Iterator[str]:
    """Yield a warning for access policies of others on the access entries of levels: they stay, and users have them too."""
    deleted = {
        change.item.key for change in changes if change.verb is Verb.DELETE and isinstance(change.item, MappingEntry)
    }
    for entry in observed.entries:
        if entry.policies and entry.key not in deleted:
            level = f"level {entry.level}: " if entry.level else ""
            yield (
                f"{level}everybody with access entry {entry.name} also has what access policies of others give:"
                f" {', '.join(entry.policies)}"
            )


def _former_mapping(observed: Observed, desired: Iterable[AnyLevel] = ()) -> Iterator[str]:
    """Yield a warning where the former mapping was not read, and for entries of others in it for roles of levels."""
    levels = {level.entry.key: level.name for level in desired}
    for entry in observed.former.of_others:
        if entry.key in levels:
            yield (
                f"level {levels[entry.key]}: {observed.former.place} has an entry of others for {entry.name} ({given(entry)}); it"
                " stays, and the access entry is applied in its place"
            )
    if observed.former.unread:
        yield (
            f"{observed.former.place}, which the cluster reads beside access entries, was not read, and entries of levels in it"
            f" stay: {observed.former.unread}"
        )


def _unchecked(refusal: str) -> str:
    return f"not checked in advance, since an admission webhook takes no dry runs: {refusal}"


def access_warnings(access: ClusterAccess) -> Iterator[str]:
    """Yield warnings about things that a file may say and that may be a mistake."""
    for level in access.levels:
        if MASTERS in level.groups:
            yield (
                f"level {level.name} is in {MASTERS}, which RBAC can neither limit nor take away, and whose requests reach no"
                " authorizer: a denied user keeps the access for as long as kube-apiserver caches the token; prefer a group of your"
                " own bound to cluster-admin"
            )
    yield from user_name_warnings(access)
    yield from consequences(access) if access.uses_existing else ()
    if access.mapping.kind is TargetKind.AWS_AUTH:
        yield from _warnings_about_eks(access)


def _warnings_about_eks(access: ClusterAccess) -> Iterator[str]:
    """Yield warnings for aws-auth: EKS's own authenticator reads it too, without mapGroups and IAM group members."""
    by_group = [level.name for level in access.levels if level.method is Method.GROUP]
    if by_group:
        yield f"EKS's own authenticator admits nobody by method group ({', '.join(by_group)}); kube-iam's server does"
    if any(access.asks_membership(level) for level in access.levels if level.method is Method.ROLE):
        yield (
            "EKS's own authenticator does not ask who is in an IAM group at the moment, kube-iam's server does; "
            "where EKS runs its own, say so with membershipCheck: assumeRole, or rbac with `kube-iam sync`"
        )


def _unchecked_memberships(access: ClusterAccess, mapped: Collection[str]) -> Iterator[str]:
    """Yield a warning for each permission set and role of others that is mapped: kube-iam does not check its users.

    `mapped` are the levels whose mapping entries the plan writes.
    """
    for level in access.levels:
        if level.method is Method.PERMISSION_SET and level.name in mapped:
            yield (
                f"level {level.name}: IAM Identity Center decides who has permission set {level.permission_set}; kube-iam checks no"
                " membership, and a session signs in until it ends (the permission set's session duration)"
            )
        if level.method is Method.MAPPED_ROLE and level.name in mapped:
            yield (
                f"level {level.name}: everybody who can assume {level.mapped_role} signs in; kube-iam checks no membership, and"
                " who can is managed elsewhere"
            )


def _findings(observed: Observed, desired: tuple[DesiredLevel, ...], changes: tuple[Change, ...]) -> Iterator[str]:
    """Yield warnings about what others did to things of this cluster, and about bindings to roles that do not exist."""
    deleted = {change.name for change in changes if change.kind is Kind.ROLE and change.verb is Verb.DELETE}
    wanted = {level.role_key for level in desired if level.role is not None and not level.role.existing}
    for key, role in observed.roles.items():
        if role.policies and (key in wanted or role.name in deleted):
            end = "; it cannot be deleted before they are detached" if role.name in deleted else ""
            yield f"role {role.name} should have no permissions, and somebody gave it {', '.join(role.policies)}{end}"
    for key, role in observed.roles.items():
        if key in wanted and allows_chosen_session_names(role.trust):
            yield (
                f"the trust policy of role {role.name} names {ACCOUNT_ACCESS}, which lets users choose their session name: a user name"
                " made of it proves nothing; remove that statement"
            )
    known = {policy.arn for policy in observed.policies}
    yield from findings(observed, desired) if observed.owners.knows_existing else ()
    for level in desired:
        group = observed.groups.get(level.group.name.casefold())
        others = [arn for arn in group.attached if arn not in known] if group else []
        if others:
            yield f"group {level.group.name} also carries {', '.join(others)}; its members have that too"
    for kind, namespace, name in observed.missing_rbac:
        place = f" in namespace {namespace}" if namespace else ""
        yield f"{kind} {name} does not exist{place}; a binding to it grants nothing until it does"


_REMOVALS = {Kind.MAPPING: 0, Kind.TEMPORARY: 1, Kind.BINDING: 2, Kind.MEMBER: 3}
_ADMINISTRATOR = "cluster-admin"


def arrange(
    taken: Iterable[Change],
    levels: Iterable[EntryPlanner],
    deleted: Iterable[Change],
    own: Callable[[Change], bool],
) -> tuple[Change, ...]:
    """Return all changes in the order of this module.

    `taken` are those of `cluster_deletions` and `replaced_roles`, `deleted` those of `iam_deletions`. `own` returns whether a
    change takes away what the caller is signed in with.
    """
    planners, left = tuple(levels), list(taken)
    early, left = _split(left, lambda change: change.kind is Kind.ATTACHMENT)
    built = [change for planner in planners if not planner.role_is_moved for change in planner.changes]
    for planner in planners:
        if planner.role_is_moved:
            first, left = _split(left, partial(_is_about, planner.level))
            built += [*first, *planner.changes]
    roles, left = _split(left, lambda change: change.kind is Kind.ROLE)
    left += [change for planner in planners for change in (*planner.narrowed_bindings, *planner.removed_members)]
    documents = [change for planner in planners for change in planner.narrowed_policy]
    return (*early, *built, *sorted(left, key=lambda change: _rank(change, own)), *roles, *deleted, *documents)


def _split(changes: list[Change], first: Callable[[Change], bool]) -> tuple[list[Change], list[Change]]:
    return [change for change in changes if first(change)], [change for change in changes if not first(change)]


def _is_about(level: AnyLevel, change: Change) -> bool:
    """Return whether the change deletes the level's role, its mapping entry or temporary access by that entry."""
    if change.kind is Kind.ROLE:
        return isinstance(level, DesiredLevel) and change.name.casefold() == level.role_key
    entry = change.item.entry if isinstance(change.item, TemporaryRemoval) else change.item
    return isinstance(entry, MappingEntry) and entry.key == level.entry.key


def _rank(change: Change, own: Callable[[Change], bool]) -> tuple[bool, int, bool, bool]:
    """Return a sort key: the caller's own access last, and last of it the binding that probably allows to delete bindings."""
    binding = change.item if isinstance(change.item, BindingState) else None
    cluster_wide = binding is not None and not binding.namespace
    administrator = binding is not None and binding.role_name == _ADMINISTRATOR
    return own(change), _REMOVALS[change.kind], cluster_wide, administrator


def misplaced_mapping(access: ClusterAccess, ports: Ports) -> Iterator[str]:
    """Yield reasons why the servers of this cluster might not read, or not match, the mapping."""
    if ports.preflight is None:
        return
    source = ports.preflight.source()
    if source.doubt:
        yield source.doubt
    if source.missing:
        yield (
            f"{source.missing}, and a server that reads its mappings elsewhere sees none of these levels; "
            f"check `mapping` in {access.place('mapping')}, or let --force create it"
        )
    if source.cluster_id and source.cluster_id != access.cluster_id:
        yield (
            f"clusterID in {access.mapping.describe()} is {source.cluster_id}, and cluster.id in {access.place('cluster.id')} is "
            f"{access.cluster_id}: a server of one refuses tokens for the other"
        )
