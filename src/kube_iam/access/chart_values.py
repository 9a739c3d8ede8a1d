"""Values of the Helm chart in deploy/chart for an access file."""

from __future__ import annotations

from kube_iam.access.admin_rbac import SYSTEM
from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.sync_job import synced_levels, synced_rights
from kube_iam.errors import UsageError

_BACKENDS = {TargetKind.CRD: "CRD", TargetKind.AWS_AUTH: "EKSConfigMap"}

Values = dict[str, object]


def chart_values(access: ClusterAccess, deny_list: str, *, server: bool = True) -> Values:
    """Return the values in the order of the chart's own. `deny_list` is NAMESPACE/NAME.

    Without `server` they are those of the sync alone, as with `mapping: {accessEntries: {}}`, which only EKS's own server reads.
    Raises UsageError where the chart has nothing to run, or cannot give the server the mapping.
    """
    synced = synced_levels(access)
    server = server and access.mapping.kind is not TargetKind.ACCESS_ENTRIES
    if not server and not synced:
        raise UsageError(
            f"{access.source} needs no chart: another server reads its mapping, and no level has membershipCheck: rbac",
            "docs/sync.md says what it is for",
        )
    values: Values = {"region": access.region}
    values["server"] = {"config": _config(access, deny_list)} if server else {"enabled": False}
    if synced:
        cluster, namespaces = synced_rights(access)
        rules: Values = {"cluster": cluster} if cluster else {}
        rules |= {"namespaces": namespaces} if namespaces else {}
        values["sync"] = {"enabled": True, "denyList": deny_list, "rules": rules}
    return values


def _config(access: ClusterAccess, deny_list: str) -> Values:
    """Return the place of the server's configuration, or its content where it holds no mapping of kube-iam."""
    target = access.mapping
    if target.kind is TargetKind.CONFIG_FILE:
        default = MappingTarget(TargetKind.CONFIG_FILE)
        if (target.namespace, target.key) != (SYSTEM, default.key):
            place = f"key {target.key} of ConfigMap {target.namespace}/{target.name}"
            raise UsageError(
                f"the chart's server cannot read {place}: its pods mount {default.key} of a ConfigMap in {SYSTEM}",
                "change mapping.configFile",
            )
        return {"create": False, "name": target.name}
    if target.kind is TargetKind.FILE:
        raise UsageError(
            f"the chart's server cannot read {target.path}, a file of this machine (mapping.file)",
            "with the chart use mapping: {crd: {}}",
        )
    settings = {"backendMode": [_BACKENDS[target.kind]], "denyList": deny_list}
    return {"clusterID": access.cluster_id, "server": settings}
