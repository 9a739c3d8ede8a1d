"""The deny list with a life: followed from `start` to `stop`, where the settings name one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kube_iam.config.server import ServerConfig
from kube_iam.kube.follower import Follower

if TYPE_CHECKING:
    from kube_iam.denylist.watcher import DenyList, Observer


class Denying:
    """The deny list of one server; `list` is None where the settings name none."""

    def __init__(self, config: ServerConfig, observer: Observer, environ: Mapping[str, str]) -> None:
        self.list: DenyList | None = None
        self._name = config.deny_list
        self._follower: Follower | None = None
        if config.deny_list:
            # Imported only where the Kubernetes API is needed, as by the backends.
            from kube_iam.denylist.watcher import DenyList
            from kube_iam.kube.endpoint import Access

            namespace, name = config.deny_list.split("/")
            access = Access(config.kubeconfig, config.master, environ)
            self.list = DenyList(access, observer, secrets.token_hex(6), namespace, name)
            self._follower = Follower(self.list.follow)
            self.list.heard = self._follower.heard

    @property
    def waiting(self) -> str:
        """The list's name while it is not known, else empty."""
        return self._name if self.list is not None and not self.list.ready else ""

    async def start(self) -> None:
        """Begin to follow the list; it is known, or cannot be read now, when this returns."""
        if self._follower is not None:
            await self._follower.start()

    async def stop(self) -> None:
        """Stop following it."""
        if self._follower is not None:
            await self._follower.stop()
