"""Webhook servers, ours and the reference's, set up alike, and the load on them."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.context import CLUSTER_ID, ROLE, Bench
from kube_iam.sandbox.processes import free_ports

CONFIG = """\
clusterID: {cluster}
server:
  hostname: localhost
  address: 127.0.0.1
  port: {port}
  healthPort: {health}
  stateDir: "{directory}"
  generateKubeconfig: "{directory}/kubeconfig.yaml"
  mapRoles:
"""
ENTRY = """\
  - rolearn: {role}
    username: "awsiam:{{{{SessionNameRaw}}}}"
    groups: ["bench:admin"]
"""
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE_SECONDS = 120
_NO_TOKEN = b'{"apiVersion": "authentication.k8s.io/v1beta1", "kind": "TokenReview", "spec": {"token": "k8s-aws-v1."}}'
_DRAIN_SECONDS = 3  # the reference takes no notice of SIGTERM while connections are open


def mappings(count: int) -> str:
    """So many role mappings; the last is the one that counts, which is the worst case for who looks through them."""
    others = (ENTRY.format(role=f"arn:aws:iam::123456789012:role/team-{number}") for number in range(count - 1))
    return "".join(others) + ENTRY.format(role=ROLE)


@dataclass(frozen=True)
class Server:
    """A running webhook server."""

    name: str
    port: int
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def certificate(self) -> Path:
        """Return the certificate that clients of the server trust."""
        return self.directory / "cert.pem"

    def rss_mib(self) -> float:
        """Its resident memory now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"{self.name} has ended: {self.log()}")

    def cpu_seconds(self) -> float:
        """Return the processor time that the server has used, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def log(self) -> str:
        """Return the end of the server's log."""
        return (self.directory / "log").read_text(errors="replace")[-800:]

    def get(self, path: str, body: bytes | None = None) -> str:
        """Return the answer to a GET, or to a POST of a body, at the TLS port. Raises OSError."""
        trust = ssl.create_default_context(cafile=str(self.certificate))
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        with direct.open(f"https://localhost:{self.port}{path}", body, timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    def answers(self) -> bool:
        """Return whether it decides about tokens. While it loads, ours answers them with 504."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} has ended: {self.log()}")
        try:
            self.get("/authenticate", _NO_TOKEN)
        except urllib.error.HTTPError as error:
            return error.code != 504
        except OSError:
            return False
        return True


@contextmanager
def server(
    bench: Bench, which: str, *, entries: int = 1, more_mappings: str = "", variables: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """`ours` or `reference`, ready, with so many role mappings. Both believe to ask the real STS, which the fake plays."""
    directory = bench.directory / f"{which}-{entries}-{time.monotonic_ns()}"
    directory.mkdir(parents=True)
    port, health = free_ports(2)
    config = directory / "conf" / "config.yaml"
    config.parent.mkdir()
    head = CONFIG.format(cluster=CLUSTER_ID, port=port, health=health, directory=directory)
    config.write_text(head + mappings(entries) + more_mappings)
    program = bench.programs.kube_iam if which == "ours" else bench.programs.reference
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(directory), **bench.sts.environment(), **(variables or {})}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [program, "server", "-c", str(config)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
        )
    running = Server(which, port, directory, process)
    try:
        end = time.monotonic() + _PATIENCE_SECONDS
        while not running.answers():
            if time.monotonic() > end:
                raise RuntimeError(f"{which} was not ready in time: {running.log()}")
            time.sleep(0.05)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        (directory / "log").unlink()  # a line per request: hundreds of megabytes


@dataclass(frozen=True)
class Load:
    """A report of the loader about one measurement, and the processor use of each program meanwhile."""

    rate: float
    p50_ms: float
    p99_ms: float
    allowed: int
    refused: int
    shares: dict[str, float]

    def __str__(self) -> str:
        used = ", ".join(f"{name} {share:.2f}" for name, share in self.shares.items())
        return f"{self.rate:8.0f}/s  p50 {self.p50_ms:6.2f} ms  p99 {self.p99_ms:7.2f} ms  cores used: {used}"


def load(bench: Bench, target: Server, *options: str, may_fail: bool = False) -> Load:
    """Put load on a server. Raises RuntimeError where an answer was wrong or missing, unless that `may_fail`."""
    url = f"https://127.0.0.1:{target.port}/authenticate"
    # All over the loader's whole life, the opening of its connections included: shares of different intervals do not add up.
    start, busy = time.monotonic(), _busy_seconds()
    before, sts_before = target.cpu_seconds(), float(bench.sts.counts()["cpu_seconds"])
    found = run_loader(bench, "-url", url, "-ca", str(target.certificate), *options)
    took = time.monotonic() - start
    shares = {
        "server": (target.cpu_seconds() - before) / took,
        "loader": float(found["cpu_seconds"]) / took,
        "fake STS": (float(bench.sts.counts()["cpu_seconds"]) - sts_before) / took,
    }
    # Other programs of this machine take processor time from the servers: their share is shown beside the rate.
    shares["others"] = max(0.0, (_busy_seconds() - busy) / took - sum(shares.values()))
    refused = int(found["denied"]) + int(found["failed"])
    if refused and not may_fail:
        raise RuntimeError(f"{target.name}: {refused} requests failed: {found['problem']} {target.log()}")
    return Load(
        float(found["rate"]), float(found["p50_ms"]), float(found["p99_ms"]), int(found["allowed"]), refused, shares
    )


def _busy_seconds() -> float:
    """Processor time that all programs of this machine have used, from proc(5)."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8])
    return (user + nice + system + sum(interrupts)) / _TICKS


def run_loader(bench: Bench, *options: str) -> dict[str, Any]:
    """Return the loader's report."""
    done = subprocess.run(  # noqa: S603
        [bench.programs.load, *options], capture_output=True, text=True, check=False, timeout=180
    )
    if done.returncode != 0:
        raise RuntimeError(f"the loader failed: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def sts_alone(bench: Bench, *options: str) -> dict[str, Any]:
    """Return the loader's report about the fake STS without any server in between."""
    url = f"https://127.0.0.1:{bench.sts.port}/"
    return run_loader(bench, "-sts", "-url", url, "-ca", str(bench.sts.ca), *options)
