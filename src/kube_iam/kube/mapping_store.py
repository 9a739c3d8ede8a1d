"""The three places where an authenticator reads mapRoles, behind one port: a ConfigMap with the server's config.yaml, the ConfigMap
aws-auth, a config.yaml on disk. How text changes is `map_roles`' business; here it is read, and written back without losing what
someone else wrote in between.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.ports import MappingEntry, MappingStore
from kube_iam.errors import ConfigError, Conflict, KubeError, NotFound, Problem
from kube_iam.kube.client import FIELD_MANAGER, KubeApi
from kube_iam.kube.files import edit_text, read_text
from kube_iam.kube.labels import MANAGED_BY, OWNER
from kube_iam.kube.map_roles import SERVER_MAP_ROLES, WHOLE_DOCUMENT, MapRoles
from kube_iam.kube.yaml_text import quoted

ATTEMPTS = 40
LONGEST_PAUSE = 2.0  # seconds
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
    """mapRoles in one key of a ConfigMap. Every write names the resourceVersion it was made from, so none is lost."""

    def __init__(
        self,
        api: KubeApi,
        target: MappingTarget,
        path: tuple[str, ...],
        first_text: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._target = target
        self._first_text = first_text
        self._list = MapRoles(path, target.describe(), target.key)
        self._sleep = sleep

    def describe(self) -> str:
        """The ConfigMap, as a person would name it."""
        return self._target.describe()

    def entries(self) -> tuple[MappingEntry, ...]:
        """All entries; none where there is no ConfigMap or key. Raises ConfigError where its text cannot be understood."""
        text, _ = self._read()
        return self._list.entries(text or "")

    def put(self, entry: MappingEntry) -> None:
        """Add the entry or change the role's one in place; a missing ConfigMap is created."""
        self._edit(lambda text: self._list.put(_text_or(text, self._first_text), entry))

    def remove(self, role_arn: str) -> None:
        """Remove the role's entries; a missing ConfigMap or key stays missing."""
        self._edit(lambda text: None if text is None else self._list.remove(text, role_arn))

    def _edit(self, change: Callable[[str | None], str | None]) -> None:
        """Read, change, write; from the start again when someone else wrote first. Raises Conflict when that never ends."""
        for attempt in range(ATTEMPTS):
            text, version = self._read()
            new = change(text)
            if new is None or new == text:
                return None
            try:
                return self._write(new, version)
            except (Conflict, NotFound) as error:
                # Someone wrote, created or deleted it since it was read; but a create that finds nothing lacks its namespace.
                if isinstance(error, NotFound) and not version:
                    raise
                self._sleep(random.uniform(0, min(LONGEST_PAUSE, 0.01 * 2**attempt)))  # noqa: S311
        raise Conflict(
            f"{self.describe()} keeps changing while it is edited", "find out what else writes it, then repeat"
        )

    def _read(self) -> tuple[str | None, str]:
        """The key's text (None: no such key) and the resourceVersion (empty: no such ConfigMap)."""
        from lightkube.resources.core_v1 import ConfigMap

        target = self._target
        try:
            with self._api.call(f"read {self.describe()}") as client:
                found = client.get(ConfigMap, target.name, namespace=target.namespace)
        except NotFound:
            return None, ""
        if target.key in (found.binaryData or {}):
            raise ConfigError(self.describe(), [Problem(target.key, "is binary data, not text")])
        metadata = found.metadata
        version = (metadata.resourceVersion if metadata else None) or ""
        return (found.data or {}).get(target.key), version

    def _write(self, text: str, version: str) -> None:
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import ConfigMap
        from lightkube.types import PatchType

        target, data = self._target, {self._target.key: text}
        if not version:
            metadata = ObjectMeta(name=target.name, namespace=target.namespace, labels={MANAGED_BY: OWNER})
            with self._api.call(f"create {self.describe()}") as client:
                client.create(ConfigMap(metadata=metadata, data=data), field_manager=FIELD_MANAGER)
            return
        # A merge patch leaves the other keys alone; its resourceVersion makes a stale one fail with 409.
        patch = {"metadata": {"resourceVersion": version}, "data": data}
        with self._api.call(f"change {self.describe()}") as client:
            client.patch(
                ConfigMap,
                target.name,
                patch,
                namespace=target.namespace,
                patch_type=PatchType.MERGE,
                field_manager=FIELD_MANAGER,
            )


def _text_or(text: str | None, first_text: str) -> str:
    return text if text and text.strip() else first_text
