"""The three places where an authenticator reads mapRoles, behind one port: a ConfigMap with the server's config.yaml, the ConfigMap
aws-auth, a config.yaml on disk. How text changes is `map_roles`' business; here it is read, and written back without losing what
someone else wrote in between.
"""

from __future__ import annotations

from pathlib import Path

from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.ports import MappingEntry, MappingStore
from kube_iam.errors import KubeError
from kube_iam.kube.client import KubeApi
from kube_iam.kube.config_map import ConfigMapText
from kube_iam.kube.files import edit_text, read_text
from kube_iam.kube.map_roles import SERVER_MAP_ROLES, WHOLE_DOCUMENT, MapRoles
from kube_iam.kube.yaml_text import quoted

AWS_AUTH = MappingTarget(TargetKind.AWS_AUTH, namespace="kube-system", name="aws-auth", key="mapRoles")
NEW_FILE_MODE = 0o644  # it holds no secret, and the server may run as another user


def make_store(access: ClusterAccess, api: KubeApi | None) -> MappingStore:
    """The store that `access.mapping` names. `api` may be None for a file. Reads nothing yet."""
    target = access.mapping
    first_text = f"clusterID: {quoted(access.cluster_id)}\n"
    if target.kind is TargetKind.FILE:
        return FileStore(Path(target.path), first_text)
    if api is None:
        raise KubeError(f"{target.describe()} is in the cluster, and there is no connection to it")
    if target.kind is TargetKind.AWS_AUTH:
        # EKS reads this one and no other.
        return ConfigMapStore(api, AWS_AUTH, WHOLE_DOCUMENT, "")
    return ConfigMapStore(api, target, SERVER_MAP_ROLES, first_text)


class FileStore(MappingStore):
    """mapRoles in a config.yaml on this machine, replaced atomically; mode and owner stay."""

    def __init__(self, path: Path, first_text: str) -> None:
        self._path = path
        self._first_text = first_text
        self._list = MapRoles(SERVER_MAP_ROLES, str(path))

    def describe(self) -> str:
        """The file's name."""
        return str(self._path)

    def entries(self) -> tuple[MappingEntry, ...]:
        """All entries; none where there is no file. Raises ConfigError where it cannot be read or understood."""
        return self._list.entries(read_text(self._path) or "")

    def put(self, entry: MappingEntry) -> None:
        """Add the entry or change the role's one in place; a missing file is created."""
        edit_text(self._path, lambda text: self._list.put(_text_or(text, self._first_text), entry), NEW_FILE_MODE)

    def remove(self, role_arn: str) -> None:
        """Remove the role's entries; a missing file stays missing."""
        edit_text(self._path, lambda text: None if text is None else self._list.remove(text, role_arn))


class ConfigMapStore(MappingStore):
    """mapRoles in one key of a ConfigMap."""

    def __init__(self, api: KubeApi, target: MappingTarget, path: tuple[str, ...], first_text: str) -> None:
        self._text = ConfigMapText(api, target)
        self._first_text = first_text
        self._list = MapRoles(path, target.describe(), target.key)

    def describe(self) -> str:
        """The ConfigMap, as a person would name it."""
        return self._text.describe()

    def entries(self) -> tuple[MappingEntry, ...]:
        """All entries; none where there is no ConfigMap or key. Raises ConfigError where its text cannot be understood."""
        return self._list.entries(self._text.read() or "")

    def put(self, entry: MappingEntry) -> None:
        """Add the entry or change the role's one in place; a missing ConfigMap is created."""
        self._text.edit(lambda text: self._list.put(_text_or(text, self._first_text), entry))

    def remove(self, role_arn: str) -> None:
        """Remove the role's entries; a missing ConfigMap or key stays missing."""
        self._text.edit(lambda text: None if text is None else self._list.remove(text, role_arn))


def _text_or(text: str | None, first_text: str) -> str:
    return text if text and text.strip() else first_text
