"""Make the changes of a plan one by one, or try them as dry runs.

Every change may be repeated: the next plan and apply finish a run that stopped anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kube_iam.access.changes import (
    TAG,
    Attachment,
    Change,
    Detachment,
    FormerEntry,
    Kind,
    Membership,
    Plan,
    TemporaryRemoval,
    Verb,
)
from kube_iam.access.desired import DesiredGroup, DesiredPolicy, DesiredRole, assumed_roles
from kube_iam.access.mapping import MappingEntry, MappingStore, pathless
from kube_iam.access.ports import BindingState, Cluster, Directory, GroupState, PolicyState, Ports, RoleState
from kube_iam.core.arns import is_iam_name
from kube_iam.errors import Conflict, KubeIamError, Unreachable

_UNSUPPORTED = "does not support dry run"  # kube-apiserver's words for an admission webhook with side effects

Progress = Callable[[int], None]
"""Function that is called before each change with its position, from 0."""


@dataclass(frozen=True, slots=True)
class Applied:
    """Result of a plan: the changes that are made and, if one failed, that one with its error."""

    done: tuple[Change, ...]
    failed: Change | None = None
    error: KubeIamError | None = None


def apply_plan(plan: Plan, ports: Ports, progress: Progress) -> Applied:
    """Make the plan's changes in order, and stop at the first that fails."""
    for position, change in enumerate(plan.changes):
        progress(position)
        try:
            if isinstance(change.item, FormerEntry):
                _require_replacement(change.item, ports)
            apply_change(change, ports)
        except KubeIamError as error:
            return Applied(plan.changes[:position], change, error)
    return Applied(plan.changes)


def _require_replacement(former: FormerEntry, ports: Ports) -> None:
    """Raise Conflict where the entry that takes the place of a former one was removed by another program since it was written."""
    entry = former.entry
    if former.is_replaced and all(each.key != entry.key for each in ports.store.entries()):
        raise Conflict(
            f"{ports.store.describe()} has no entry for {entry.name} any more, so its former entry stays",
            "repeat the command",
        )


@dataclass(frozen=True, slots=True)
class Refusals:
    """Sentences about changes that would be refused, and about changes that could not be checked in advance."""

    failures: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def find_refusals(changes: tuple[Change, ...], ports: Ports) -> Refusals:
    """Make a dry run of each change in the cluster and in the mapping. Raises Unreachable if the API server cannot be asked.

    Changes in IAM are not checked: IAM has no dry run.
    """
    preflight = ports.preflight
    if preflight is None:
        return Refusals()
    dry = replace(ports, cluster=preflight.cluster, store=preflight.store, former=preflight.former)
    failures: list[str] = []
    unchecked: list[str] = []
    for change in changes:
        if change.kind not in (Kind.BINDING, Kind.MAPPING):
            continue
        try:
            apply_change(change, dry)
        except Unreachable:
            raise
        except KubeIamError as error:
            said = f"{change.verb.value} {change.kind.value} {change.name}: {error}"
            (unchecked if _UNSUPPORTED in error.message else failures).append(said)
    return Refusals(tuple(dict.fromkeys(failures)), tuple(dict.fromkeys(unchecked)))


def apply_change(change: Change, ports: Ports) -> None:
    """Make one change. Raises what the ports raise."""
    match change.verb, change.item:
        case Verb.DELETE, Detachment(holder=holder, policy_arn=arn):
            ports.directory.detach_from(holder, arn)
        case _, DesiredPolicy() | PolicyState() | Attachment() | Membership():
            _access_to_role(change, ports)
        case _, DesiredRole() | RoleState():
            _role(change, ports)
        case Verb.CREATE, DesiredGroup(name=name, path=path):
            ports.directory.create_group(name, path)
        case Verb.ADOPT, DesiredGroup(name=name, path=path):
            ports.directory.move_group(change.name, path)
        case Verb.DELETE, GroupState(name=name):
            ports.directory.delete_group(name)
        case Verb.DELETE, TemporaryRemoval() as removal:
            remove_temporary_access(removal, ports.directory, ports.store)
        case Verb.DELETE, BindingState(namespace=namespace, name=name):
            _cluster(ports).delete_binding(namespace, name)
        case _, BindingState() as binding:
            _cluster(ports).apply_binding(binding)
        case Verb.DELETE, MappingEntry() as entry:
            ports.store.remove(entry)
        case Verb.DELETE, FormerEntry(entry=entry) if ports.former is not None:
            ports.former.remove(entry)
        case Verb.ADOPT, MappingEntry() as entry:
            ports.store.adopt(entry)
        case _, MappingEntry() as entry:
            ports.store.put(entry)
        case _:
            raise ValueError(f"no such change: {change.verb} {change.kind}")


