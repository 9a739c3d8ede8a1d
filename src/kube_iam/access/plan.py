"""From a file and one look at the world to a plan: what would change, in the order in which it will happen. Changes nothing.

Order of the changes of a plan: additions come before removals, so that a run that stops half way leaves access in place.

1. Policies come off the groups of other levels. This precedes all additions: a policy may be about to name another level's role.
2. Each level is built. A role that moves to another path comes last: IAM has no two roles of one name, so the old one goes first.
3. Mapping entries, temporary access and bindings go. What the caller is signed in with goes last: without it the caller could not
   delete the rest.
4. IAM's part of the levels that leave goes. A policy document stops naming a replaced role after that role is deleted: until then
   the document is the only record of the role.


Checks before the first change: what the API server would refuse, and whether a server of this cluster reads the mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from kube_iam.access.apply import find_refusals
from kube_iam.access.changes import Change, Ended, Kind, Plan, Verb
from kube_iam.access.deletions import closing, removing, replacing
from kube_iam.access.desired import DesiredLevel, desired_state
from kube_iam.access.guards import MASTERS, is_own, lockout, too_much
from kube_iam.access.level_changes import LevelBuilder
from kube_iam.access.levels import ClusterAccess, Method, TargetKind
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.observed import Observed, observe
from kube_iam.access.ports import BindingState, Directory, Ports
from kube_iam.access.reassignments import guarded, guarded_deletions, refused
from kube_iam.access.server_policy import uncovered_roles
from kube_iam.access.suspension import suspensions
from kube_iam.access.unmanaged import Foreign, left_alone, respelled
from kube_iam.errors import CredentialsError, NotOwned


def check_caller(access: ClusterAccess, directory: Directory) -> None:
    """Raise CredentialsError when the calls would go to another account or partition than the file is for."""
    caller = directory.caller()
    partition = caller.arn.split(":")[1] if caller.arn.startswith("arn:") else access.partition
    if caller.account != access.account or partition != access.partition:
        raise CredentialsError(
            f"these credentials are for account {caller.account} ({partition}), "
            f"and {access.source} is about account {access.account} ({access.partition})",
            "choose other credentials with --profile or AWS_PROFILE, or correct account in the file",
        )


def plan_apply(access: ClusterAccess, ports: Ports, *, adopt: bool = False, now: float = 0.0) -> Plan:
    """What `apply` would do. Raises CredentialsError for another account, and NotOwned with everything that is in the way.

    Temporary access that is over at `now` (unix seconds; by default none is) is cleaned away.
    """
    check_caller(access, ports.directory)
    desired = desired_state(access)
    observed = observe(access, desired, ports)
    replaced = tuple(replacing(observed, desired))
    names = frozenset(change.name.casefold() for change in replaced)
    staying = frozenset(level.group.name.casefold() for level in desired)
    builders = tuple(LevelBuilder(level, observed, adopt, staying, names) for level in desired)
    foreign: list[Foreign] = [*respelled(observed, desired), *refused(observed, desired)]
    for builder in builders:
        builder.build()
        foreign += builder.foreign
    if foreign:
        raise _not_owned(foreign)
    taken = (*closing(observed, desired, now), *replaced)
    changes = arrange(taken, builders, removing(observed, desired), lambda change: is_own(change, observed))
    wanted = frozenset(level.name for level in desired)
    refusals = find_refusals(changes, ports)
    misplaced = tuple(misplaced_mapping(access, ports))
    return Plan(
        cluster=access.cluster_id,
        account=access.account,
        target=ports.store.describe(),
        changes=changes,
        warnings=(
            *cautions(access),
            *(f"servers cannot load {ports.store.describe()} as it is now: {fault}" for fault in observed.faults),
            *_findings(observed, desired, changes),
            *uncovered_roles(access, changes),
            *suspensions(observed, desired, changes),
            *map(_unchecked, refusals.unchecked),
            *(() if writes_mapping(changes) else misplaced),
        ),
        guards=(
            *lockout(changes, observed),
            *too_much(observed, wanted),
            *guarded(observed, desired, changes),
            *(misplaced if writes_mapping(changes) else ()),
        ),
        failures=refusals.failures,
        entries=(*observed.entries, *observed.others),
    )


def plan_destroy(access: ClusterAccess, ports: Ports) -> Plan:
    """What `destroy` would do: everything that is ours goes, leftovers of earlier files included."""
    check_caller(access, ports.directory)
    observed = observe(access, (), ports)
    taken = closing(observed, (), 0.0)
    changes = arrange(taken, (), removing(observed, ()), lambda change: is_own(change, observed))
    refusals = find_refusals(changes, ports)
    return Plan(
        cluster=access.cluster_id,
        account=access.account,
        target=ports.store.describe(),
        changes=changes,
        warnings=(*_findings(observed, (), changes), *map(_unchecked, refusals.unchecked)),
        guards=(*lockout(changes, observed), *guarded_deletions(observed, changes)),
        left_alone=tuple(left_alone(observed)),
        failures=refusals.failures,
    )


def _unchecked(said: str) -> str:
    return f"not checked in advance, since an admission webhook takes no dry runs: {said}"


def _not_owned(foreign: list[Foreign]) -> NotOwned:
    items = (f"{found}: {found.remedy}" for found in foreign)
    return NotOwned.listing("names that these levels need are taken:", items, "nothing was changed")


def cautions(access: ClusterAccess) -> Iterator[str]:
    """What is allowed in a file and still deserves a second look."""
    for level in access.levels:
        if MASTERS in level.groups:
            yield (
                f"level {level.name} is in {MASTERS}, which RBAC can neither limit nor take away; "
                "prefer a group of your own bound to cluster-admin"
            )
    if access.mapping.kind is TargetKind.AWS_AUTH:
        yield from _cautions_of_eks(access)


def _cautions_of_eks(access: ClusterAccess) -> Iterator[str]:
    """EKS's own authenticator reads aws-auth too, and knows neither mapGroups nor who is in an IAM group."""
    by_group = [level.name for level in access.levels if level.method is Method.GROUP]
    if by_group:
        yield f"EKS's own authenticator lets nobody in by method group ({', '.join(by_group)}); kube-iam's server does"
    if access.checks_sign_in and len(by_group) < len(access.levels):
        yield (
            "EKS's own authenticator does not ask who is in an IAM group at the moment, kube-iam's server does; "
            "where EKS runs its own, say so with membershipCheck: assumeRole"
        )


