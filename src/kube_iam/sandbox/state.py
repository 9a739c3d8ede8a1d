"""The directory of a sandbox and the state that later commands read from it.

All files are in one directory of mode 0700. `sandbox.json` marks the directory as a sandbox: without that file nothing in the
directory is ever removed. It holds the access keys of the sandbox's own IAM users, which are valid in this sandbox only.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from kube_iam.core.credentials import Credentials
from kube_iam.errors import SandboxError
from kube_iam.files import write_file
from kube_iam.sandbox.files import read_own
from kube_iam.sandbox.processes import Process

ACCOUNT = "111122223333"
REGION = "eu-central-1"
CLUSTER_ID = "sandbox.kube-iam.dev"
ADMINISTRATOR = "administrator"
AUTHENTICATOR = "authenticator"  # the IAM user of the sandbox's kube-iam server
LOOPBACK = "127.0.0.1"
MARKER = "sandbox.json"
# In the order of their start. They are stopped in the reverse order.
PROCESSES = ("account", "etcd", "kube-apiserver", "mount", "webhook")


@dataclass(frozen=True, slots=True)
class State:
    """The ports and keys of one sandbox. `keys` are access keys by IAM user name, each as (id, secret)."""

    account_port: int
    webhook_port: int
    health_port: int
    api_port: int = 0  # 0: no control plane
    root_key: tuple[str, str] = ("", "")
    keys: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"State(account_port={self.account_port}, users={sorted(self.keys)})"

    @property
    def root(self) -> Credentials:
        """The credentials of the account's root, which only the sandbox itself uses."""
        return Credentials(*self.root_key)

    def user(self, name: str) -> Credentials | None:
        """Return the access key of an IAM user that the sandbox created, or None."""
        return Credentials(*self.keys[name]) if name in self.keys else None

    def with_user(self, name: str, credentials: Credentials) -> State:
        """Return this state with the user's access key added."""
        pair = (credentials.access_key_id, credentials.secret_access_key)
        return replace(self, keys={**self.keys, name: pair})

    @property
    def account_url(self) -> str:
        """The endpoint of IAM and STS."""
        return f"https://{LOOPBACK}:{self.account_port}"

    @property
    def webhook_url(self) -> str:
        """The URL for TokenReviews."""
        return f"https://{LOOPBACK}:{self.webhook_port}/authenticate"

    @property
    def api_url(self) -> str:
        """The URL of the API server, or an empty text where there is no control plane."""
        return f"https://{LOOPBACK}:{self.api_port}" if self.api_port else ""


@dataclass(frozen=True, slots=True)
class Home:
    """The directory of one sandbox. With `is_default` commands find it without `--dir`."""

    root: Path
    is_default: bool = False

    def command(self, name: str) -> str:
        """Return the command line of `kube-iam sandbox NAME` for this sandbox, quoted for a POSIX shell."""
        return f"kube-iam sandbox {name}" + ("" if self.is_default else f" --dir {shlex.quote(str(self.root))}")

    @property
    def marker(self) -> Path:
        """The file that marks the directory as a sandbox."""
        return self.root / MARKER

    @property
    def tls(self) -> Path:
        """Certificates and keys."""
        return self.root / "tls"

    @property
    def ca(self) -> Path:
        """The sandbox's own certificate authority."""
        return self.tls / "ca.pem"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the cluster's administrator, with a client certificate in system:masters."""
        return self.root / "kubeconfig.yaml"

    @property
    def access(self) -> Path:
        """The access.yaml of this sandbox."""
        return self.root / "access.yaml"

    @property
    def server_config(self) -> Path:
        """The config.yaml that the webhook reads."""
        return self.root / "mount" / "config.yaml"

    @property
    def webhook(self) -> Path:
        """The server's state directory."""
        return self.root / "webhook"

    @property
    def webhook_kubeconfig(self) -> Path:
        """The kubeconfig with which kube-apiserver reaches the webhook."""
        return self.webhook / "kubeconfig.yaml"

    @property
    def authorizer(self) -> Path:
        """The directory of kube-apiserver's AuthorizationConfiguration and its kubeconfig."""
        return self.root / "authorizer"

    @property
    def server_kubeconfig(self) -> Path:
        """The kubeconfig with which the webhook reaches the cluster."""
        return self.webhook / "cluster.yaml"

    def process(self, name: str) -> Process:
        """Return one of the sandbox's background processes by its name."""
        return Process(name, self.root / "run" / f"{name}.json", self.root / "logs" / f"{name}.log", self.root)

    def check(self) -> None:
        """Raise SandboxError where another user owns the directory or can write it, and so could have written its files.

        A missing or empty directory is valid.
        """
        for directory in (self.root, self.root / "run"):
            try:
                status = directory.stat()
                empty = not any(directory.iterdir()) if status.st_uid == os.geteuid() else False
            except FileNotFoundError:
                continue
            except OSError as error:
                raise SandboxError(f"cannot read the sandbox's directory {directory}: {error.strerror}") from error
            if status.st_uid != os.geteuid():
                raise SandboxError(
                    f"{directory} belongs to another user, so its files are not trusted",
                    "name another directory with --dir",
                )
            if status.st_mode & 0o022 and not empty:
                raise SandboxError(
                    f"others can write {directory}, so its files are not trusted",
                    f"if nobody else has put anything there: chmod 700 {shlex.quote(str(directory))}",
                )

    def create(self) -> None:
        """Create the directory. Raises SandboxError where it holds something else, and where `check` does."""
        self.check()
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(self.root.iterdir()) and not self.marker.is_file():
                raise SandboxError(
                    f"{self.root} is not a sandbox and is not empty", "name another directory with --dir"
                )
            self.root.chmod(0o700)
            if not self.marker.is_file():
                write_file(self.marker, b"{}")
            for name in ("tls", "run", "logs", "webhook", "mount"):
                (self.root / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise SandboxError(f"cannot create the sandbox's directory {self.root}: {error}") from error

    def save(self, state: State) -> None:
        """Write the state to `sandbox.json`."""
        write_file(self.marker, json.dumps(asdict(state), indent=1).encode())

    def load(self) -> State | None:
        """Return the saved state, or None where there is no sandbox or its start was interrupted. Raises as `check` does."""
        self.check()
        try:
            found = json.loads(read_own(self.marker))
            keys = {name: (pair[0], pair[1]) for name, pair in found.pop("keys").items()}
            root_id, root_secret = found.pop("root_key")
            return State(**found, keys=keys, root_key=(root_id, root_secret))
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            return None

    def require(self) -> State:
        """Return the state of a running sandbox. Raises SandboxError where none runs."""
        state = self.load()
        if state is None or self.process("account").pid() is None:
            raise SandboxError(f"no sandbox is up in {self.root}", f"start one: {self.command('up')}")
        return state

    def remove(self) -> None:
        """Remove the directory with all its files if it is a sandbox."""
        if self.marker.is_file():
            shutil.rmtree(self.root, ignore_errors=True)