def remove_temporary_access(removal: TemporaryRemoval, directory: Directory, store: MappingStore | None) -> None:
    """Remove temporary access, and last, with a store, its item in the mapping entry. Raises what the ports raise.

    A policy of that name for another role is not ours, and stays. If IAM allows no such name there is no policy.
    """
    if removal.only is not None and store is not None:
        present = (grant for entry in store.entries() if entry.key == removal.entry.key for grant in entry.temporary)
        if removal.only not in present:
            return
    if removal.policy and is_iam_name(removal.user, 64) and is_iam_name(removal.policy):
        roles = assumed_roles(directory.user_policy(removal.user, removal.policy))
        if [pathless(role) for role in roles] == [removal.entry.key]:
            directory.delete_user_policy(removal.user, removal.policy)
    if store is not None:
        store.remove_temporary(removal.entry, removal.user, removal.only)


def _access_to_role(change: Change, ports: Ports) -> None:
    directory = ports.directory
    match change.verb, change.item:
        case Verb.CREATE, DesiredPolicy() as policy:
            directory.create_policy(policy.name, policy.path, policy.document, policy.tags, policy.description)
        case _, DesiredPolicy() as policy:
            if _tags_change(change):
                directory.tag_policy(policy.arn, policy.tags)
            if removed := _removed_tags(change):
                directory.untag_policy(policy.arn, removed)
            if change.changes("document"):
                directory.update_policy(policy.arn, policy.document)
        case Verb.DELETE, PolicyState(arn=arn):
            directory.delete_policy(arn)
        case Verb.CREATE, Attachment(group=group, policy_arn=arn):
            directory.attach(group, arn)
        case _, Attachment(group=group, policy_arn=arn):
            directory.detach(group, arn)
        case Verb.CREATE, Membership(group=group, user=user):
            directory.add_member(group, user)
        case _, Membership(group=group, user=user):
            directory.remove_member(group, user)


def _role(change: Change, ports: Ports) -> None:
    directory = ports.directory
    match change.verb, change.item:
        case Verb.CREATE, DesiredRole() as role:
            directory.create_role(
                role.name,
                role.path,
                role.trust,
                role.tags,
                role.max_session_seconds,
                role.description,
                role.boundary or "",
            )
        case Verb.ADOPT, DesiredRole() as role:
            directory.tag_role(role.name, role.tags)
        case _, DesiredRole() as role:
            if _tags_change(change):
                directory.tag_role(role.name, role.tags)
            if change.changes("permissionsBoundary"):
                directory.set_boundary(role.name, role.boundary or "")
            if any(map(change.changes, ("trust", "maxSessionDuration", "description"))):
                directory.update_role(role.name, role.trust, role.max_session_seconds, role.description)
        case Verb.DELETE, RoleState(name=name):
            directory.delete_role(name)


def _tags_change(change: Change) -> bool:
    return any(part.name.startswith(TAG) and part.after is not None for part in change.fields)


def _removed_tags(change: Change) -> tuple[str, ...]:
    return tuple(
        part.name.removeprefix(TAG) for part in change.fields if part.name.startswith(TAG) and part.after is None
    )


def _cluster(ports: Ports) -> Cluster:
    if ports.cluster is None:
        raise ValueError("a binding without a cluster")
    return ports.cluster
