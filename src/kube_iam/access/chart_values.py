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
    values["server"] = {"config": server_config(access, deny_list)} if server else {"enabled": False}
    if synced:
        cluster, namespaces = synced_rights(access)
        rules: Values = {"cluster": cluster} if cluster else {}
        rules |= {"namespaces": namespaces} if namespaces else {}
        values["sync"] = {"enabled": True, "denyList": deny_list, "rules": rules}
    return values


def server_config(access: ClusterAccess, deny_list: str) -> Values:
    """Return the content of the server's config.yaml, or `create: False` and the name of the ConfigMap to which `apply` writes.

    Raises UsageError for a mapping that no server in a pod can read.
    """
    target = access.mapping
    if target.kind is TargetKind.CONFIG_FILE:
        default = MappingTarget(TargetKind.CONFIG_FILE)
        if (target.namespace, target.key) != (SYSTEM, default.key):
            place = f"key {target.key} of ConfigMap {target.namespace}/{target.name}"
            raise UsageError(
                f"a server in a pod cannot read {place}: it mounts {default.key} of a ConfigMap in {SYSTEM}",
                "change mapping.configFile",
            )
        return {"create": False, "name": target.name}
    if target.kind is TargetKind.FILE:
        raise UsageError(
            f"a server in a pod cannot read {target.path}, a file of this machine (mapping.file)",
            "use mapping: {crd: {}}",
        )
    if target.kind not in _BACKENDS:
        raise UsageError(f"kube-iam's server cannot read {target.describe()}", "EKS's own server does")
    settings = {"backendMode": [_BACKENDS[target.kind]], "denyList": deny_list}
    return {"clusterID": access.cluster_id, "server": settings}
