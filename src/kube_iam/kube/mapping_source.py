"""State of the text that holds the mappings: whether a server can read it, and which cluster ID it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingSource
from kube_iam.errors import KubeError
from kube_iam.kube.client import KubeApi
from kube_iam.kube.config_map import ConfigMapEditor
from kube_iam.kube.files import read_text
from kube_iam.kube.yaml.tree import parse_tree


def make_source(access: ClusterAccess, api: KubeApi | None) -> Callable[[], MappingSource]:
    """Return a function that reads the source which `access.mapping` names. `api` may be None for a file."""
    return lambda: read_source(access.mapping, api)


def read_source(target: MappingTarget, api: KubeApi | None) -> MappingSource:
    """Read the source. Raises ConfigError where it is no YAML, KubeError where it cannot be read."""
    if target.kind is TargetKind.FILE:
        text = read_text(Path(target.path))
        return MappingSource(missing=f"there is no file {target.path}") if text is None else _of_text(text, target)
    if target.kind is TargetKind.ACCESS_ENTRIES:
        return MappingSource()
    if api is None:
        raise KubeError(f"{target.describe()} is in the cluster, and there is no connection to it")
    if target.kind is TargetKind.CRD:
        return MappingSource()  # objects name no cluster id, and a missing CustomResourceDefinition fails the dry run
    contents = ConfigMapEditor(api, target.namespace, target.name).read()
    if not contents.version:
        return MappingSource(missing=f"there is no {target.describe()}")
    # Both keys of aws-auth are optional, and it names no cluster.
    return (
        MappingSource() if target.kind is TargetKind.AWS_AUTH else _of_text(contents.data.get(target.key, ""), target)
    )


def _of_text(text: str, target: MappingTarget) -> MappingSource:
    root = parse_tree(text, target.describe(), target.key)
    if root is None:
        empty = f"key {target.key} of {target.describe()}" if target.key else target.describe()
        return MappingSource(missing=f"{empty} is empty or missing")
    named = root.get("clusterID")
    return MappingSource(cluster_id=named.value if named is not None and named.kind == "scalar" else "")
