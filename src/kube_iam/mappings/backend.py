"""The interfaces of a backend of mappings and of its observer."""

from __future__ import annotations

from typing import Protocol

from kube_iam.config.dynamic import Stamp
from kube_iam.core.mapping import MappingSnapshot
from kube_iam.errors import KubeIamError, Problem


class Backend(Protocol):
    """A backend of mappings. It loads its source when it starts, and follows it until it stops."""

    @property
    def name(self) -> str:
        """Return the name in the configuration: MountedFile, EKSConfigMap, CRD or DynamicFile."""

    @property
    def snapshot(self) -> MappingSnapshot:
        """Return the mappings in force."""

    async def start(self) -> None:
        """Load the source and begin to follow it. Return soon, loaded or not.

        Raises nothing: a source that cannot be used is reported, and followed further.
        """

    async def stop(self) -> None:
        """Stop following the source. The snapshot stays as it is."""


class Observer(Protocol):
    """Observer of backends, for logs and metrics."""

    def loaded(self, backend: str, entries: int, warnings: list[Problem]) -> None:
        """Take note that new mappings are in force."""

    def failed(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        """Take note that the content of the source cannot be used.

        `kept` says that the last good mappings stay in force. Otherwise there are none yet.
        """

    def interrupted(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        """Take note that the source cannot be followed now. The backend keeps trying. `kept` is as for `failed`."""

    def arrived(self, kind: str, stamp: Stamp) -> None:
        """Take note that a change by another program is in force. `stamp` has its time, `kind` is the metric's label `type`."""

    def chained(self, backends: tuple[str, ...]) -> None:
        """Take note that these backends are asked from now on, in this order."""

    def troubled(self, backend: str, error: KubeIamError) -> None:
        """Take note of a problem that leaves the mappings in force."""
