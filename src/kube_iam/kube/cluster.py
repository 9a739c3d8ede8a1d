"""RBAC bindings and the caller's identity at the Kubernetes API.

Bindings with our label are ours: they may be forced, replaced and deleted. Others are never deleted, and never overwritten if
another field manager wrote something different.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kube_iam.access.ports import BindingState, Cluster, Subject
from kube_iam.core.rbac import binding_text
from kube_iam.errors import NotFound, NotOwned
from kube_iam.kube.client import FIELD_MANAGER, KubeApi
from kube_iam.kube.labels import CLUSTER, LEVEL, MANAGED_BY, OWNER
from kube_iam.kube.member_source import read_source, source_annotations

if TYPE_CHECKING:
    from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding

RBAC = "rbac.authorization.k8s.io"
_REPLACEMENT = ":replacement"


class KubeCluster(Cluster):
    """The cluster of one kubeconfig context."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def whoami(self) -> Subject:
        """Return the user that these calls run as. Raises what `KubeApi.whoami` raises."""
        return self._api.whoami()

    def bindings(self) -> tuple[BindingState, ...]:
        """Return all bindings with our label, cluster-wide ones first, sorted by namespace and name."""
        from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding

        ours: dict[str, Any] = {MANAGED_BY: OWNER}
        with self._api.call("list RBAC bindings") as client:
            found: list[ClusterRoleBinding | RoleBinding] = [*client.list(ClusterRoleBinding, labels=ours)]
            found += client.list(RoleBinding, namespace="*", labels=ours)
        return tuple(sorted((binding_state(binding) for binding in found), key=lambda state: state.ident))

    def binding(self, namespace: str, name: str) -> BindingState | None:
        """Return one binding, ours or not, or None."""
        found = self._get(namespace, name)
        return None if found is None else binding_state(found)

    def role_exists(self, kind: str, namespace: str, name: str) -> bool:
        """Return whether the ClusterRole, or the Role of that namespace, exists."""
        from lightkube.resources.rbac_authorization_v1 import ClusterRole, Role

        try:
            with self._api.call(f"read {kind} {name}") as client:
                if kind == "ClusterRole":
                    client.get(ClusterRole, name)
                else:
                    client.get(Role, name, namespace=namespace)
        except NotFound:
            return False
        return True

    def apply_binding(self, binding: BindingState) -> None:
        """Apply the binding server-side. One of ours with another roleRef is replaced, since roleRef is immutable.

        Raises NotOwned if that one is not ours, Conflict if another manager set other subjects or labels on one not ours.
        """
        present = self._get(binding.namespace, binding.name)
        ours = present is not None and _is_ours(present)
        if present is None or _role(present) == (binding.role_kind, binding.role_name):
            self._apply(binding, force=ours)
        elif ours:
            self._replace(binding)
        else:
            kind, name = _role(present)
            raise NotOwned(
                f"{binding_text(binding.namespace, binding.name)} exists, is not kube-iam's, and binds {kind} {name}",
                "delete it by hand or choose another name for the level",
            )

    def _replace(self, binding: BindingState) -> None:
        """Replace a binding of ours by one with another roleRef. A binding of another name has the new grant in the meantime.

        So an API server that refuses the new grant has not lost the old one. A later plan deletes what a stopped run leaves.
        """
        other = replace(binding, name=binding.name + _REPLACEMENT)
        self._apply(other, force=True)
        self._delete(binding.namespace, binding.name)
        if not self._api.dry_run:  # in a dry run the old binding is still there, and its roleRef stays immutable
            self._apply(binding, force=True)
        self._delete(other.namespace, other.name)

    def _apply(self, binding: BindingState, *, force: bool) -> None:
        try:
            with self._api.call(f"apply {binding_text(binding.namespace, binding.name)}") as client:
                client.apply(_manifest(binding), field_manager=FIELD_MANAGER, force=force)
        except NotFound as error:
            if f'namespaces "{binding.namespace}"' in error.message:
                hint = f"create the namespace, or correct `namespaces` of level {binding.level}"
                raise NotFound(f"there is no namespace {binding.namespace}", hint) from error
            # RBAC looks the role up when the caller has no right to bind whatever role there is.
            hint = f"create {binding.role_kind} {binding.role_name} first, or correct `bind` of level {binding.level}"
            raise NotFound(error.message, hint) from error

    def namespace_exists(self, name: str) -> bool:
        """Return whether there is a namespace of that name."""
        from lightkube.resources.core_v1 import Namespace

        try:
            with self._api.call(f"read namespace {name}") as client:
                client.get(Namespace, name)
        except NotFound:
            return False
        return True

    def delete_binding(self, namespace: str, name: str) -> None:
        """Delete the binding. Raises NotOwned if it does not have our label."""
        present = self._get(namespace, name)
        if present is None:
            return
        if not _is_ours(present):
            raise NotOwned(f"{binding_text(namespace, name)} is not kube-iam's", "delete it by hand")
        self._delete(namespace, name)

    def _get(self, namespace: str, name: str) -> ClusterRoleBinding | RoleBinding | None:
        from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding

        try:
            with self._api.call(f"read {binding_text(namespace, name)}") as client:
                if namespace:
                    return client.get(RoleBinding, name, namespace=namespace)
                return client.get(ClusterRoleBinding, name)
        except NotFound:
            return None

    def _delete(self, namespace: str, name: str) -> None:
        from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding

        try:
            with self._api.call(f"delete {binding_text(namespace, name)}") as client:
                if namespace:
                    client.delete(RoleBinding, name, namespace=namespace)
                else:
                    client.delete(ClusterRoleBinding, name)
        except NotFound:
            return


