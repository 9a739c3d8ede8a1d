"""Edits of the users of synced bindings by the commands, at once and beside `kube-iam sync`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import random
from typing import TYPE_CHECKING

from kube_iam.access.ports import BindingState
from kube_iam.core.rbac import binding_text
from kube_iam.errors import Conflict, NotFound
from kube_iam.kube.client import FIELD_MANAGER, KubeApi
from kube_iam.kube.cluster import RBAC, KubeCluster, binding_state
from kube_iam.kube.config_map import ATTEMPTS, RETRY_BACKOFF

if TYPE_CHECKING:
    from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding

UsersToRemove = Callable[[BindingState], Iterable[str]]


@dataclass(frozen=True, slots=True)
class RemovedUsers:
    """Users that were removed from a binding, sorted."""

    binding: BindingState
    users: tuple[str, ...]

    def __str__(self) -> str:
        place = binding_text(self.binding.namespace, self.binding.name)
        return f"{', '.join(self.users)}: removed from {place} (level {self.binding.level})"


def read_synced(api: KubeApi) -> tuple[BindingState, ...]:
    """Return all synced bindings. Raises KubeIamError."""
    return tuple(each for each in KubeCluster(api).bindings() if each.source is not None)


def remove_users(
    api: KubeApi,
    bindings: Iterable[BindingState],
    chosen: UsersToRemove,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[RemovedUsers, ...]:
    """Remove the users that `chosen` returns from each binding. Return those that were in it when it was read, and are not now.

    `kube-iam sync` may have removed them before. Raises KubeIamError, Conflict where something else wrote first each time.
    """
    found = (_remove(api, each, set(chosen(each)) & set(each.users), sleep) for each in bindings)
    return tuple(each for each in found if each is not None)


def _remove(
    api: KubeApi, binding: BindingState, users: set[str], sleep: Callable[[float], None]
) -> RemovedUsers | None:
    """Remove the users from one binding. Of a binding that was deleted or changed meanwhile the present subjects are taken."""
    if not users:
        return None
    for attempt in range(1, ATTEMPTS + 1):
        try:
            found = _read(api, binding)
            if users & set(binding_state(found).users):
                _write(api, found, binding, users)
        except NotFound:
            pass
        except Conflict:
            sleep(RETRY_BACKOFF.pause(attempt, random()))  # noqa: S311
            continue
        return RemovedUsers(binding, tuple(sorted(users)))
    raise Conflict(f"{binding_text(binding.namespace, binding.name)} was not changed: something else wrote to it first")


def _read(api: KubeApi, binding: BindingState) -> ClusterRoleBinding | RoleBinding:
    from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding

    with api.call(f"read {binding_text(binding.namespace, binding.name)}") as client:
        if binding.namespace:
            return client.get(RoleBinding, binding.name, namespace=binding.namespace)
        return client.get(ClusterRoleBinding, binding.name)


def _write(
    api: KubeApi, found: ClusterRoleBinding | RoleBinding, binding: BindingState, removed: Iterable[str]
) -> None:
    from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding
    from lightkube.types import PatchType

    out = set(removed)
    kept = [each for each in found.subjects or () if not (each.kind == "User" and each.name in out)]
    version = (found.metadata.resourceVersion if found.metadata else None) or ""
    subjects = [
        {key: text for key, text in (("kind", each.kind), ("name", each.name), ("namespace", each.namespace)) if text}
        | ({"apiGroup": RBAC} if each.kind != "ServiceAccount" else {})
        for each in kept
    ]
    patch = {"metadata": {"resourceVersion": version}, "subjects": subjects}
    with api.call(f"change {binding_text(binding.namespace, binding.name)}") as client:
        if binding.namespace:
            client.patch(
                RoleBinding,
                binding.name,
                patch,
                namespace=binding.namespace,
                patch_type=PatchType.MERGE,
                field_manager=FIELD_MANAGER,
            )
        else:
            client.patch(
                ClusterRoleBinding, binding.name, patch, patch_type=PatchType.MERGE, field_manager=FIELD_MANAGER
            )
