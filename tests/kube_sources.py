"""Sources of the backends in the cluster: objects of an API server, a fake one or a real one, that tests write."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from backend_suite import RESERVED, ROLE, People, RecordingObserver
from fake_kube import FakeKube
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.watch import WatchTiming
from kube_iam.mappings import crd_status, eks_config_map
from kube_iam.mappings.backend import Backend
from kube_iam.mappings.crd import IdentityMappings
from kube_iam.mappings.eks_config_map import EksConfigMap
from kube_iam.sandbox.api_server import ApiServer

QUICK = WatchTiming(watch=2, grace=0.2, first_pause=0.02, longest_pause=0.1, settled=0.5)
"""Everything soon, so that tests need not wait."""


class Cluster(Protocol):
    access: EndpointSource

    def put(self, path: str, name: str, fields: dict[str, Any]) -> None: ...
    def delete(self, path: str, name: str) -> None: ...
    def hide(self) -> None: ...
    def show(self) -> None: ...


class Faked:
    """The fake API server."""

    def __init__(self) -> None:
        self.fake = FakeKube()
        self.access = self.fake.access
        self.put = self.fake.put
        self.delete = self.fake.delete
        self.hide = self.fake.stop
        self.show = self.fake.restart


class Real:
    """A real kube-apiserver, hidden by taking the kubeconfig away."""

    def __init__(self, api: ApiServer, kubeconfig: Path, directory: Path) -> None:
        self._api = api
        self._file = directory / "kubeconfig"
        self._file.write_text(kubeconfig.read_text())
        self._cut = False
        self.access = EndpointSource(str(self._file), "", {})

    def put(self, path: str, name: str, fields: dict[str, Any]) -> None:
        status, _ = self._api.call("PUT", f"{path}/{name}", self._object(path, name, fields))
        if status == 404:
            self._api.ensure(path, self._object(path, name, fields))

    def _object(self, path: str, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        _, found = self._api.call("GET", f"{path}/{name}")
        version = found.get("metadata", {}).get("resourceVersion") if isinstance(found, dict) else None
        metadata = {"name": name, **({"resourceVersion": version} if version else {})}
        kind = "ConfigMap" if path.endswith("configmaps") else "IAMIdentityMapping"
        api = "v1" if kind == "ConfigMap" else crd_status.API_VERSION
        return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}

    def delete(self, path: str, name: str) -> None:
        self._api.call("DELETE", f"{path}/{name}")

    def hide(self) -> None:
        self._file.rename(self._file.with_suffix(".hidden"))

    def show(self) -> None:
        self._file.with_suffix(".hidden").rename(self._file)


class ConfigMapSource:
    empty_when_deleted = True

    def __init__(self, cluster: Cluster, timing: WatchTiming = QUICK) -> None:
        self._cluster = cluster
        self._timing = timing
        self.hide, self.show = cluster.hide, cluster.show

    def backend(self, observer: RecordingObserver) -> Backend:
        return EksConfigMap(self._cluster.access, observer, (RESERVED,), self._timing)

    def write(self, people: People, *, role_twice: bool = False) -> None:
        roles, users = "", ""
        for arn, (username, groups) in people.items():
            kind = "role" if ":role/" in arn else "user"
            entry = f"- {{{kind}arn: '{arn}', username: '{username}', groups: [{', '.join(groups)}]}}\n"
            roles, users = (roles + entry, users) if kind == "role" else (roles, users + entry)
        if role_twice:
            roles += f"- {{rolearn: '{ROLE}', username: other}}\n"
        self.put({"mapRoles": roles, "mapUsers": users})

    def put(self, data: dict[str, str]) -> None:
        self._cluster.put(eks_config_map.PATH, eks_config_map.NAME, {"data": data})

    def damage(self) -> None:
        self.put({"mapRoles": "- rolearn: [\n", "mapUsers": ""})

    def delete(self) -> None:
        self._cluster.delete(eks_config_map.PATH, eks_config_map.NAME)


class IdentityMappingSource:
    empty_when_deleted = True

    def __init__(self, cluster: Cluster, timing: WatchTiming = QUICK) -> None:
        self._cluster = cluster
        self._timing = timing
        self._names: set[str] = set()
        self.hide, self.show = cluster.hide, cluster.show

    def backend(self, observer: RecordingObserver) -> Backend:
        return IdentityMappings(self._cluster.access, observer, (RESERVED,), self._timing)

    def write(self, people: People, *, role_twice: bool = False) -> None:
        for arn, (username, groups) in people.items():
            self.put(_name(arn), {"arn": arn, "username": username, "groups": list(groups)})
        if role_twice:
            self.put("z-second", {"arn": ROLE, "username": "other"})
        for name in self._names - {_name(arn) for arn in people} - {"z-second"}:
            self.remove(name)

    def put(self, name: str, spec: dict[str, Any]) -> None:
        self._names.add(name)
        self._cluster.put(crd_status.PATH, name, {"spec": spec})

    def remove(self, name: str) -> None:
        self._names.discard(name)
        self._cluster.delete(crd_status.PATH, name)

    def damage(self) -> None:
        self.put("damaged", {"arn": "no-arn", "username": "nobody"})

    def delete(self) -> None:
        for name in list(self._names):
            self.remove(name)


def _name(arn: str) -> str:
    return arn.rsplit(":", 1)[1].replace("/", "-").lower()
