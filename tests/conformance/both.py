"""The reference's server and ours, side by side: the same config.yaml, the same STS, the same questions."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from named_sts import HOSTS, NamedSts

from connect_proxy import connect_proxy
from kube_iam.sandbox.processes import Process, free_port

CLUSTER = "conformance.example.com"
_OURS = [sys.executable, "-c", "import sys; from kube_iam.cli.main import main; sys.exit(main())"]


@dataclass(frozen=True)
class Verdict:
    """What a server said: who it is, or nobody. Statuses and error texts differ by design (docs/compatibility.md)."""

    user: dict[str, Any] | None

    @classmethod
    def of(cls, review: dict[str, Any]) -> Verdict:
        status = review["status"]
        if not status.get("authenticated"):
            return cls(None)
        user = status["user"]
        return cls({**user, "groups": user.get("groups") or [], "extra": user.get("extra") or {}})


class Server:
    def __init__(self, port: int, certificate: Path) -> None:
        self._port = port
        self._trust = ssl.create_default_context(cafile=str(certificate))
        self._connection: http.client.HTTPSConnection | None = None

    def ask(self, token: str) -> Verdict:
        asked = {"apiVersion": "authentication.k8s.io/v1beta1", "kind": "TokenReview", "spec": {"token": token}}
        if self._connection is None:
            self._connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._trust, timeout=35)
        self._connection.request("POST", "/authenticate", json.dumps(asked))
        answer = self._connection.getresponse()
        return Verdict.of(json.loads(answer.read()))

    def get(self, path: str) -> str:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._trust, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().read().decode()

    def is_up(self) -> bool:
        try:
            return self.get("/healthz").strip() == "ok"
        except OSError:
            return False


@contextmanager
def running(directory: Path, reference: Path, sts: NamedSts, settings: str) -> Iterator[tuple[Server, Server]]:
    """Both servers, the reference's first. `settings` are lines below `server:`."""
    with ExitStack() as stack:
        proxy = stack.enter_context(connect_proxy(HOSTS, sts.port))
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(directory),
            "HTTPS_PROXY": proxy.url,
            "AWS_REGION": "us-east-1",
            "SSL_CERT_FILE": str(sts.ca),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        servers = []
        for name, command in (("reference", [str(reference)]), ("ours", _OURS)):
            home = directory / name
            home.mkdir(parents=True)
            port, health = free_port(), free_port()
            (home / "config.yaml").write_text(
                f"clusterID: {CLUSTER}\nserver:\n  port: {port}\n  healthPort: {health}\n  stateDir: {home}\n"
                f"  generateKubeconfig: {home}/kubeconfig.yaml\n{settings}"
            )
            process = Process(name, home / "process.json", home / "log")
            process.start([*command, "server", "-c", str(home / "config.yaml")], environment, home)
            stack.callback(process.stop, 0.5)  # the reference goes on until a second signal
            process.await_ready((home / "cert.pem").exists, 30)
            server = Server(port, home / "cert.pem")
            process.await_ready(server.is_up, 30)
            servers.append(server)
        yield servers[0], servers[1]
