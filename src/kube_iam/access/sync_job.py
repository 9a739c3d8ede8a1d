"""IAM policy, RBAC and Deployment of `kube-iam sync` for the synced levels of an access file.

The IAM policy covers levels that are added later. RBAC does not: it names the bindings and the roles of the file, since a program that
may write any binding, or bind any role, could give itself all rights.
"""

from __future__ import annotations

from collections.abc import Iterator

from kube_iam.access.admin_rbac import (
    RBAC,
    SYSTEM,
    Manifest,
    Rule,
    rule,
    synced_binding_rules,
    synced_namespaces,
)
from kube_iam.access.levels import ClusterAccess, Level
from kube_iam.access.policy_resources import existing_groups, existing_roles, groups_of_levels, roles_of_levels
from kube_iam.core.server_policy import server_policy

NAME = "kube-iam-sync"
PORT = 21364
_USER_ID = 10000
_LABELS = {"app.kubernetes.io/name": NAME}


def sync_document(access: ClusterAccess) -> dict[str, object]:
    """Return the IAM policy: read the members of the levels' groups and the trust policies of their roles."""
    levels = synced_levels(access)
    own = (level.role_name for level in levels if not level.existing_role)
    groups = [*groups_of_levels(access), *existing_groups(access)]
    roles = [*roles_of_levels(access, own), *existing_roles(access, access.is_synced)]
    return server_policy(groups, roles)


def synced_levels(access: ClusterAccess) -> tuple[Level, ...]:
    """Return the levels whose bindings name their members."""
    return tuple(filter(access.is_synced, access.levels))


def synced_rights(access: ClusterAccess) -> tuple[list[Rule], dict[str, list[Rule]]]:
    """Return the rights to write the bindings of synced levels: those of the whole cluster, and those of each namespace."""
    namespaces = {place: synced_binding_rules(access, place, ("patch",)) for place in synced_namespaces(access)}
    return synced_binding_rules(access, "", ("patch",)), namespaces


def sync_manifests(access: ClusterAccess, deny_list: str, image: str, role_arn: str = "") -> list[Manifest]:
    """Return the objects. `deny_list` is NAMESPACE/NAME, `role_arn` the IAM role of the service account for IRSA."""
    on_cluster, in_namespaces = synced_rights(access)
    cluster_rules: list[Rule] = [rule(RBAC, ("clusterrolebindings", "rolebindings"), ("list", "watch")), *on_cluster]
    namespace, name = deny_list.split("/")
    rules: dict[str, list[Rule]] = {
        SYSTEM: [
            rule("coordination.k8s.io", ("leases",), ("get", "update"), [NAME]),
            rule("coordination.k8s.io", ("leases",), ("create",)),
            rule("", ("events",), ("create",)),
        ]
    }
    rules.setdefault(namespace, []).append(rule("", ("configmaps",), ("get", "list", "watch"), [name]))
    for place, allowed in in_namespaces.items():
        rules.setdefault(place, []).extend(allowed)
    bound = [each for place in rules for each in _bound("Role", place, rules[place])]
    return [
        _account(role_arn),
        *_bound("ClusterRole", "", cluster_rules),
        *bound,
        _deployment(access, deny_list, image),
    ]


def _bound(kind: str, namespace: str, rules: list[Rule]) -> Iterator[Manifest]:
    metadata = {"name": NAME, **({"namespace": namespace} if namespace else {})}
    yield {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": rules}
    yield {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": SYSTEM}],
    }


def _account(role_arn: str) -> Manifest:
    irsa = {"annotations": {"eks.amazonaws.com/role-arn": role_arn}} if role_arn else {}
    metadata = {"name": NAME, "namespace": SYSTEM, **irsa}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def _deployment(access: ClusterAccess, deny_list: str, image: str) -> Manifest:
    """Return the Deployment. Two pods, so that another one goes on at once when a node fails: without any, nobody is removed."""
    container: dict[str, object] = {
        "name": "sync",
        "image": image,
        "command": ["kube-iam"],
        "args": ["sync", "--address=0.0.0.0", f"--deny-list={deny_list}"],
        "env": [{"name": "AWS_REGION", "value": access.region}],
        "ports": [{"name": "health", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "health"}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "health"}, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "10m", "memory": "96Mi"}, "limits": {"memory": "192Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    same_node = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": _LABELS}}
    preferred = [{"weight": 100, "podAffinityTerm": same_node}]
    pod: dict[str, object] = {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "securityContext": {
            "runAsUser": _USER_ID,
            "runAsGroup": _USER_ID,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}},
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": SYSTEM, "labels": _LABELS},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": pod},
        },
    }
