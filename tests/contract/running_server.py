"""A real `kube-iam server` process on free ports of loopback, with a fake STS behind it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fake_sts import FakeSts

import forks
from kube_iam.core.credentials import Credentials
from kube_iam.core.tokens import mint
from kube_iam.core.utc import basic_timestamp
from kube_iam.sandbox.processes import free_ports
from loopback_pair import put_pair

CLUSTER = "contract-test"
SECRET = "canarySecretAccessKey0123456789abcdefghij"
SESSION_TOKEN = "canarySessionToken0123456789"
V1 = "authentication.k8s.io/v1"
V1BETA1 = "authentication.k8s.io/v1beta1"
ROLE = "arn:aws:iam::123456789012:role/team/Admin"
SESSION_ARN = "arn:aws:sts::123456789012:assumed-role/Admin/alice@example.com"
USER_ID = "AROAEXAMPLE:alice@example.com"

MAPPINGS = f"""\
  mapRoles:
  - roleARN: {ROLE}
    username: "awsiam:{{{{SessionNameRaw}}}}"
    groups: [shop-admins]
  mapUsers:
  - userARN: arn:aws:iam::123456789012:user/bob
    username: aws:bob
  mapAccounts: ["210987654321"]
"""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def review(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def error(self) -> str:
        return str(self.review["status"]["error"])


class RunningServer:
    def __init__(
        self, directory: Path, sts: FakeSts, mappings: str = MAPPINGS, settings: str = "", **variables: str
    ) -> None:
        self.directory = directory
        self.sts = sts
        self.port, self.health_port = free_ports(2)
        self.config = directory / "conf" / "config.yaml"
        self.config.parent.mkdir(parents=True, exist_ok=True)
        put_pair(directory / "state")
        self.settings = settings
        self.variables = variables
        self.write_config(mappings)
        self.process: forks.Running | None = None
        self.context: ssl.SSLContext | None = None

    def text(self, mappings: str) -> str:
        return (
            f"clusterID: {CLUSTER}\nserver:\n  port: {self.port}\n  healthPort: {self.health_port}\n"
            f"  stateDir: {self.directory / 'state'}\n  generateKubeconfig: {self.directory / 'kubeconfig.yaml'}\n"
            f"  stsEndpoint: https://{self.sts.authority}\n{self.settings}{mappings}"
        )

    def write_config(self, mappings: str) -> None:
        self.config.write_text(self.text(mappings))

    def launch(
        self, *flags: str, descriptors: int = 0, before: str = "", pass_fds: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Start an interpreter of its own; `descriptors` is its hard limit of open files and sockets, where it is to have another one.

        `before` is Python code that runs first in it; `pass_fds` are descriptors that it inherits.
        """
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({descriptors}, {descriptors})); "
        call = limit * bool(descriptors) + before + "import sys; from kube_iam.cli.main import main; sys.exit(main())"
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", call, "server", "-c", str(self.config), *flags],
                env=self._environ(),
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
            )

    def _environ(self) -> dict[str, str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environ |= {"AWS_CA_BUNDLE": str(self.sts.ca), "NO_PROXY": "127.0.0.1", "HOME": str(self.directory)}
        return environ | {"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", **self.variables}

    def start(self, *flags: str, descriptors: int = 0, launched: bool = False, cgroup: Path | None = None) -> None:
        """Start the server and wait until it listens: launched, or else forked where that makes no difference.

        `cgroup` is the file of the processes of a cgroup that it joins.
        """
        if launched or descriptors or cgroup is not None:
            join = f"open({str(cgroup)!r}, 'w').write('0'); " if cgroup is not None else ""
            self.process = self.launch(*flags, descriptors=descriptors, before=join)
        else:
            with (self.directory / "log").open("ab") as log:
                arguments = ("server", "-c", str(self.config), *flags)
                self.process = forks.start(arguments, self._environ(), stdout=log, stderr=log)
        wait_until(lambda: "msg=listening" in self.log() or '"msg":"listening"' in self.log() or self._ended())
        assert not self._ended(), self.log()
        self.trust()

    def trust(self) -> None:
        self.context = ssl.create_default_context(cafile=self.directory / "state" / "cert.pem")

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text() if path.exists() else ""

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=30)
        return _ask(connection, method, path, body, headers or {})

    def health(self, path: str) -> Reply:
        return _ask(http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=30), "GET", path, None, {})

    def review(self, token: str, version: str = V1, audiences: list[str] | None = None) -> Reply:
        spec: dict[str, object] = {"token": token}
        if audiences is not None:
            spec["audiences"] = audiences
        question = {"apiVersion": version, "kind": "TokenReview", "metadata": {"creationTimestamp": None}, "spec": spec}
        return self.request("POST", "/authenticate?timeout=30s", json.dumps(question).encode())

    def metric(self, sample: str) -> float:
        text = self.request("GET", "/metrics").body.decode()
        found = [line for line in text.splitlines() if line.startswith(sample + " ")]
        return float(found[0].rsplit(" ", 1)[1]) if found else 0.0

    def token(self, *, age: float = 0, key: str = "ASIAEXAMPLEEXAMPLE00", region: str = "us-east-1") -> str:
        """Return a fresh token that this server's STS is asked about. Each key and age makes another one."""
        credentials = Credentials(key, SECRET, SESSION_TOKEN)
        return mint(
            credentials,
            cluster_id=CLUSTER,
            region=region,
            host=self.sts.authority,
            timestamp=basic_timestamp(time.time() - age),
        )


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> Reply:
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())
    finally:
        connection.close()


def wait_until(condition: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.02)
