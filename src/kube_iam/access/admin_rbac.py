"""RBAC with the least permissions for three jobs: administrators change levels, operators members and the deny list, auditors nothing.

An administrator runs `plan`, `apply` and `destroy`, an operator `grant`, `revoke`, `who`, `deny` and `undeny`, an auditor `who-can`
and `explain`. RBAC allows to bind a role only to callers who have its rights or the verb `bind` on it. The administrator gets that
verb for the roles of the file alone.

kube-apiserver checks no name in a creation (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources).
So an operator creates no ConfigMap: the deny list is part of the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kube_iam.access.desired import desired_bindings
from kube_iam.access.levels import AWS_AUTH, ClusterAccess, TargetKind
from kube_iam.access.ports import BindingState

RBAC = "rbac.authorization.k8s.io"
SYSTEM = "kube-system"
"""The namespace of audit events."""
_OBJECTS = ("iamauthenticator.k8s.aws", "iamidentitymappings")
_MANAGED_BY = "app.kubernetes.io/managed-by"

Manifest = dict[str, object]
Rule = dict[str, object]


def admin_manifests(access: ClusterAccess, group: str, deny_list: str) -> list[Manifest]:
    """Return the objects for `plan`, `apply` and `destroy`, bound to the group. `deny_list` is NAMESPACE/NAME."""
    bindings = [
        rule(RBAC, ("clusterrolebindings", "rolebindings"), ("create", "delete", "get", "list", "patch")),
        rule(RBAC, ("clusterroles", "roles"), ("get",)),
    ]
    cluster_roles = sorted({bind.cluster_role for level in access.levels for bind in level.bind if bind.cluster_role})
    if cluster_roles:
        bindings.append(rule(RBAC, ("clusterroles",), ("bind",), cluster_roles))
    rules: dict[str, list[Rule]] = {}
    if access.mapping.kind is TargetKind.CRD:
        bindings.append(rule(_OBJECTS[0], _OBJECTS[1:], ("create", "delete", "list", "patch")))
    elif access.mapping.kind.is_in_cluster:
        # The plan can create a missing ConfigMap, with --force.
        named = rule("", ("configmaps",), ("get", "patch"), [access.mapping.name])
        rules[access.mapping.namespace] = [named, rule("", ("configmaps",), ("create",))]
    elif access.mapping.kind is TargetKind.ACCESS_ENTRIES:
        # Our entries in aws-auth move to access entries.
        rules[AWS_AUTH.namespace] = [rule("", ("configmaps",), ("get", "patch"), [AWS_AUTH.name])]
    namespace, name = deny_list.split("/")
    rules.setdefault(namespace, []).append(rule("", ("configmaps",), ("get",), [name]))
    for place, roles in _roles_by_namespace(access).items():
        rules.setdefault(place, []).append(rule(RBAC, ("roles",), ("bind",), sorted(roles)))
    return [*_manifests("kube-iam-admin", group, [*bindings, _STATUS_QUERY], _with_events(rules))]


def operator_manifests(access: ClusterAccess, group: str, deny_list: str, *, temporary: bool = False) -> list[Manifest]:
    """Return the objects for `grant`, `revoke`, `who`, `deny` and `undeny`, bound to the group. `deny_list` is NAMESPACE/NAME.

    `temporary` adds the right to change the mapping, which `grant --for` needs.
    """
    rules: dict[str, list[Rule]] = {}
    cluster_rules = [_STATUS_QUERY, _ACCESS_REVIEW]
    if access.mapping.kind is TargetKind.CRD:
        cluster_rules.append(rule(_OBJECTS[0], _OBJECTS[1:], ("list", "patch") if temporary else ("list",)))
    elif access.mapping.kind.is_in_cluster:
        verbs = ("get", "patch") if temporary else ("get",)
        rules[access.mapping.namespace] = [rule("", ("configmaps",), verbs, [access.mapping.name])]
    namespace, name = deny_list.split("/")
    rules.setdefault(namespace, []).append(rule("", ("configmaps",), ("get", "patch"), [name]))
    if access.uses_sync:
        cluster_rules.append(rule(RBAC, ("clusterrolebindings", "rolebindings"), ("list",)))
        cluster_rules += synced_binding_rules(access, "", ("get", "patch"))
        for place in synced_namespaces(access):
            rules.setdefault(place, []).extend(synced_binding_rules(access, place, ("get", "patch")))
    # The addresses of the API servers, each of which is asked whether a denial is in force.
    rules["default"] = [
        *rules.get("default", ()),
        rule("discovery.k8s.io", ("endpointslices",), ("get",), ["kubernetes"]),
    ]
    metadata = {"name": name, "namespace": namespace, "labels": {_MANAGED_BY: "kube-iam"}}
    denied: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    return [denied, *_manifests("kube-iam-operator", group, cluster_rules, _with_events(rules))]


def synced_binding_rules(access: ClusterAccess, namespace: str, verbs: Sequence[str]) -> list[Rule]:
    """Return the rights to write the bindings of synced levels in one namespace, or those of the whole cluster."""
    bindings = [each for each in _synced_bindings(access) if each.namespace == namespace]
    if not bindings:
        return []
    kind = "rolebindings" if namespace else "clusterrolebindings"
    found = [rule(RBAC, (kind,), verbs, sorted({each.name for each in bindings}))]
    for resource, role_kind in (("clusterroles", "ClusterRole"), ("roles", "Role")):
        names = sorted({each.role_name for each in bindings if each.role_kind == role_kind})
        found += [rule(RBAC, (resource,), ("bind",), names)] if names else []
    return found


def synced_namespaces(access: ClusterAccess) -> list[str]:
    """Return the namespaces with bindings of synced levels."""
    return sorted({each.namespace for each in _synced_bindings(access)} - {""})


def _synced_bindings(access: ClusterAccess) -> list[BindingState]:
    return [each for level in access.levels if access.is_synced(level) for each in desired_bindings(access, level)]


def auditor_manifests(access: ClusterAccess, group: str, deny_list: str) -> list[Manifest]:
    """Return the objects for `who-can`, `explain` and `report`, bound to the group. `deny_list` is NAMESPACE/NAME."""
    bindings = ("clusterrolebindings", "clusterroles", "rolebindings", "roles")
    cluster_rules = [rule(RBAC, bindings, ("get", "list"))]
    rules: dict[str, list[Rule]] = {}
    if access.mapping.kind is TargetKind.CRD:
        cluster_rules.append(rule(_OBJECTS[0], _OBJECTS[1:], ("list",)))
    elif access.mapping.kind.is_in_cluster:
        rules[access.mapping.namespace] = [rule("", ("configmaps",), ("get",), [access.mapping.name])]
    namespace, name = deny_list.split("/")
    rules.setdefault(namespace, []).append(rule("", ("configmaps",), ("get",), [name]))
    return [*_manifests("kube-iam-auditor", group, cluster_rules, rules)]


def rule(group: str, resources: Sequence[str], verbs: Sequence[str], names: Sequence[str] = ()) -> Rule:
    """Return one rule of a role."""
    found: Rule = {"apiGroups": [group], "resources": [*resources]}
    return {**found, **({"resourceNames": [*names]} if names else {}), "verbs": [*verbs]}


_STATUS_QUERY = rule("authentication.k8s.io", ("tokenreviews",), ("create",))
"""The server is asked through kube-apiserver, by a TokenReview, what it has loaded."""


_ACCESS_REVIEW = rule("authorization.k8s.io", ("subjectaccessreviews",), ("create",))
"""kube-apiserver is asked whether it refuses a denied or revoked user."""


def _with_events(rules: dict[str, list[Rule]]) -> dict[str, list[Rule]]:
    """Return the rules with that of audit events."""
    return {**rules, SYSTEM: [*rules.get(SYSTEM, ()), rule("", ("events",), ("create",))]}


def _roles_by_namespace(access: ClusterAccess) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for level in access.levels:
        for bind in level.bind:
            for namespace in bind.namespaces if bind.role else ():
                found.setdefault(namespace, set()).add(bind.role)
    return found


def _manifests(
    name: str, group: str, cluster_rules: Sequence[Rule], rules: Mapping[str, Sequence[Rule]]
) -> Iterator[Manifest]:
    yield from _bound("ClusterRole", name, "", group, cluster_rules)
    for namespace in sorted(rules):
        yield from _bound("Role", name, namespace, group, rules[namespace])


def _bound(kind: str, name: str, namespace: str, group: str, rules: Sequence[Rule]) -> Iterator[Manifest]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    head = {"apiVersion": f"{RBAC}/v1"}
    yield {**head, "kind": kind, "metadata": metadata, "rules": [*rules]}
    yield {
        **head,
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group}],
    }
