"""The text in one key of a ConfigMap, edited without losing what someone else wrote in between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from kube_iam.access.levels import MappingTarget
from kube_iam.errors import ConfigError, Conflict, NotFound, Problem
from kube_iam.kube.client import FIELD_MANAGER, KubeApi
from kube_iam.kube.labels import MANAGED_BY, OWNER

ATTEMPTS = 40
LONGEST_PAUSE = 2.0  # seconds


class ConfigMapText:
    """One key of one ConfigMap. Every write names the resourceVersion it was made from, so none is lost."""

    def __init__(self, api: KubeApi, target: MappingTarget, sleep: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._target = target
        self._sleep = sleep

    def describe(self) -> str:
        """The ConfigMap, as a person would name it."""
        return self._target.describe()

    def read(self) -> str | None:
        """The key's text, None where there is no ConfigMap or no such key in it."""
        return self._read()[0]

    def edit(self, change: Callable[[str | None], str | None], *, create: bool = True) -> None:
        """Read, change, write; from the start again when someone else wrote first. An answer of None: leave it.

        A missing ConfigMap is created, or, without `create`, raises NotFound. Raises Conflict when the edit never gets through.
        """
        for attempt in range(ATTEMPTS):
            text, version = self._read()
            if not (version or create):
                raise NotFound(f"there is no {self.describe()} in this cluster", "is this the right --context?")
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