def _manifest(binding: BindingState) -> ClusterRoleBinding | RoleBinding:
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.models.rbac_v1 import RoleRef
    from lightkube.models.rbac_v1 import Subject as RbacSubject
    from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding

    metadata = ObjectMeta(
        name=binding.name,
        namespace=binding.namespace or None,
        labels={MANAGED_BY: OWNER, CLUSTER: binding.cluster, LEVEL: binding.level},
        annotations=source_annotations(binding.source) if binding.source is not None else None,
    )
    role = RoleRef(apiGroup=RBAC, kind=binding.role_kind, name=binding.role_name)
    subjects = [RbacSubject(kind="Group", name=group, apiGroup=RBAC) for group in binding.groups]
    subjects += [RbacSubject(kind="User", name=name, apiGroup=RBAC) for name in binding.users]
    if binding.namespace:
        return RoleBinding(metadata=metadata, roleRef=role, subjects=subjects)
    return ClusterRoleBinding(metadata=metadata, roleRef=role, subjects=subjects)


def binding_state(found: ClusterRoleBinding | RoleBinding) -> BindingState:
    """Return a binding as the plan sees it. Only one of ours has a level, a cluster and a source."""
    metadata = found.metadata
    labels = (metadata.labels if metadata else None) or {}
    ours = labels.get(MANAGED_BY) == OWNER
    kind, role = _role(found)
    source = read_source((metadata.annotations if metadata else None) or {}) if ours else None
    subjects = found.subjects or ()
    named = [each for each in subjects if source is not None and each.kind == "User"]
    return BindingState(
        name=(metadata.name if metadata else None) or "",
        namespace=(metadata.namespace if metadata else None) or "",
        role_kind=kind,
        role_name=role,
        groups=tuple(_subject(each) for each in subjects if each not in named),
        level=labels.get(LEVEL, "") if ours else "",
        cluster=labels.get(CLUSTER, "") if ours else "",
        users=tuple(each.name for each in named),
        source=source,
    )


def _subject(subject: Any) -> str:
    """Return a group by its name. Any other subject gets a text that differs from every group of a level."""
    if subject.kind == "Group":
        return str(subject.name)
    where = f"{subject.namespace}/" if subject.namespace else ""
    return f"{subject.kind}:{where}{subject.name}"


def _is_ours(found: ClusterRoleBinding | RoleBinding) -> bool:
    labels = (found.metadata.labels if found.metadata else None) or {}
    return labels.get(MANAGED_BY) == OWNER


def _role(found: ClusterRoleBinding | RoleBinding) -> tuple[str, str]:
    return found.roleRef.kind, found.roleRef.name
