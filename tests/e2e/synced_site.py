"""A cluster as on EKS: its authenticator checks no membership and no deny list, and remembers tokens for two minutes.

Our server stands in for EKS's: it maps roles to user names and to no group. `kube-iam sync` runs beside it with the rights that
`policy sync` and `manifest sync` print, and reads IAM through a front where faults can be put.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from faulty_iam import FaultyIam
from whole_sandbox import Person, Sandbox

from emulated_account import Account
from kube_iam.kube.client import KubeApi
from kube_iam.kube.config_map import ConfigMapEditor, Contents, Edit
from kube_iam.sandbox.mount import NAME, NAMESPACE
from kube_iam.sandbox.processes import Process, free_ports, wait_until
from kube_iam.sandbox.state import LOOPBACK, REGION, Home
from kube_iam.sandbox.up import down, up
from kube_iam.sandbox.users import put_server_policy
from kube_iam.sandbox.webhook import KUBE_IAM, launch_webhook, readiness

MAX_AGE = 6
LEVELS = """\
membershipCheck: rbac
levels:
  - name: ops
    bind: [{clusterRole: view}, {clusterRole: edit, namespaces: [shop]}]
  - name: audit
    bind: [{clusterRole: view}]
"""


def without_deny_list(config_map: Contents) -> Edit[None]:
    lines = config_map.data["config.yaml"].splitlines(keepends=True)
    return Edit({"config.yaml": "".join(line for line in lines if "denyList" not in line)}, None)


class SyncingSandbox(Sandbox):
    """A sandbox in which `kube-iam sync` runs, with an authenticator that checks no membership and no deny list, as on EKS."""

    iam: FaultyIam

    def __init__(self, home: Home, state: Any) -> None:
        super().__init__(home, state)
        self.processes: dict[str, tuple[Process, int]] = {}
        api = KubeApi(environ=os.environ, kubeconfig=str(home.kubeconfig))
        # The sandbox copies this ConfigMap into the server's file, over what stands there.
        ConfigMapEditor(api, NAMESPACE, NAME).edit(without_deny_list)
        assert wait_until(lambda: "denyList" not in home.server_config.read_text(), 30)
        self.iam = FaultyIam(Account(home, state), home.root / "front")
        self.bundle = home.root / "bundle.pem"
        self.bundle.write_text(home.ca.read_text() + self.iam.server.ca.read_text())

    def permit_sync(self, **variables: str) -> None:
        """Give the sync the rights that `policy sync` and `manifest sync` print for the access file."""
        administrator = self.administrator
        put_server_policy(
            self.home, self.state, json.loads(administrator.works("kube-iam", "policy", "sync", **variables))
        )
        image = ("--image", "registry.example.com/kube-iam:1")
        manifest = administrator.works("kube-iam", "manifest", "sync", *image, **variables)
        administrator.works("kubectl", "apply", "-f", "-", stdin=manifest)
        self.kubeconfig_of_sync = self._service_account("kube-iam-sync")

    def _service_account(self, name: str) -> Path:
        token = self.administrator.works("kubectl", "-n", "kube-system", "create", "token", name, "--duration", "2h")
        config = yaml.safe_load(self.home.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token.strip()}
        path = self.home.root / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    def sync(self, name: str = "sync", *more: str) -> Process:
        """Start a process of the sync. Return it at once."""
        process, (port,) = self.home.process(name), free_ports(1)
        command = [sys.executable, "-c", KUBE_IAM, "sync", "--kubeconfig", str(self.kubeconfig_of_sync)]
        command += ["--membership-refresh", "1s", "--membership-max-age", f"{MAX_AGE}s", "--port", str(port), *more]
        environment = {
            "AWS_REGION": REGION,
            "AWS_CA_BUNDLE": str(self.bundle),
            "AWS_ENDPOINT_URL_IAM": self.iam.url,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "signedAnewByTheFront",
            "NO_PROXY": LOOPBACK,
            "HOME": str(self.home.root),
            "TMPDIR": str(self.home.root),
        }
        process.start(command, environment, self.home.root)
        self.processes[name] = process, port
        return process

    def get(self, path: str, name: str = "sync") -> str:
        """Return the answer of a process's own port, empty where it does not answer."""
        if name not in self.processes:
            return ""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"http://{LOOPBACK}:{self.processes[name][1]}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()
        except OSError:
            return ""

    def log(self, name: str = "sync") -> str:
        return self.processes[name][0].log.read_text()

    def is_leader(self, name: str) -> bool:
        return "kube_iam_sync_leader 1\n" in self.get("/metrics", name)

    def stop_all(self) -> None:
        for process, _ in self.processes.values():
            process.stop()


class SyncedSite(SyncingSandbox):
    """The sandbox with synced levels. `sync` starts one process of `kube-iam sync`."""

    def __init__(self, home: Home, state: Any) -> None:
        super().__init__(home, state)
        text = home.access.read_text().partition("levels:")[0]
        home.access.write_text(text + LEVELS)
        home.process("webhook").stop()
        put_server_policy(home, state, json.loads(self.administrator.works("kube-iam", "policy", "sync")))
        launch_webhook(home, state)
        assert wait_until(lambda: readiness(self.state) == "ok", 30)
        self.administrator.works("kube-iam", "apply", "--yes")
        assert wait_until(lambda: "entries=2" in home.process("webhook").log.read_text(), 90)
        self.permit_sync()

    def users(self, binding: str = "kube-iam:ops:view", namespace: str = "") -> list[str]:
        """Return the subjects of a binding."""
        kind = ("-n", namespace, "rolebinding") if namespace else ("clusterrolebinding",)
        found = json.loads(self.administrator.works("kubectl", "get", *kind, binding, "-o", "json"))
        return sorted(f"{each['kind']}:{each['name']}" for each in found.get("subjects") or ())

    def has(self, user: str, level: str = "ops") -> bool:
        return f"User:awsiam:{level}:{user}" in self.users(f"kube-iam:{level}:view")

    def join(self, user: str, level: str = "ops") -> None:
        """Add the user to the level's IAM group, by another way than `grant`."""
        self.person(user)
        self.iam.account.administrator.add_user_to_group(GroupName=f"sandbox-{level}", UserName=user)

    def leave(self, user: str, level: str = "ops") -> None:
        self.iam.account.administrator.remove_user_from_group(GroupName=f"sandbox-{level}", UserName=user)


@contextmanager
def synced_site(directory: Path) -> Iterator[SyncedSite]:
    home = Home(directory / "sandbox")
    made: list[SyncedSite] = []
    try:
        made.append(SyncedSite(home, up(home, os.environ, lambda _: None, cache_ttl_seconds=120)))
        yield made[0]
    finally:
        for each in made:
            each.stop_all()
            each.iam.stop()
        down(home)


def reads(person: Person, kubeconfig: Path) -> bool:
    """Return whether a list of all pods is allowed with the cached token."""
    done = person.run("kubectl", "--kubeconfig", kubeconfig, "get", "pods", "-A")
    assert done.returncode == 0 or "forbidden" in done.stderr, done.stderr
    return done.returncode == 0


def seconds_until(condition: Callable[[], bool], limit: float) -> float:
    """Return how long it took until the condition was true."""
    began = time.monotonic()
    assert wait_until(condition, limit)
    return time.monotonic() - began


def kill(process: Process) -> None:
    process.signal(signal.SIGKILL)
    assert wait_until(lambda: process.pid() is None, 10)
