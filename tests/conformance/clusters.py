"""Two real API servers with the same objects in them, one for each server: both write the status of an object, each in its own way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from kube_iam.sandbox.api_server import ApiServer
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import Binaries, start_control_plane
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import Home
from kube_iam.sandbox.up import down

CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"
API = "/apis/iamauthenticator.k8s.aws/v1alpha1"
MAPPINGS = f"{API}/iamidentitymappings"
_CRD = Path(__file__).parents[2] / "deploy" / "crd.yaml"
_NAMES = ("reference", "ours")


class Cluster:
    """One of them."""

    def __init__(self, api: ApiServer, kubeconfig: str) -> None:
        self._api = api
        self.kubeconfig = kubeconfig

    def put(self, path: str, name: str, thing: Mapping[str, Any], *, part: str = "") -> None:
        """Create or replace an object, or the `part` of it."""
        status, found = self._api.call("GET", f"{path}/{name}")
        metadata: dict[str, str] = {"name": name}
        if status == 200:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        method, target = ("PUT", f"{path}/{name}{part}") if status == 200 else ("POST", path)
        status, answer = self._api.call(method, target, {**thing, "metadata": metadata})
        if status == 409:  # a server has written the object's status meanwhile
            self.put(path, name, thing, part=part)
        else:
            assert status in (200, 201), answer

    def delete(self, path: str, name: str) -> None:
        assert self._api.call("DELETE", f"{path}/{name}")[0] in (200, 404)

    def statuses(self) -> dict[str, str]:
        """Return the canonical ARN in the status of each IAMIdentityMapping, by name."""
        items = self._api.call("GET", MAPPINGS)[1]["items"]
        return {item["metadata"]["name"]: item.get("status", {}).get("canonicalARN", "") for item in items}


class Clusters:
    """Both."""

    def __init__(self, of: dict[str, Cluster]) -> None:
        self._of = of

    def kubeconfig(self, server: str) -> str:
        return self._of[server].kubeconfig

    def config_map(self, data: Mapping[str, str] | None) -> None:
        """Make aws-auth hold this; None is none."""
        for cluster in self._of.values():
            if data is None:
                cluster.delete(CONFIG_MAPS, "aws-auth")
            else:
                cluster.put(CONFIG_MAPS, "aws-auth", {"apiVersion": "v1", "kind": "ConfigMap", "data": dict(data)})

    def mappings(self, specs: Mapping[str, Mapping[str, Any]]) -> None:
        """Make these the only IAMIdentityMappings, made in this order where they are not there yet."""
        for cluster in self._of.values():
            for name in cluster.statuses():
                if name not in specs:
                    cluster.delete(MAPPINGS, name)
            for name, spec in specs.items():
                cluster.put(MAPPINGS, name, _mapping(spec=dict(spec)))

    def claim(self, name: str, arn: str) -> None:
        """Write an ARN into an object's status, as somebody may who has that right alone."""
        for cluster in self._of.values():
            cluster.put(MAPPINGS, name, _mapping(status={"canonicalARN": arn}), part="/status")

    def await_status(self, wanted: Mapping[str, str]) -> None:
        """Wait for the reference's controller, without which its objects serve nobody."""
        cluster = self._of["reference"]
        assert wait_until(lambda: wanted.items() <= cluster.statuses().items(), 20), (wanted, cluster.statuses())


def _mapping(**fields: object) -> dict[str, object]:
    return {"apiVersion": "iamauthenticator.k8s.aws/v1alpha1", "kind": "IAMIdentityMapping", **fields}


@contextmanager
def two_clusters(directory: Path, binaries: Binaries) -> Iterator[Clusters]:
    """Both, running, with our CRD in them, which is the reference's."""
    with ExitStack() as stack, ThreadPoolExecutor(len(_NAMES)) as starting:
        homes = [Home(directory / name) for name in _NAMES]
        for home in homes:
            home.create()
            stack.callback(down, home)
        yield Clusters(dict(zip(_NAMES, starting.map(lambda home: _start(home, binaries), homes), strict=True)))


def _start(home: Home, binaries: Binaries) -> Cluster:
    api = start_control_plane(home, Authority(home.tls), binaries)
    api.ensure("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(_CRD.read_text()))
    assert wait_until(lambda: api.call("GET", MAPPINGS)[0] == 200, 30)
    return Cluster(api, home.kubeconfig.read_text())
