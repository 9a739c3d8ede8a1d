"""Roles, bindings and names of resources at the Kubernetes API, for `who-can`, `explain` and `report`. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kube_iam.core.rbac import SERVICE_ACCOUNT, Rbac, RbacBinding, RbacSubject, RoleKey, Rule
from kube_iam.errors import KubeIamError
from kube_iam.kube.client import KubeApi, get_json

_CORE = "api/v1"
EVERY_NAMESPACE = "*"
"""Given to `read` for the roles and bindings of all namespaces, as lightkube spells it."""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A resource that the API server serves: its plural name, its API group, and the names of its subresources."""

    name: str
    group: str
    is_namespaced: bool
    subresources: frozenset[str] = frozenset()


class KubeRbac:
    """RBAC and discovery of the cluster of one kubeconfig context."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def read(self, namespace: str) -> Rbac:
        """Return the roles and bindings that count in a namespace; empty: those of the whole cluster alone.

        EVERY_NAMESPACE stands for those of all namespaces.

        Raises nothing for a kind that cannot be listed: it is in `unread`.
        """
        from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding

        unread: list[str] = []
        roles = [*self._listed(unread, ClusterRole), *(self._listed(unread, Role, namespace) if namespace else ())]
        bindings = [
            *self._listed(unread, ClusterRoleBinding),
            *(self._listed(unread, RoleBinding, namespace) if namespace else ()),
        ]
        return Rbac(dict(map(_role, roles)), tuple(map(_binding, bindings)), tuple(unread))

    def read_bindings(self) -> Rbac:
        """Return the bindings of the whole cluster and of all namespaces, without roles. Raises nothing, as `read`."""
        from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding

        unread: list[str] = []
        bindings = [*self._listed(unread, ClusterRoleBinding), *self._listed(unread, RoleBinding, EVERY_NAMESPACE)]
        return Rbac({}, tuple(map(_binding, bindings)), tuple(unread))

    def _listed(self, unread: list[str], kind: type[Any], namespace: str = "") -> Iterable[Any]:
        """Return the objects of a kind; none where they cannot be listed, which is added to `unread`. EVERY_NAMESPACE means all."""
        where = {"": "", EVERY_NAMESPACE: " in all namespaces"}.get(namespace, f" in namespace {namespace}")
        try:
            with self._api.call(f"list {kind.__name__}s{where}") as client:
                return list(client.list(kind, namespace=namespace) if namespace else client.list(kind))
        except KubeIamError as error:
            unread.append(str(error))
            return ()

    def default_namespace(self) -> str:
        """Return the namespace of the context, as kubectl takes it."""
        return self._api.context.namespace or "default"

    def resource_type(self, word: str) -> ResourceType | None:
        """Return the resource that a word means to kubectl: plural, singular or short name, also with `.GROUP`; None for no resource.

        Raises KubeIamError where the API server does not tell.
        """
        name, _, group = word.partition(".")
        for found, names in self._resources(group if "." in word else None):
            if name in names:
                return found
        return None

    def _resources(self, group: str | None) -> Iterator[tuple[ResourceType, frozenset[str]]]:
        """Yield resources and the words for them, those of the core group first; with `group` those of that group alone."""
        if not group:
            yield from _types(self._get(_CORE), "")
        for each in self._get("apis").get("groups", ()) if group != "" else ():
            if group is None or group in (each["name"], f"{each['preferredVersion']['version']}.{each['name']}"):
                yield from _types(self._get(f"apis/{each['preferredVersion']['groupVersion']}"), each["name"])

    def _get(self, path: str) -> dict[str, Any]:
        with self._api.call("list the resources of the API server") as client:
            return get_json(client, path)


def _types(found: dict[str, Any], group: str) -> Iterator[tuple[ResourceType, frozenset[str]]]:
    resources = [each for each in found.get("resources", ()) if isinstance(each, dict)]
    parts = [str(each["name"]).split("/", 1) for each in resources]
    for each in resources:
        name = str(each["name"])
        if "/" in name:
            continue
        words = {name, str(each.get("singularName") or ""), str(each.get("kind") or "").lower()}
        below = frozenset(part[1] for part in parts if len(part) == 2 and part[0] == name)
        yield (
            ResourceType(name, group, bool(each.get("namespaced")), below),
            frozenset(words | set(each.get("shortNames") or ())) - {""},
        )


def _role(found: Any) -> tuple[RoleKey, tuple[Rule, ...]]:
    namespace = found.metadata.namespace or ""
    rules = tuple(
        Rule(
            tuple(rule.verbs or ()),
            tuple(rule.apiGroups or ()),
            tuple(rule.resources or ()),
            tuple(rule.resourceNames or ()),
            tuple(rule.nonResourceURLs or ()),
        )
        for rule in found.rules or ()
    )
    return RoleKey("Role" if namespace else "ClusterRole", found.metadata.name, namespace), rules


def _binding(found: Any) -> RbacBinding:
    namespace = found.metadata.namespace or ""
    reference = found.roleRef
    role = RoleKey(reference.kind, reference.name, namespace if reference.kind == "Role" else "")
    subjects = tuple(
        RbacSubject(each.kind, each.name, (each.namespace or namespace) if each.kind == SERVICE_ACCOUNT else "")
        for each in found.subjects or ()
    )
    return RbacBinding(found.metadata.name, role, subjects, namespace)
