"""The port of a backend of mappings, and that of its observer."""

from __future__ import annotations

from typing import Protocol

from kube_iam.config.dynamic import Stamp
from kube_iam.core.mapping import MappingSnapshot
from kube_iam.errors import KubeIamError, Problem


class Backend(Protocol):
    """One backend of mappings: it loads when it starts, and follows its source until it stops."""

    @property
    def name(self) -> str:
        """The backend's name in the configuration: MountedFile, EKSConfigMap, CRD, DynamicFile."""

    @property
    def snapshot(self) -> MappingSnapshot:
        """The mappings in force."""

    async def start(self) -> None:
        """Load and begin to follow the source; returns soon, loaded or not.

        A source that cannot be used is reported and followed all the same: never raises.
        """

    async def stop(self) -> None:
        """Stop following. The snapshot stays as it is."""


class Observer(Protocol):
    """Observer of backends, for logs and metrics."""

    def loaded(self, backend: str, entries: int, warnings: list[Problem]) -> None:
        """New mappings are in force."""

    def failed(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        """What the source holds cannot be used. `kept`: the last good mappings stay in force; otherwise there are none yet."""

    def interrupted(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        """Return the source cannot be followed now; the backend keeps trying. `kept` as above."""

    def arrived(self, kind: str, stamp: Stamp) -> None:
        """What another program wrote at the time of the stamp is in force. `kind` is the metric's label `type`."""

    def chained(self, backends: tuple[str, ...]) -> None:
        """These backends are asked from now on, in this order."""

    def troubled(self, backend: str, error: KubeIamError) -> None:
        """Something beside the mappings did not go well: they are in force all the same."""
