"""A FAKE of one controller of kube-controller-manager, which the sandbox does not run: it fills aggregated ClusterRoles, once.

`admin`, `edit` and `view` have no rules of their own. Their rules are those of the ClusterRoles that carry their labels.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from typing import Any

from kube_iam.errors import SandboxError
from kube_iam.sandbox.api_server import ApiServer

CLUSTER_ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
Role = dict[str, Any]


def fill_aggregated_roles(api: ApiServer) -> None:
    """Write the rules of every aggregated ClusterRole. Raises SandboxError."""
    status, found = api.call("GET", CLUSTER_ROLES)
    if status != 200:
        raise SandboxError(f"the API server refused to list ClusterRoles ({status})")
    roles: list[Role] = found["items"]
    # view is part of edit, which is part of admin: each pass fills one more step.
    for _ in roles:
        sums = {_name(role): summed(role, roles) for role in roles if role.get("aggregationRule")}
        changed = [role for role in roles if _name(role) in sums and (role.get("rules") or []) != sums[_name(role)]]
        if not changed:
            return
        for role in changed:
            role["rules"] = sums[_name(role)]
            status, answer = api.call("PUT", f"{CLUSTER_ROLES}/{_name(role)}", role)
            if status != 200:
                raise SandboxError(f"the API server refused to fill the ClusterRole {_name(role)} ({status})")
            role["metadata"] = answer["metadata"]


def summed(role: Role, roles: list[Role]) -> list[Any]:
    """Return the rules of all other roles that this role's aggregation selects, each rule once."""
    selectors = [each.get("matchLabels", {}) for each in role["aggregationRule"].get("clusterRoleSelectors", [])]
    rules: list[Any] = []
    for other in roles:
        labels = other["metadata"].get("labels", {})
        selected = any(selector and selector.items() <= labels.items() for selector in selectors)
        if other is not role and selected:
            rules += [rule for rule in other.get("rules") or [] if rule not in rules]
    return rules


def _name(role: Role) -> str:
    return str(role["metadata"]["name"])
