"""A whole sandbox, and people who work in it with the real commands."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
from base64 import b64decode
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

import forks
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.shell import environment
from kube_iam.sandbox.state import ADMINISTRATOR, Home, State
from kube_iam.sandbox.users import ensure_user

BIN = Path(sys.executable).parent
ROLE = "arn:aws:iam::111122223333:role/sandbox-"


REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class Sandbox:
    """A sandbox that is up."""

    def __init__(self, home: Home, state: State) -> None:
        self.home = home
        self.state = state
        self.administrator = self.person(ADMINISTRATOR)

    def person(self, name: str) -> Person:
        """Return an IAM user with an empty session cache."""
        self.state = ensure_user(self.home, self.state, name)
        return Person(self, name)

    def restart_api_server(self, *more: str) -> None:
        """End kube-apiserver and start it again as it was, with more arguments."""
        process = self.home.process("kube-apiserver")
        command = Path(f"/proc/{process.pid()}/cmdline").read_text().split("\0")[:-1]
        process.stop(1)
        process.start([*command, *more], {"HOME": str(self.home.root), "TMPDIR": str(self.home.root)}, self.home.root)
        process.await_ready(lambda: self.administrator.run("kubectl", "get", "--raw", "/readyz").returncode == 0, 60)

    def member(self, name: str, level: str) -> Person:
        """Return an IAM user who was granted the level and is a member for the server, with an empty session cache."""
        self.person(name)
        self.administrator.works("kube-iam", "grant", name, level)
        trying = self.person(name)
        kubeconfig = self.kubeconfig(level)
        assert wait_until(lambda: trying.signs_in(kubeconfig), 60), trying.whoami(kubeconfig).stderr
        return self.person(name)

    def kubeconfig(self, level: str, *options: str) -> Path:
        """Write the kubeconfig of the level, as `kube-iam kubeconfig` prints it."""
        path = self.home.root / f"{level}{''.join(options).replace('/', '')}.yaml"
        path.write_text(self.administrator.works("kube-iam", "kubeconfig", level, *options))
        return path


class Person:
    """Somebody at a shell."""

    _caches = 0

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        credentials = sandbox.state.user(name)
        assert credentials is not None
        self.name = name
        self.credentials = credentials
        Person._caches += 1
        self.environment = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(sandbox.home.root),
            **environment(sandbox.home, sandbox.state, name, credentials),
            "KUBE_IAM_CACHE_DIR": str(sandbox.home.root / "cache" / f"{name}-{Person._caches}"),
        }

    def run(self, *command: str | Path, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        environ = {**self.environment, **variables}
        if command[0] == "kube-iam":
            return forks.run(command[1:], environ, text=stdin)
        return subprocess.run(
            [str(part) for part in command],
            env=environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def whoami(self, kubeconfig: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `kubectl auth whoami`, with the cached token if there is one."""
        command = ("kubectl", "--kubeconfig", kubeconfig, "auth", "whoami", "-o", "json")
        return self.run(*command, **variables)

    def signs_in(self, kubeconfig: Path) -> bool:
        """Return whether a new token is admitted. A wait with a cached one takes ten seconds: kube-apiserver remembers its answer."""
        return self.user(kubeconfig) is not None

    def user(self, kubeconfig: Path) -> dict[str, Any] | None:
        """Return the user that kube-apiserver sees in a new token, or None. For waits: kubectl would do ten times the work."""
        cluster, plugin = _cluster_and_plugin(kubeconfig)
        asked = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
        given = {each["name"]: each["value"] for each in plugin.get("env") or ()}
        environ = {**self.environment, **given, "KUBERNETES_EXEC_INFO": json.dumps(asked), "KUBE_IAM_TOKEN_CACHE": "0"}
        made = forks.run(plugin["args"], environ, program=plugin["command"])
        if made.returncode:
            return None
        token = json.loads(made.stdout)["status"]["token"]
        trust = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
        connection = http.client.HTTPSConnection(cluster["server"].removeprefix("https://"), context=trust, timeout=60)
        with closing(connection):
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request("POST", REVIEWS, json.dumps(review), headers)
            answer = connection.getresponse()
            body = answer.read().decode()
        assert answer.status in (201, 401, 403), (
            body
        )  # 403: the authorizer, while kube-apiserver remembers the identity
        return json.loads(body)["status"]["userInfo"] if answer.status == 201 else None

    def stays_in(self, kubeconfig: Path) -> bool:
        """Return whether the cached token is admitted, or the first one where none is cached."""
        return self.whoami(kubeconfig).returncode == 0

    def works(self, *command: str | Path, stdin: str = "", **variables: str) -> str:
        """Run a command that has to succeed. Return what it prints."""
        done = self.run(*command, stdin=stdin, **variables)
        assert done.returncode == 0, f"{self.name}: {command}: {done.returncode}: {done.stdout} {done.stderr}"
        return done.stdout

    def refused(self, *command: str | Path, stdin: str = "", **variables: str) -> str:
        """Run a command that has to fail and to print nothing. Return its standard error."""
        done = self.run(*command, stdin=stdin, **variables)
        assert done.returncode != 0, f"{self.name}: {command}: {done.stdout}"
        assert done.stdout == ""
        return done.stderr


def _cluster_and_plugin(kubeconfig: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the cluster and the credential plugin of a kubeconfig with one context."""
    read = yaml.safe_load(kubeconfig.read_text())
    (cluster,), (user,) = read["clusters"], read["users"]
    return cluster["cluster"], user["user"]["exec"]
