"""Writes to the Kubernetes API: one (`send`), or a queue that is sent in order on one connection, only the newest of each key.

No decision depends on those of the queue. A write that the API server refuses is reported and dropped. One that cannot be sent is sent
again later.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kube_iam.core.backoff import ExponentialBackoff
from kube_iam.errors import KubeIamError, Unreachable
from kube_iam.kube.connection import connected
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.errors import answered

MERGE_PATCH = "application/merge-patch+json"
_JSON = "application/json"
_BACKOFF = ExponentialBackoff(first=2.0, longest=30.0)
_BUSY = frozenset({429, 500, 502, 503, 504})
# 404: deleted meanwhile. 409: written before by another server of the cluster.
_FINE = frozenset({200, 201, 404, 409})


@dataclass(frozen=True, slots=True)
class Write:
    """One request. `what` completes "cannot …"."""

    method: str
    path: str
    body: dict[str, Any]
    what: str


class Writer:
    """Sends writes until it is cancelled, and calls `failed` with each error."""

    def __init__(self, endpoints: EndpointSource, failed: Callable[[KubeIamError], None]) -> None:
        self._endpoints = endpoints
        self._failed = failed
        self._waiting: dict[str, Write] = {}
        self._wake = asyncio.Event()

    def put(self, key: str, write: Write) -> None:
        """Add a write to the queue. It replaces a waiting one of the same key."""
        self._waiting[key] = write
        self._wake.set()

    async def run(self) -> None:
        """Send the writes of the queue until cancelled."""
        failures = 0
        while True:
            await self._wake.wait()
            try:
                await self._send_all()
                failures = 0
                continue
            except KubeIamError as error:
                self._failed(error)
            except Exception as error:
                self._failed(KubeIamError(f"cannot write to the cluster: {type(error).__name__}"))
            failures += 1
            await asyncio.sleep(_BACKOFF.pause(failures, random.random()))  # noqa: S311

    async def _send_all(self) -> None:
        endpoint = await asyncio.to_thread(self._endpoints.endpoint)
        async with connected(endpoint) as connection:
            while self._waiting:
                key, write = next(iter(self._waiting.items()))
                body = json.dumps(write.body).encode()
                kind = MERGE_PATCH if write.method == "PATCH" else _JSON
                answer = await connection.request(write.method, write.path, body, kind)
                if answer.status in _BUSY:
                    raise Unreachable(f"cannot {write.what}: {endpoint.url} is busy ({answer.status})")
                if self._waiting.get(key) is write:
                    del self._waiting[key]
                if answer.status not in _FINE:
                    self._failed(answered(answer.status, _message(answer.body), f"cannot {write.what}", endpoint.url))
            self._wake.clear()


async def send(endpoints: EndpointSource, write: Write) -> bytes:
    """Send one write, or a GET with an empty body, on a connection of its own. Return the body of the answer.

    Raises KubeIamError: NotFound, Conflict, Unreachable where the API server is busy or does not answer.
    """
    endpoint = await asyncio.to_thread(endpoints.endpoint)
    body = json.dumps(write.body).encode() if write.body else b""
    kind = (MERGE_PATCH if write.method == "PATCH" else _JSON) if body else ""
    async with connected(endpoint) as connection:
        answer = await connection.request(write.method, write.path, body, kind)
    if answer.status == 401:
        endpoints.invalidate_credentials()
    if answer.status not in (200, 201):
        raise answered(answer.status, _message(answer.body), f"cannot {write.what}", endpoint.url)
    return answer.body


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body).get("message") or "")
    except (ValueError, AttributeError):
        return ""
