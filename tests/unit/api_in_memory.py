"""A Kubernetes API in memory behind the real client: objects with optimistic concurrency, EndpointSlices and TokenReviews."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from lightkube import Client
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import Cluster, User
from lightkube.config.models import Context as Named

from kube_iam.kube.client import KubeApi, _Login
from kube_iam.kube.context import Context
from kube_iam.kube.exec_plugin import ExecStatus

Thing = dict[str, Any]
AUTHORITY = {"certificate-authority-data": "eA=="}
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
EVENTS = "/api/v1/namespaces/kube-system/events"


class ApiInMemory:
    """The objects by path. `before_write` runs before each write of a ConfigMap, as another administrator who is faster would."""

    def __init__(self) -> None:
        self.objects: dict[str, Thing] = {}
        self.writes: list[tuple[str, str]] = []
        self.before_write: Callable[[], None] = lambda: None
        self.status: dict[tuple[str, str], int] = {}
        """The HTTP status with which a request of that method and path is refused."""
        self.answer: Callable[[str, str], str] = lambda host, token: ""
        """`status.error` of a TokenReview, by the host that was asked and the token."""
        self.denied: Callable[[str, Thing], str] = lambda host, spec: ""
        """The reason for which a SubjectAccessReview is denied, by the host that was asked and its `spec`; empty: not denied."""
        self.asked: list[tuple[str, str]] = []
        """Host and Authorization header of each request."""
        self.events: list[Thing] = []
        self.clients: dict[str, Client] = {}
        self.empty: set[str] = set()
        """Collections that exist without any object; all others are not found then."""
        self._versions = itertools.count(1)

    def api(self, server: str = "", cluster: Thing | None = None) -> KubeApi:
        """Return a client of it. `cluster` replaces what its kubeconfig says of the cluster's certificate authority."""
        fields = {"server": server or "https://api.example.com", **(AUTHORITY if cluster is None else cluster)}
        return _Api(self, Context("prod", fields, {"token": "t0ken"}))

    def put_config_map(self, path: str, data: dict[str, str], **more: Any) -> None:
        """Create or replace a ConfigMap as somebody else would."""
        namespace, name = path.split("/")
        metadata = {"namespace": namespace, "name": name, "resourceVersion": str(next(self._versions))}
        self.objects[_path(path)] = {"metadata": metadata, "data": dict(data), **more}

    def delete_config_map(self, path: str) -> None:
        """Delete a ConfigMap as somebody else would."""
        del self.objects[_path(path)]

    def data(self, path: str) -> dict[str, str]:
        """Return the data of a ConfigMap."""
        return dict(self.objects[_path(path)].get("data") or {})

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        url = urlsplit(str(request.url))
        self.asked.append((url.netloc, request.headers.get("Authorization", "")))
        if (request.method, url.path) in self.status:
            return _status(self.status[request.method, url.path])
        body = json.loads(request.content) if request.content else {}
        if url.path == REVIEWS:
            error = self.answer(url.netloc, body["spec"]["token"])
            return httpx2.Response(201, json={**body, "status": {"authenticated": False, "error": error}})
        if url.path == ACCESS_REVIEWS:
            reason = self.denied(url.netloc, body["spec"])
            return httpx2.Response(
                201, json={**body, "status": {"allowed": False, "denied": bool(reason), "reason": reason}}
            )
        if url.path == SELF:
            return httpx2.Response(201, json={**body, "status": {"userInfo": {"username": "root"}}})
        if url.path == EVENTS:
            self.events.append(body)
            return httpx2.Response(201, json=body)
        if request.method == "GET":
            if url.path in self.objects:
                return httpx2.Response(200, json=self.objects[url.path])
            below = [thing for path, thing in self.objects.items() if path.startswith(f"{url.path}/")]
            known = below or url.path in self.empty
            return httpx2.Response(200, json={"items": below, "metadata": {}}) if known else _status(404)
        is_dry = "dryRun" in parse_qs(url.query) or body.get("dryRun") == ["All"]
        self.writes.append((request.method, url.path))
        self.before_write()
        before = deepcopy(self.objects)
        write = {"POST": self._post, "PATCH": self._merge, "DELETE": self._delete}[request.method]
        answer = write(url.path, body)
        if is_dry:
            self.objects = before
        return answer

    def _delete(self, path: str, body: Thing) -> httpx2.Response:
        if path not in self.objects:
            return _status(404)
        metadata = self.objects[path]["metadata"]
        if any(metadata.get(key) != value for key, value in body.get("preconditions", {}).items()):
            return _status(409)
        del self.objects[path]
        return httpx2.Response(200, json={"kind": "Status"})

    def _post(self, collection: str, body: Thing) -> httpx2.Response:
        path = f"{collection}/{body['metadata'].get('name')}"
        if path in self.objects:
            return _status(409)
        version = next(self._versions)
        created = f"2026-01-01T{version // 3600:02}:{version // 60 % 60:02}:{version % 60:02}Z"
        body["metadata"] |= {"resourceVersion": str(version), "uid": f"uid-{version}", "creationTimestamp": created}
        self.objects[path] = body
        return httpx2.Response(201, json=body)

    def _merge(self, path: str, patch: Thing) -> httpx2.Response:
        present = self.objects.get(path)
        if present is None:
            return _status(404)
        if patch["metadata"]["resourceVersion"] != present["metadata"]["resourceVersion"]:
            return _status(409)
        self.objects[path] = present = _merged(present, patch)
        present["metadata"]["resourceVersion"] = str(next(self._versions))
        return httpx2.Response(200, json=present)


class _Api(KubeApi):
    """The real client on top of `ApiInMemory`, without a kubeconfig."""

    def __init__(self, memory: ApiInMemory, context: Context) -> None:
        super().__init__(environ={})
        self._login = _Login(lambda: context, {}, time.time)
        self._memory = memory

    def client(self) -> Client:
        """One client a URL."""
        known = self._memory.clients
        if self.server not in known:
            known[self.server] = self._connect(None)
        return known[self.server]

    def _connect(self, status: ExecStatus | None) -> Client:
        config = SingleConfig(
            context_name="prod",
            context=Named(cluster="prod", user="admin"),
            cluster=Cluster(
                server=self.server, insecure=True
            ),  # no connection is made, and authorities take 30 ms to load
            user=User(token="t0ken"),
        )
        return Client(config=config, transport=httpx2.MockTransport(self._memory.handle))


def endpoint_slice(*addresses: str, port: int = 6443) -> Thing:
    """Return an EndpointSlice as kube-apiserver writes its own."""
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    return {"addressType": "IPv4", "endpoints": [{"addresses": [each]} for each in addresses], "ports": ports}


def _path(name: str) -> str:
    namespace, _, name = name.partition("/")
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}"


def _merged(value: Any, patch: Any) -> Any:
    """Return the value with a JSON merge patch applied (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), change)
    return merged


def _status(code: int) -> httpx2.Response:
    return httpx2.Response(code, json={"kind": "Status", "code": code, "message": f"status {code}"})
