"""Edits of synced bindings by the commands, beside `kube-iam sync`: their users, at once, and the grants of temporary access."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import random
from typing import TYPE_CHECKING, Any

from kube_iam.access.ports import BindingState
from kube_iam.access.synced_grants import GrantBindings, Grants
from kube_iam.core.rbac import binding_text
from kube_iam.errors import Conflict, NotFound
from kube_iam.kube.client import FIELD_MANAGER, KubeApi
from kube_iam.kube.cluster import RBAC, KubeCluster, binding_state
from kube_iam.kube.config_map import ATTEMPTS, RETRY_BACKOFF
from kube_iam.kube.member_source import grants_annotation

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


class KubeGrantBindings(GrantBindings):
    """The synced bindings of the cluster of one kubeconfig context."""

    def __init__(self, api: KubeApi, sleep: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._sleep = sleep

    def read(self) -> tuple[BindingState, ...]:
        """Return all bindings that have a source. Raises KubeIamError."""
        return read_synced(self._api)

    def change_grants(self, binding: BindingState, change: Callable[[Grants], Grants]) -> None:
        """Replace the grants of a binding. Raises KubeIamError, Conflict where something else wrote first each time."""

        def change_annotation() -> None:
            found = _read(self._api, binding)
            source = binding_state(found).source
            present = source.temporary if source is not None else ()
            wanted = change(present)
            if wanted != present:
                _patch(self._api, found, binding, {"metadata": {"annotations": grants_annotation(wanted)}})

        _edit(binding, change_annotation, self._sleep)


def _remove(
    api: KubeApi, binding: BindingState, users: set[str], sleep: Callable[[float], None]
) -> RemovedUsers | None:
    """Remove the users from one binding. Of a binding that was deleted or changed meanwhile the present subjects are taken."""
    if not users:
        return None

    def remove_users_of_now() -> None:
        found = _read(api, binding)
        if users & set(binding_state(found).users):
            _patch(api, found, binding, {"subjects": _without_users(found, users)})

    _edit(binding, remove_users_of_now, sleep)
    return RemovedUsers(binding, tuple(sorted(users)))


def _edit(binding: BindingState, edit: Callable[[], None], sleep: Callable[[float], None]) -> None:
    """Make an edit. Repeat it where somebody else wrote in between. A binding that is gone needs none. Raises KubeIamError."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            edit()
        except NotFound:
            return
        except Conflict:
            sleep(RETRY_BACKOFF.pause(attempt, random()))  # noqa: S311
        else:
            return
    raise Conflict(f"{binding_text(binding.namespace, binding.name)} was not changed: something else wrote to it first")


def _read(api: KubeApi, binding: BindingState) -> ClusterRoleBinding | RoleBinding:
    from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding

    with api.call(f"read {binding_text(binding.namespace, binding.name)}") as client:
        if binding.namespace:
            return client.get(RoleBinding, binding.name, namespace=binding.namespace)
        return client.get(ClusterRoleBinding, binding.name)


def _without_users(found: ClusterRoleBinding | RoleBinding, removed: Iterable[str]) -> list[dict[str, str]]:
    out = set(removed)
    kept = [each for each in found.subjects or () if not (each.kind == "User" and each.name in out)]
    return [
        {key: text for key, text in (("kind", each.kind), ("name", each.name), ("namespace", each.namespace)) if text}
        | ({"apiGroup": RBAC} if each.kind != "ServiceAccount" else {})
        for each in kept
    ]


def _patch(api: KubeApi, found: ClusterRoleBinding | RoleBinding, binding: BindingState, patch: dict[str, Any]) -> None:
    """Merge the patch into the version of the binding that was found."""
    from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding
    from lightkube.types import PatchType

    version = (found.metadata.resourceVersion if found.metadata else None) or ""
    body = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": version}}
    with api.call(f"change {binding_text(binding.namespace, binding.name)}") as client:
        if binding.namespace:
            client.patch(
                RoleBinding,
                binding.name,
                body,
                namespace=binding.namespace,
                patch_type=PatchType.MERGE,
                field_manager=FIELD_MANAGER,
            )
        else:
            client.patch(
                ClusterRoleBinding, binding.name, body, patch_type=PatchType.MERGE, field_manager=FIELD_MANAGER
            )
