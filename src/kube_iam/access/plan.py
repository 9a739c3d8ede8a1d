"""From a file and one look at the world to a plan: what would change, in the order in which it will happen. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from kube_iam.access.building import LevelBuilder
from kube_iam.access.changes import Change, Kind, Plan, Verb
from kube_iam.access.desired import DesiredLevel, desired_state
from kube_iam.access.foreign import Foreign
from kube_iam.access.guards import MASTERS, is_own, lockout, too_much
from kube_iam.access.handover import guarded, guarded_deletions, refused
from kube_iam.access.left_alone import left_alone
from kube_iam.access.levels import ClusterAccess, Method, TargetKind
from kube_iam.access.observed import Observed, Ports
from kube_iam.access.observing import observe
from kube_iam.access.ordering import arrange
from kube_iam.access.ports import Directory
from kube_iam.access.preflight import find_refusals, misplaced_mapping, writes_mapping
from kube_iam.access.removing import closing, removing, replacing
from kube_iam.access.server_policy import uncovered_roles
from kube_iam.access.spelling import respelled
from kube_iam.access.suspension import suspensions
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
    if access.door and len(by_group) < len(access.levels):
        yield (
            "EKS's own authenticator does not ask who is in an IAM group at the moment, kube-iam's server does; "
            "where EKS runs its own, say so with membership: session"
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
