"""An `AdminSession` for tests of commands: an account in memory, and an API server in memory where the commands need one."""

import io
from collections.abc import Callable

from fake_account import FakeAccount

from kube_iam.cli.session import AdminSession
from kube_iam.denylist.editor import DenyListEditor
from kube_iam.denylist.propagation import Clock
from kube_iam.errors import KubeError, KubeIamError
from kube_iam.kube.client import KubeApi


class PreparedSession(AdminSession):
    """A session for one command. `kube` is the API server of the context. `unreachable` is raised for everything in the cluster.

    `clock` is the command's clock. `open_deny_list` returns the deny list of a name, in place of the one in the cluster.
    """

    def __init__(
        self,
        account: FakeAccount,
        kube: KubeApi | None = None,
        *,
        unreachable: KubeIamError | None = None,
        clock: Clock | None = None,
        open_deny_list: Callable[[KubeApi, str], DenyListEditor] | None = None,
    ) -> None:
        super().__init__()
        if clock is not None:
            self.clock = clock
        self._open_deny_list = open_deny_list
        self._prepared = kube
        self._unreachable = unreachable
        self.iam = self.iam_without_prompts = account.directory
        if unreachable is None:
            self.cluster, self.ports = account.cluster, account.ports
            self.mapping_store = self._plain_store = account.store

    def deny_list(self, name: str) -> DenyListEditor:
        if self._open_deny_list is not None:
            return self._open_deny_list(self.kube, name)
        return super().deny_list(name)

    def _open_kube(self) -> KubeApi:
        if self._prepared is None or self._unreachable is not None:
            raise self._unreachable or KubeError("this test has no API server")
        return self._prepared


class Terminal(io.StringIO):
    """Standard input of somebody who types this text."""

    def isatty(self) -> bool:
        return True
