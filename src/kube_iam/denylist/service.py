"""The deny list in the server: followed from `start` to `stop`, where the configuration names one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kube_iam.config.server import ServerConfig

if TYPE_CHECKING:
    from kube_iam.denylist.watcher import DenyList, Observer
    from kube_iam.kube.watch import WatchTask


class DenyListService:
    """The deny list of one server. `list` is None if the configuration names none."""

    def __init__(self, config: ServerConfig, observer: Observer, environ: Mapping[str, str]) -> None:
        self.list: DenyList | None = None
        self._name = config.deny_list
        self._task: WatchTask | None = None
        if config.deny_list:
            # Imported only where the Kubernetes API is needed, as by the backends.
            from kube_iam.denylist.watcher import DenyList
            from kube_iam.kube.endpoint import EndpointSource
            from kube_iam.kube.watch import WatchTask

            namespace, name = config.deny_list.split("/")
            endpoints = EndpointSource(config.kubeconfig, config.master, environ)
            self.list = DenyList(endpoints, observer, os.urandom(6).hex(), namespace, name)
            self._task = WatchTask(self.list.follow)
            self.list.on_synced = self._task.synced

    @property
    def not_loaded(self) -> str:
        """The name of the list until it has been read, else empty."""
        return self._name if self.list is not None and not self.list.ready else ""

    async def start(self) -> None:
        """Begin to follow the list. Returns when it was read or a read failed, or after a few seconds."""
        if self._task is not None:
            await self._task.start()

    async def stop(self) -> None:
        """Stop following the list."""
        if self._task is not None:
            await self._task.stop()
