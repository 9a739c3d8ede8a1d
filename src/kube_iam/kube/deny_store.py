"""The deny list as an administrator writes it: entries of one ConfigMap, edited without losing what someone else wrote in between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from kube_iam.core.denial_text import read_denial, write_denial, write_denials
from kube_iam.core.denied import Denial
from kube_iam.errors import Conflict, NotFound
from kube_iam.kube.client import FIELD_MANAGER, KubeApi
from kube_iam.kube.labels import MANAGED_BY, OWNER

ATTEMPTS = 40
LONGEST_PAUSE = 2.0  # seconds
CLOCK_SKEW = 3600.0
"""How long after its end an entry is left alone: a server's clock may be behind ours."""
LIFTED = 0.0
"""The end of a denial that was lifted. It says so as an entry, since a server keeps what it once knew of a deleted ConfigMap."""


class DenyStore:
    """The deny list NAMESPACE/NAME of one cluster."""

    def __init__(self, api: KubeApi, name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._namespace, _, self._name = name.partition("/")
        self._sleep = sleep

    def describe(self) -> str:
        """The ConfigMap, as a person would name it."""
        return f"ConfigMap {self._namespace}/{self._name}"

    def entries(self) -> dict[str, str]:
        """The text of every entry by its name; none where there is no such ConfigMap."""
        return self._read()[0]

    def put(self, denials: Iterable[Denial], now: float) -> None:
        """Write the denials, each over one of the same name, and clear away what has long ended. A missing ConfigMap is made.

        Raises Conflict when the edit never gets through.
        """
        self._put({denial.ident: write_denial(denial) for denial in denials}, now)

    def lift(self, chosen: Callable[[Denial], bool], by: str, now: float) -> tuple[Denial, ...]:
        """Lift the denials in force that are chosen; which they were. Raises as `put` does.

        Whom else the entry of one names stays denied.
        """
        lifted: list[Denial] = []
        new: dict[str, str] = {}
        for ident, text in self.entries().items():
            denials = read_denial(ident, text).denials
            out = [denial for denial in denials if denial.until > now and chosen(denial)]
            if out:
                kept = [denial for denial in denials if denial not in out]
                left = kept or [replace(out[0], until=LIFTED, reason="lifted", by=by, at=now)]
                new[ident] = write_denials(left)
                lifted += out
        if new:
            self._put(new, now)
        return tuple(lifted)

    def _put(self, new: dict[str, str], now: float) -> None:
        for attempt in range(ATTEMPTS):
            known, version = self._read()
            over = {ident: None for ident, text in known.items() if ident not in new and _is_over(ident, text, now)}
            try:
                return self._write({**over, **new}, version)
            except (Conflict, NotFound) as error:
                # Someone wrote, created or deleted it since it was read; but a create that finds nothing lacks its namespace.
                if isinstance(error, NotFound) and not version:
                    raise
                self._sleep(random.uniform(0, min(LONGEST_PAUSE, 0.01 * 2**attempt)))  # noqa: S311
        raise Conflict(f"{self.describe()} keeps changing while it is edited", "repeat the command")

    def _read(self) -> tuple[dict[str, str], str]:
        """The entries and the resourceVersion (empty: no such ConfigMap)."""
        from lightkube.resources.core_v1 import ConfigMap

        try:
            with self._api.call(f"read {self.describe()}") as client:
                found = client.get(ConfigMap, self._name, namespace=self._namespace)
        except NotFound:
            return {}, ""
        version = (found.metadata.resourceVersion if found.metadata else None) or ""
        return dict(found.data or {}), version

    def _write(self, data: dict[str, str | None], version: str) -> None:
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import ConfigMap
        from lightkube.types import PatchType

        if not version:
            metadata = ObjectMeta(name=self._name, namespace=self._namespace, labels={MANAGED_BY: OWNER})
            texts = {ident: text for ident, text in data.items() if text is not None}
            with self._api.call(f"create {self.describe()}") as client:
                client.create(ConfigMap(metadata=metadata, data=texts), field_manager=FIELD_MANAGER)
            return
        # A merge patch leaves the other keys alone; its resourceVersion makes a stale one fail with 409.
        patch = {"metadata": {"resourceVersion": version}, "data": data}
        with self._api.call(f"change {self.describe()}") as client:
            client.patch(
                ConfigMap,
                self._name,
                patch,
                namespace=self._namespace,
                patch_type=PatchType.MERGE,
                field_manager=FIELD_MANAGER,
            )


def _is_over(ident: str, text: str, now: float) -> bool:
    """Whether the entry can go. One that is not as it should be is left for whoever wrote it."""
    denials, problem = read_denial(ident, text)
    return not problem and all(denial.until < now - CLOCK_SKEW for denial in denials)
