"""Checks before the first change: what the API server would refuse, and whether a server of this cluster reads the mapping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kube_iam.access.apply import apply_change
from kube_iam.access.changes import Change, Kind, Verb
from kube_iam.access.levels import ClusterAccess
from kube_iam.access.observed import Ports
from kube_iam.errors import KubeIamError, Unreachable

_UNSUPPORTED = "does not support dry run"  # what kube-apiserver says of an admission webhook that has side effects


@dataclass(frozen=True, slots=True)
class Refusals:
    """Sentences about changes that would fail, and about changes that could not be checked in advance."""

    failures: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def find_refusals(changes: tuple[Change, ...], ports: Ports) -> Refusals:
    """Make a dry run of every change in the cluster and the mapping. Raises Unreachable where the API server cannot be asked.

    Changes in IAM are not checked: IAM has no dry run.
    """
    preflight = ports.preflight
    if preflight is None:
        return Refusals()
    dry = replace(ports, cluster=preflight.cluster, store=preflight.store)
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
