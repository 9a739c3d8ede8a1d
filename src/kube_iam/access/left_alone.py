"""Things that a `destroy` leaves: they have this cluster's names, path or mapping, and are not known to be this cluster's."""

from __future__ import annotations

from collections.abc import Iterator

from kube_iam.access.desired import level_in_name
from kube_iam.access.facts import binding_name, given, is_removable
from kube_iam.access.observed import Observed
from kube_iam.access.owner import Owner
from kube_iam.access.ports import role_key


def left_alone(observed: Observed) -> Iterator[str]:
    """Return a sentence for everything through which somebody could sign in, or that would admit somebody again.

    That is each policy and group under the cluster's path, each binding with the name of one of the levels', and each entry of the
    mapping for a role or group that the file or a policy under the path names, unless it is this cluster's and thus deleted.
    """
    owners = observed.owners
    for policy in observed.policies:
        if not owners.policy(policy.arn).is_ours:
            yield f"policy {policy.name} at {policy.path} {_whose(owners.policy(policy.arn))}"
    for group in observed.groups.values():
        if group.path == observed.path and not owners.group(group.name).is_ours:
            yield f"group {group.name} at {group.path} {_whose(owners.group(group.name))}"
    for entry in observed.entries:
        owner = owners.entry(entry.key)
        if not owner.is_ours and owners.is_related(entry):
            yield f"mapping {entry.name} ({given(entry)}) {_whose(owner)}"
    for binding in observed.bindings.values():
        if not observed.owns_binding(binding) and level_in_name(binding.name):
            groups = ", ".join(binding.groups) or "nobody"
            whose = f"belongs to cluster {binding.cluster}" if binding.cluster else "is not marked as this cluster's"
            yield f"binding {binding_name(binding)} ({binding.role_kind} {binding.role_name} for {groups}) {whose}"
    for key, rivals in observed.rivals.items():
        removed = owners.role(role_key(key)).is_ours or owners.entry(key).is_ours
        for rival in rivals:
            if not (removed and is_removable(rival)):
                yield f"mapping {rival.name} at {rival.where} ({given(rival)}) means the role {key}"


def _whose(owner: Owner) -> str:
    return f"belongs to cluster {owner.cluster}" if owner.is_other else "is not marked as this cluster's"
