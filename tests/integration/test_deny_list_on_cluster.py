"""The deny list on a real kube-apiserver: written by concurrent administrators and read by a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from backend_suite import until
from deny_suite import END, NAME, NOW, PATH, RecordingDenyObserver, session
from kube_iam.denylist.denial import denial_of
from kube_iam.denylist.editor import CLOCK_SKEW, DenyListEditor
from kube_iam.denylist.entry import parse_entry
from kube_iam.denylist.prober import Prober
from kube_iam.denylist.watcher import DenyList
from kube_iam.kube.client import KubeApi
from kube_iam.kube.endpoint import EndpointSource

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]


class Cluster:
    """A server's deny list, and administrators."""

    def __init__(self, control_plane: Any) -> None:
        self.api = control_plane.api
        self.kubeconfig: Path = control_plane.kubeconfig
        self.store = self.administrator()
        self.observer = RecordingDenyObserver()
        self.list = DenyList(EndpointSource(str(self.kubeconfig), "", {}), self.observer, "c0ffee", clock=lambda: NOW)

    def administrator(self) -> DenyListEditor:
        return DenyListEditor(KubeApi(environ={}, kubeconfig=str(self.kubeconfig)), f"kube-system/{NAME}")

    def deny(self, *names: str, now: float = NOW) -> None:
        self.store.add([denial_of(name, until=END, actor="test", at=NOW) for name in names], now)

    def out(self, name: str) -> bool:
        return self.list.denial(session(name)) is not None

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.list.follow())
        try:
            await until(lambda: self.list.ready)
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def cluster(control_plane: Any) -> Cluster:
    control_plane.api.call("DELETE", f"{PATH}/{NAME}")
    return Cluster(control_plane)


def test_denials_and_their_removal_are_received_and_outlive_the_config_map(cluster: Cluster) -> None:
    async def story() -> None:
        async with cluster.following():
            await asyncio.to_thread(cluster.deny, "alice")
            await until(lambda: cluster.out("alice"))
            cluster.api.call("DELETE", f"{PATH}/{NAME}")
            await until(lambda: cluster.observer.problems)
            assert cluster.out("alice")
            await asyncio.to_thread(cluster.deny, "bob")
            await until(lambda: cluster.out("bob"))
            assert cluster.out("alice")
            removed = await asyncio.to_thread(cluster.store.remove, lambda denial: denial.value == "bob", "test", NOW)
            assert [denial.value for denial in removed] == ["bob"]
            await until(lambda: not cluster.out("bob"))

    asyncio.run(story())


def test_ten_concurrent_denials_are_all_kept_and_ended_ones_are_deleted(cluster: Cluster) -> None:
    cluster.deny("early")
    cluster.api.call("PUT", f"{PATH}/{NAME}", {"metadata": {"name": NAME}, "data": {"odd": "{}"}})
    cluster.deny("early")
    names = [f"person-{number}" for number in range(10)]

    def deny(name: str) -> None:
        cluster.administrator().add([denial_of(name, until=END + 2 * CLOCK_SKEW)], END + CLOCK_SKEW + 1)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(deny, names))
    assert set(cluster.store.read().data) == {"odd", *(denial_of(name, until=END).name for name in names)}


def test_concurrent_removals_and_denials_are_all_kept(cluster: Cluster) -> None:
    cluster.deny(*(f"old-{number}" for number in range(5)))

    def undeny(number: int) -> list[str]:
        removed = cluster.administrator().remove(lambda denial: denial.value == f"old-{number}", "test", NOW)
        return [denial.value for denial in removed]

    def deny(number: int) -> None:
        cluster.administrator().add([denial_of(f"new-{number}", until=END)], NOW)

    with ThreadPoolExecutor(10) as pool:
        removals = [pool.submit(undeny, number) for number in range(5)]
        list(pool.map(deny, range(5)))
    assert [removal.result() for removal in removals] == [[f"old-{number}"] for number in range(5)]
    found = (each for ident, text in cluster.store.read().data.items() for each in parse_entry(ident, text).denials)
    assert {denial.value for denial in found if denial.until > NOW} == {f"new-{number}" for number in range(5)}


def test_only_the_slice_that_kube_apiserver_writes_names_api_servers(cluster: Cluster) -> None:
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    planted = {
        "metadata": {"name": "planted", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["203.0.113.9"]}],
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    }
    cluster.api.call("DELETE", f"{slices}/planted")
    cluster.api.call("POST", slices, planted)
    prober = Prober(KubeApi(environ={}, kubeconfig=str(cluster.kubeconfig)))
    # A kube-apiserver on loopback writes no addresses of its own.
    assert [url for url in prober.addresses() if "203.0.113.9" in url] == []
