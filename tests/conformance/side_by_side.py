"""The reference's server and ours, side by side: the same config.yaml, the same STS, the same questions."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusters import Clusters
from named_sts import HOSTS, NamedSts
from setups import Setup

from forks import ForkedProcess
from kube_iam.sandbox.connect_proxy import connect_proxy
from kube_iam.sandbox.processes import Process, free_ports, wait_until
from loopback_pair import put_pair

CLUSTER = "conformance.example.com"
V1BETA1 = "authentication.k8s.io/v1beta1"


@dataclass(frozen=True)
class Outcome:
    """An answer of a server: the user, or nobody. `review` is the whole answer, empty if it is no TokenReview."""

    status: int
    user: dict[str, Any] | None
    review: dict[str, Any]

    @classmethod
    def of(cls, status: int, body: bytes) -> Outcome:
        try:
            review = json.loads(body)
            said = review["status"]
        except (ValueError, KeyError, TypeError):
            return cls(status, None, {})
        user = None
        if said.get("authenticated"):
            given = said["user"]
            user = {**given, "groups": given.get("groups") or [], "extra": given.get("extra") or {}}
        return cls(status, user, review)

    @property
    def names(self) -> list[str]:
        """The user name and the groups."""
        return [self.user.get("username", ""), *self.user["groups"]] if self.user is not None else []


@dataclass(frozen=True)
class Question:
    """One HTTP request to a webhook."""

    body: bytes
    method: str = "POST"
    path: str = "/authenticate"

    @classmethod
    def about(cls, token: str, version: str = V1BETA1, **spec: object) -> Question:
        """Return a TokenReview of the token."""
        return cls(
            json.dumps({"apiVersion": version, "kind": "TokenReview", "spec": {"token": token, **spec}}).encode()
        )


class Server:
    """One of the two, over one connection that is kept. `name` is reference or ours."""

    def __init__(self, name: str, home: Path, port: int, process: Process) -> None:
        self.name = name
        self.home = home
        self.config = home / "config.yaml"
        self.process = process
        self._port = port
        self._trust: ssl.SSLContext | None = None
        self._connection: http.client.HTTPSConnection | None = None

    def ask(self, question: Question) -> Outcome:
        try:
            return Outcome.of(*self._send(question))
        except (ConnectionError, http.client.HTTPException):
            # A server may hang up between two questions; a second time would be a finding.
            self._connection = None
            return Outcome.of(*self._send(question))

    def get(self, path: str) -> str:
        return self._send(Question(b"", "GET", path))[1].decode()

    def is_up(self) -> bool:
        """Whether it decides; before that there may not even be a certificate. While it loads, ours answers tokens of AWS with 504."""
        try:
            return self._send(Question.about("k8s-aws-v1."))[0] != 504
        except OSError:
            self._connection = None
            return False

    def started(self) -> bool:
        """Whether it comes up, rather than ends."""
        wait_until(lambda: self.is_up() or self.process.pid() is None, 30)
        return self.process.pid() is not None

    def log(self) -> str:
        return self.process.log.read_text()

    def _send(self, question: Question) -> tuple[int, bytes]:
        connection = self._connection
        if connection is None:
            self._trust = self._trust or ssl.create_default_context(cafile=str(self.home / "cert.pem"))
            connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._trust, timeout=35)
            self._connection = connection
        try:
            connection.request(question.method, question.path, question.body)
        except (BrokenPipeError, ssl.SSLEOFError):
            # An answer may come, and the connection end, before the whole question is there.
            self._connection = None
        answer = connection.getresponse()
        return answer.status, answer.read()


@dataclass(frozen=True)
class Pair:
    """Both servers; None is one that ended at the start, with the last words of `ended`."""

    setup: Setup
    reference: Server | None
    ours: Server | None
    ended: str = ""


def environment(home: Path, proxy: str, ca: Path) -> dict[str, str]:
    """Return the environment of both servers, with the proxy as the only way out."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "HTTPS_PROXY": proxy,
        "AWS_REGION": "us-east-1",
        "SSL_CERT_FILE": str(ca),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def running(
    directory: Path,
    reference: Path,
    sts: NamedSts,
    setup: Setup,
    clusters: Clusters | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Pair]:
    """Both servers with the setup, ready. Each has a cluster of its own, where there are any; `variables` are added to both."""
    with ExitStack() as stack:
        proxy = stack.enter_context(connect_proxy(HOSTS, sts.port))
        servers = []
        for name, command in (("reference", [str(reference)]), ("ours", [])):
            home = directory / name
            home.mkdir(parents=True)
            if clusters is not None:
                (home / "kubeconfig").write_text(clusters.kubeconfig(name))
            added = {**environment(home, proxy.url, sts.ca), **(variables or {})}
            servers.append(_start(name, command, home, setup, added, stack))
        theirs, ours = (server if server.started() else None for server in servers)
        ended = [f"{server.name}: {server.process.log_tail()}" for server in servers if server not in (theirs, ours)]
        yield Pair(setup, theirs, ours, "\n".join(ended))


def _start(
    name: str, command: list[str], home: Path, setup: Setup, variables: dict[str, str], stack: ExitStack
) -> Server:
    port, health = free_ports(2)
    put_pair(home)
    (home / "config.yaml").write_text(
        f"clusterID: {CLUSTER}\nserver:\n  port: {port}\n  healthPort: {health}\n  stateDir: {home}\n"
        f"  generateKubeconfig: {home}/kubeconfig.yaml\n{setup.text.replace('HOME', str(home))}"
    )
    for file, text in setup.files.items():
        (home / file).write_text(text)
    process = (Process if command else ForkedProcess)(name, home / "process.json", home / "log")
    flags = [flag.replace("HOME", str(home)) for flag in setup.flags]
    process.start([*command, "server", *flags, "-c", str(home / "config.yaml")], variables, home)
    stack.callback(_end, process)
    return Server(name, home, port, process)


def _end(process: Process) -> None:
    """At once: the reference goes on until a second signal, and there are a hundred pairs to start and end."""
    process.signal(signal.SIGKILL)
    process.stop()
