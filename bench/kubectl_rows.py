"""Rows about the whole way: kubectl, exec plugin, kube-apiserver, webhook, STS. Two control planes, alike otherwise."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.commands import Command, interleaved
from bench.context import CLUSTER_ID, ROLE, Bench
from bench.fakes import FakeSts, fake_sts
from bench.figures import Row, ours, part, ratio
from bench.servers import Server, server
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import BUILD_COMMAND, Binaries, find_binaries, start_control_plane
from kube_iam.sandbox.state import Home

RUNS = 100
WARM_UP = 2
WEBHOOK_CACHE_SECONDS = 120.0  # kube-apiserver's default
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: bench
  cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: "{ca}"}}
contexts:
- name: bench
  context: {{cluster: bench, user: bench}}
current-context: bench
users:
- name: bench
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      interactiveMode: Never
      command: "{program}"
      args: [token, -i, {cluster}, -r, "{role}"]
"""


@dataclass(frozen=True)
class Cluster:
    """A control plane, the command that asks it, and the STS of its people and its server."""

    get_namespaces: Command
    sts: FakeSts
    webhook: Server

    def check(self) -> None:
        """Ask once, untimed. Raises RuntimeError with what the webhook had to say."""
        try:
            found = self.get_namespaces.output()
        except RuntimeError as problem:
            raise RuntimeError(f"{problem}\nits webhook's log ends: {self.webhook.log()}") from problem
        if "kube-system" not in found:
            raise RuntimeError(f"{self.get_namespaces.name} got no namespaces: {found}")


def kubectl(bench: Bench) -> list[Row]:
    """`kubectl get ns` with a role, warm, STS 20 ms away, and how many calls to STS that makes."""
    binaries = find_binaries(os.environ)
    if binaries is None:
        raise RuntimeError(f"there is no kube-apiserver: {BUILD_COMMAND}")
    with ExitStack() as stack:
        ours_, reference = (stack.enter_context(_cluster(bench, which, binaries)) for which in ("ours", "reference"))
        for cluster in (ours_, reference):
            cluster.sts.set(delay_ms=20)
            cluster.check()
        bench.say("kubectl: both clusters are up; kubectl get ns takes turns")
        rounds = bench.times(RUNS)
        runs = interleaved(bench.start, [ours_.get_namespaces, reference.get_namespaces], rounds, WARM_UP)
        per_hundred = 100 / (rounds + WARM_UP + 1)
        calls = [_calls(cluster.sts) * per_hundred for cluster in (ours_, reference)]
        said = [f"{cluster.sts.counts()}" for cluster in (ours_, reference)]
    mine, its = runs["ours"], runs["reference"]
    return [
        Row(
            "kubectl",
            "`kubectl get ns` end to end, warm, STS 20 ms away, role assumed",
            (part("wall time", "ms", mine.wall_ms, its.wall_ms, ratio("<=", 0.55)),),
            (
                "each has kube-apiserver and webhook of its own; kube-apiserver keeps answers for its default of 2 minutes",
            ),
        ),
        Row(
            "sts-calls",
            "STS calls for 100 such kubectl runs",
            (part("calls", "", calls[:1], calls[1:], ours("<=", 5)),),
            (
                f"counted by the fakes, the first sign-in included: kube-iam {said[0]}, reference {said[1]}",
                "a cached token is used again for 7 minutes; kube-apiserver remembers its answer for 2, and then asks again",
            ),
        ),
    ]


def _calls(sts: FakeSts) -> int:
    return sum(int(count) for action, count in sts.counts().items() if action not in ("tunnels", "cpu_seconds"))


@contextmanager
def _cluster(bench: Bench, which: str, binaries: Binaries) -> Iterator[Cluster]:
    with fake_sts(bench.programs.fakests, bench.directory / f"sts-{which}") as sts:
        own = replace(bench, sts=sts)
        with server(own, which) as webhook:
            home = Home(bench.directory / f"cluster-{which}")
            home.create()
            try:
                bench.say(f"kubectl: starting etcd and kube-apiserver for {which}")
                api = start_control_plane(
                    home,
                    Authority(home.tls),
                    binaries,
                    webhook=webhook.directory / "kubeconfig.yaml",
                    cache_ttl_seconds=WEBHOOK_CACHE_SECONDS,
                )
                api.ensure(
                    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                    {
                        "metadata": {"name": "bench"},
                        "subjects": [{"kind": "Group", "name": "bench:admin", "apiGroup": "rbac.authorization.k8s.io"}],
                        "roleRef": {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"},
                    },
                )
                program = bench.programs.kube_iam if which == "ours" else bench.programs.reference
                kubeconfig = home.root / "person.yaml"
                kubeconfig.write_text(
                    KUBECONFIG.format(port=api.port, ca=home.ca, program=program, cluster=CLUSTER_ID, role=ROLE)
                )
                argv = [_kubectl(), "--kubeconfig", str(kubeconfig), "get", "ns"]
                yield Cluster(Command(which, argv, own.environment(f"kubectl-{which}")), sts, webhook)
            finally:
                for name in ("kube-apiserver", "etcd"):
                    home.process(name).stop()


def _kubectl() -> str:
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if not found:
        raise RuntimeError("there is no kubectl")
    return found
