"""The commands that deny in this process: an access file, a cluster that accepts denials, and a call of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from api_in_memory import ApiInMemory
from fake_account import FakeAccount
from prepared_session import PreparedSession

from kube_iam.cli.root import run_command
from kube_iam.denylist.denial import Denial
from kube_iam.denylist.editor import SYSTEM_CLOCK, DenyListEditor
from kube_iam.denylist.propagation import Clock, Propagation
from kube_iam.errors import KubeError, KubeIamError
from kube_iam.kube.client import KubeApi

FILE = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod, endpoint: "https://api.prod.example.com"}
account: "123456789012"
region: eu-central-1
levels:
  - {name: admin, bind: [{clusterRole: cluster-admin}]}
"""
ROLE = "arn:aws:iam::123456789012:role/prod-admin"


@dataclass
class Cluster:
    """Takes denials, and says of all of them the same."""

    closed: Propagation = field(
        default_factory=lambda: Propagation(0.2, ["https://a"], servers={"1"}, last_sign_in=3.0)
    )
    error: KubeIamError | None = None
    denied: list[Denial] = field(default_factory=list)
    account: FakeAccount | None = None
    memory: ApiInMemory = field(default_factory=ApiInMemory)
    clock: Clock = SYSTEM_CLOCK

    def deny_list(self, api: KubeApi, name: str) -> DenyListEditor:
        return _Accepting(api, name, self)


class _Accepting(DenyListEditor):
    """Takes denials without writing them. All else is done in the cluster's memory."""

    def __init__(self, api: KubeApi, name: str, cluster: Cluster) -> None:
        super().__init__(api, name)
        self._cluster = cluster

    def add(self, denials: Iterable[Denial], now: float) -> None:
        if self._cluster.error is not None:
            raise self._cluster.error
        self._cluster.denied += denials

    def wait_until_in_force(
        self, denials: Sequence[Denial], *, began: float, cache_ttl: float, groups: Sequence[str] = ()
    ) -> Propagation:
        self._cluster.closed.signed_in = {denial.name for denial in denials}
        return self._cluster.closed


def kube_iam(cluster: Cluster, *arguments: str) -> int:
    return run_command("kube-iam", arguments, {}, prepared(cluster))


def prepared(cluster: Cluster) -> PreparedSession:
    """Return the session of a command."""
    account = cluster.account
    if account is None:  # names cannot be looked up
        account = FakeAccount()
        account.world.errors["entries"] = KubeError("no mapping")
    api = cluster.memory.api("https://api.prod.example.com")
    return PreparedSession(account, api, clock=cluster.clock, open_deny_list=cluster.deny_list)


def applied(cluster: Cluster, *users: str) -> None:
    assert kube_iam(cluster, "apply", "--yes") == 0
    for user in users:
        assert kube_iam(cluster, "grant", user, "admin") == 0