def _findings(observed: Observed, desired: tuple[DesiredLevel, ...], changes: tuple[Change, ...]) -> Iterator[str]:
    """What somebody else did to things of ours, and what bindings name in vain."""
    deleted = {change.name for change in changes if change.kind is Kind.ROLE and change.verb is Verb.DELETE}
    wanted = {level.role_key for level in desired}
    for key, role in observed.roles.items():
        if role.policies and (key in wanted or role.name in deleted):
            end = "; it cannot be deleted before they are detached" if role.name in deleted else ""
            yield f"role {role.name} should have no permissions, and somebody gave it {', '.join(role.policies)}{end}"
    known = {policy.arn for policy in observed.policies}
    for level in desired:
        group = observed.groups.get(level.group.name.casefold())
        others = [arn for arn in group.attached if arn not in known] if group else []
        if others:
            yield f"group {level.group.name} also carries {', '.join(others)}; its members have that too"
    for kind, namespace, name in observed.missing_rbac:
        place = f" in namespace {namespace}" if namespace else ""
        yield f"{kind} {name} does not exist{place}; a binding to it grants nothing until it does"


_CLUSTER_SIDE = {Kind.MAPPING: 0, Kind.TEMPORARY: 1, Kind.BINDING: 2}
_ADMINISTRATOR = "cluster-admin"


def arrange(
    taken: Iterable[Change],
    levels: Iterable[LevelBuilder],
    removed: Iterable[Change],
    own: Callable[[Change], bool],
) -> tuple[Change, ...]:
    """Return all changes in the order above.

    `taken` holds what `closing` and `replacing` yield, `removed` what `removing` yields. `own` says of a change whether it takes
    away what the caller is signed in with.
    """
    builders, left = tuple(levels), list(taken)
    early, left = _split(left, lambda change: change.kind is Kind.ATTACHMENT)
    built = [change for builder in builders if not builder.role_is_moved for change in builder.changes]
    for builder in builders:
        if builder.role_is_moved:
            first, left = _split(left, partial(_is_about, builder.level))
            built += [*first, *builder.changes]
    roles, left = _split(left, lambda change: change.kind is Kind.ROLE)
    left += [change for builder in builders for change in builder.narrowed_bindings]
    documents = [change for builder in builders for change in builder.narrowed_policy]
    return (*early, *built, *sorted(left, key=lambda change: _rank(change, own)), *roles, *removed, *documents)


def _split(changes: list[Change], first: Callable[[Change], bool]) -> tuple[list[Change], list[Change]]:
    return [change for change in changes if first(change)], [change for change in changes if not first(change)]


def _is_about(level: DesiredLevel, change: Change) -> bool:
    """Whether the change takes away the level's role, its mapping entry or temporary access by that entry."""
    if change.kind is Kind.ROLE:
        return change.name.casefold() == level.role_key
    entry = change.item.entry if isinstance(change.item, Ended) else change.item
    return isinstance(entry, MappingEntry) and entry.key == level.entry.key


def _rank(change: Change, own: Callable[[Change], bool]) -> tuple[bool, int, bool, bool]:
    """Sort the caller's own access last, and in it the binding that most probably allows to delete bindings."""
    binding = change.item if isinstance(change.item, BindingState) else None
    cluster_wide = binding is not None and not binding.namespace
    administrator = binding is not None and binding.role_name == _ADMINISTRATOR
    return own(change), _CLUSTER_SIDE[change.kind], cluster_wide, administrator


def writes_mapping(changes: tuple[Change, ...]) -> bool:
    """Whether the plan adds or changes an entry of the mapping."""
    return any(change.kind is Kind.MAPPING and change.verb is not Verb.DELETE for change in changes)


def misplaced_mapping(access: ClusterAccess, ports: Ports) -> Iterator[str]:
    """Return why the servers of this cluster might not read, or not match, the mapping."""
    if ports.preflight is None:
        return
    source = ports.preflight.source()
    if source.missing:
        yield (
            f"{source.missing}, and a server that reads its mappings elsewhere sees none of these levels; "
            f"check `mapping` in {access.source}, or let --force create it"
        )
    if source.cluster_id and source.cluster_id != access.cluster_id:
        yield (
            f"clusterID in {access.mapping.describe()} is {source.cluster_id}, and cluster.id in {access.source} is "
            f"{access.cluster_id}: a server of one refuses tokens for the other"
        )
