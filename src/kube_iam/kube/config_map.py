"""Edits of ConfigMaps under optimistic concurrency. After a conflict the edit is computed again from the new content."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kube_iam.access.levels import MappingTarget
from kube_iam.core.backoff import ExponentialBackoff
from kube_iam.errors import ConfigError, Conflict, NotFound, Problem
from kube_iam.kube.client import FIELD_MANAGER, KubeApi
from kube_iam.kube.labels import MANAGED_BY, OWNER

ATTEMPTS = 40
RETRY_BACKOFF = ExponentialBackoff(first=0.01, longest=2.0, jitter=1.0)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Contents:
    """Content of a ConfigMap. `binary` are the keys of binaryData. `version` is empty without such a ConfigMap."""

    data: Mapping[str, str] = field(default_factory=dict)
    binary: frozenset[str] = frozenset()
    version: str = ""


@dataclass(frozen=True, slots=True)
class Edit(Generic[Result]):
    """The keys to write, and the result for the caller after the write. None deletes a key. Without keys nothing is written."""

    data: Mapping[str, str | None]
    result: Result


class ConfigMapEditor:
    """One ConfigMap. Every write names the resourceVersion that it was computed from, so that no other write is lost."""

    def __init__(self, api: KubeApi, namespace: str, name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._sleep = sleep

    def describe(self) -> str:
        """Return the ConfigMap as messages name it."""
        return f"ConfigMap {self._namespace}/{self._name}"

    def read(self) -> Contents:
        """Return the present content, empty for a missing ConfigMap. Raises KubeIamError where it cannot be read."""
        from lightkube.resources.core_v1 import ConfigMap

        try:
            with self._api.call(f"read {self.describe()}") as client:
                found = client.get(ConfigMap, self._name, namespace=self._namespace)
        except NotFound:
            return Contents()
        version = (found.metadata.resourceVersion if found.metadata else None) or ""
        return Contents(dict(found.data or {}), frozenset(found.binaryData or ()), version)

    def edit(self, change: Callable[[Contents], Edit[Result]]) -> Result:
        """Read, compute the change and write it. Start again when another program wrote in between.

        Return the result of the written change. A missing ConfigMap is created. Raises what `change` raises, and Conflict after 40
        attempts at which another write came first: then nothing was written.
        """
        for attempt in range(1, ATTEMPTS + 1):
            contents = self.read()
            edit = change(contents)
            if not edit.data:
                return edit.result
            try:
                self._write(edit.data, contents.version)
            except (Conflict, NotFound) as error:
                # Another program wrote, created or deleted it since it was read. NotFound at a creation means a missing namespace.
                if isinstance(error, NotFound) and not contents.version:
                    raise
                self._sleep(RETRY_BACKOFF.pause(attempt, random.random()))  # noqa: S311
            else:
                return edit.result
        raise Conflict(
            f"{self.describe()} was not changed: something else wrote to it first, {ATTEMPTS} times in a row",
            "find out what else writes to it, then repeat the command",
        )

    def _write(self, data: Mapping[str, str | None], version: str) -> None:
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import ConfigMap
        from lightkube.types import PatchType

        if not version:
            metadata = ObjectMeta(name=self._name, namespace=self._namespace, labels={MANAGED_BY: OWNER})
            texts = {key: text for key, text in data.items() if text is not None}
            with self._api.call(f"create {self.describe()}") as client:
                client.create(ConfigMap(metadata=metadata, data=texts), field_manager=FIELD_MANAGER)
            return
        # A merge patch keeps the other keys. With its resourceVersion a stale patch fails with 409.
        patch = {"metadata": {"resourceVersion": version}, "data": dict(data)}
        with self._api.call(f"change {self.describe()}") as client:
            client.patch(
                ConfigMap,
                self._name,
                patch,
                namespace=self._namespace,
                patch_type=PatchType.MERGE,
                field_manager=FIELD_MANAGER,
            )


class ConfigMapText:
    """The text in one key of a ConfigMap."""

    def __init__(
        self,
        api: KubeApi,
        target: MappingTarget,
        sleep: Callable[[float], None] = time.sleep,
        missing: str | None = None,
    ) -> None:
        """Name the text. `missing` is a text that stands for no key: an edit that returns it deletes the key."""
        self._editor = ConfigMapEditor(api, target.namespace, target.name, sleep)
        self._target = target
        self._missing = missing

    def describe(self) -> str:
        """Return the ConfigMap as messages name it."""
        return self._target.describe()

    def read(self) -> str | None:
        """Return the key's text, or None without the ConfigMap or the key. Raises ConfigError where the key is binary."""
        return self._text(self._editor.read())

    def edit(self, change: Callable[[str | None], str | None], *, create: bool = True) -> None:
        """Edit the text as `ConfigMapEditor.edit` does, and raise what it raises. With a result of None nothing is written.

        A missing ConfigMap is created. Without `create` it raises NotFound.
        """

        def changed(contents: Contents) -> Edit[None]:
            if not (contents.version or create):
                raise NotFound(f"there is no {self.describe()} in this cluster", "is this the right --context?")
            text = self._text(contents)
            new = change(text)
            if new is None or new == text:
                return Edit({}, None)
            return Edit({self._target.key: None if new == self._missing else new}, None)

        self._editor.edit(changed)

    def _text(self, contents: Contents) -> str | None:
        if self._target.key in contents.binary:
            raise ConfigError(self.describe(), [Problem(self._target.key, "is binary data, not text")])
        return contents.data.get(self._target.key)
