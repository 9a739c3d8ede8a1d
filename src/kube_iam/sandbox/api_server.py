"""Calls of the sandbox to its API server as the cluster's administrator, with the standard library."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube_iam.errors import SandboxError
from kube_iam.sandbox.certificates import Pair

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ApiServer:
    """An API server on loopback and a client certificate for it."""

    port: int
    ca: Path
    client: Pair

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the status and the parsed JSON (or text) of one request. Raises SandboxError where there is no answer."""
        with self._request(method, path, body, _TIMEOUT_SECONDS) as answer:
            text = answer.read().decode()
            return answer.status, json.loads(text) if "json" in answer.getheader("Content-Type", "") else text

    def ready(self) -> bool:
        """Return whether the API server reports that it is ready, its RBAC bootstrap included."""
        try:
            return self.call("GET", "/readyz")[0] == 200
        except SandboxError:
            return False

    def ensure(self, path: str, thing: dict[str, Any]) -> None:
        """Create an object unless it exists. Raises SandboxError where the API server refuses."""
        status, answer = self.call("POST", path, thing)
        if status not in (201, 409):
            message = answer.get("message", "") if isinstance(answer, dict) else answer
            raise SandboxError(f"the API server refused {path}: {message}")

    def watch(self, path: str, timeout_seconds: float) -> Iterator[dict[str, Any]]:
        """Yield the events of a watch until it ends, or until none arrived for that long. Raises SandboxError."""
        with self._request("GET", path, None, timeout_seconds) as answer:
            if answer.status != 200:
                raise SandboxError(f"the API server refused the watch of {path} ({answer.status})")
            for line in answer:
                yield json.loads(line)

    @contextmanager
    def _request(
        self, method: str, path: str, body: object, timeout_seconds: float
    ) -> Iterator[http.client.HTTPResponse]:
        try:
            trust = ssl.create_default_context(cafile=str(self.ca))
            trust.load_cert_chain(self.client.certificate, self.client.key)
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout_seconds, context=trust)
            try:
                text = None if body is None else json.dumps(body)
                connection.request(method, path, text, {"Content-Type": "application/json"})
                yield connection.getresponse()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SandboxError(f"the API server did not answer {path}: {type(error).__name__}") from error
