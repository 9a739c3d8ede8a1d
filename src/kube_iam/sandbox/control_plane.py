"""A real etcd and kube-apiserver on loopback, with RBAC and, where given, a token webhook. There are no nodes and no controllers."""

from __future__ import annotations

import shutil
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kube_iam.errors import SandboxError
from kube_iam.files import write_file
from kube_iam.sandbox.aggregation import fill_aggregated_roles
from kube_iam.sandbox.api_server import ApiServer
from kube_iam.sandbox.certificates import Authority, Pair, service_account_keys
from kube_iam.sandbox.processes import free_port, free_ports
from kube_iam.sandbox.state import LOOPBACK, Home

BUILD_COMMAND = "make control-plane"
_BINARIES = ("etcd", "kube-apiserver")
_TIMEOUT_SECONDS = 90.0
_GARBAGE_PERCENT = "400"  # with Go's default, 100, a seventh of the work of a start is garbage collection


@dataclass(frozen=True, slots=True)
class Binaries:
    """Paths of the two programs."""

    etcd: Path
    apiserver: Path


def find_binaries(environ: Mapping[str, str]) -> Binaries | None:
    """Return etcd and kube-apiserver from KUBEBUILDER_ASSETS, PATH or the cache of `make control-plane`, or None.

    Raises SandboxError where KUBEBUILDER_ASSETS is set and lacks one of them.
    """
    assets = environ.get("KUBEBUILDER_ASSETS", "")
    if assets:
        found = _both(Path(assets))
        if found is None:
            raise SandboxError(f"KUBEBUILDER_ASSETS={assets} does not hold {' and '.join(_BINARIES)}")
        return found
    paths = [shutil.which(name, path=environ.get("PATH", "")) for name in _BINARIES]
    if paths[0] and paths[1]:
        return Binaries(Path(paths[0]), Path(paths[1]))
    built = sorted((cache_directory(environ) / "control-plane").glob("*"), reverse=True)
    return next((both for both in map(_both, built) if both), None)


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory of what tools/ builds: KUBE_IAM_CACHE, else kube-iam in XDG_CACHE_HOME or ~/.cache."""
    chosen = environ.get("KUBE_IAM_CACHE", "")
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".cache")
    return Path(chosen) if chosen else Path(base) / "kube-iam"


def start_etcd(home: Home, authority: Authority, binaries: Binaries) -> tuple[str, Pair]:
    """Start etcd, which serves only clients with a certificate of the sandbox. Return its URL and a pair for clients."""
    pair = authority.member("etcd", [LOOPBACK, "localhost"])
    client, peer = (f"https://{LOOPBACK}:{port}" for port in free_ports(2))
    options = {
        "name": "sandbox",
        "data-dir": home.root / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"sandbox={peer}",
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    for prefix in ("", "peer-"):
        options |= {
            f"{prefix}cert-file": pair.certificate,
            f"{prefix}key-file": pair.key,
            f"{prefix}trusted-ca-file": authority.path,
            f"{prefix}client-cert-auth": "true",
        }
    _start(home, "etcd", binaries.etcd, options)
    return client, pair


def start_apiserver(
    home: Home,
    authority: Authority,
    binaries: Binaries,
    etcd: tuple[str, Pair],
    *,
    webhook: Path | None = None,
    cache_ttl_seconds: float = 2.0,
    extra_args: Mapping[str, object] | None = None,
) -> ApiServer:
    """Start kube-apiserver, wait until it is ready, and write the administrator's kubeconfig. Raises SandboxError.

    `webhook` is the kubeconfig of a token webhook, whose answers are cached for `cache_ttl_seconds`. `extra_args` are further
    flags without their dashes, as an installer passes them.
    """
    serving = authority.server("kube-apiserver", [LOOPBACK, "localhost", "kubernetes.default.svc"])
    admin = authority.client("kubernetes-admin", "kubernetes-admin", "system:masters")
    accounts = service_account_keys(home.tls)
    api = ApiServer(free_port(), authority.path, admin)
    options: dict[str, object] = {
        "bind-address": LOOPBACK,
        "advertise-address": LOOPBACK,
        "secure-port": api.port,
        "tls-cert-file": serving.certificate,
        "tls-private-key-file": serving.key,
        "client-ca-file": authority.path,
        "etcd-servers": etcd[0],
        "etcd-cafile": authority.path,
        "etcd-certfile": etcd[1].certificate,
        "etcd-keyfile": etcd[1].key,
        "authorization-mode": "RBAC",
        "service-cluster-ip-range": "10.0.0.0/24",
        "endpoint-reconciler-type": "none",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": accounts.certificate,
        "service-account-signing-key-file": accounts.key,
        "profiling": "false",
        # It shares a busy server among many clients. Its start-up is a fifth of kube-apiserver's, and here are few clients.
        "enable-priority-and-fairness": "false",
    }
    if webhook is not None:
        options |= {
            "authentication-token-webhook-config-file": webhook,
            "authentication-token-webhook-version": "v1",
            "authentication-token-webhook-cache-ttl": f"{cache_ttl_seconds}s",
        }
    options |= extra_args or {}
    if "authorization-config" in options:  # kube-apiserver does not start with both
        del options["authorization-mode"]
    _start(home, "kube-apiserver", binaries.apiserver, options)
    home.process("kube-apiserver").await_ready(api.ready, _TIMEOUT_SECONDS)
    fill_aggregated_roles(api)
    write_file(home.kubeconfig, kubeconfig(api, authority.pem).encode())
    return api


def start_control_plane(home: Home, authority: Authority, binaries: Binaries, **more: object) -> ApiServer:
    """Start etcd and kube-apiserver. `more` is passed to `start_apiserver`."""
    return start_apiserver(home, authority, binaries, start_etcd(home, authority, binaries), **more)  # type: ignore[arg-type]


def _both(directory: Path) -> Binaries | None:
    found = Binaries(*(directory / name for name in _BINARIES))
    return found if found.etcd.is_file() and found.apiserver.is_file() else None


def _start(home: Home, name: str, program: Path, options: Mapping[str, object]) -> None:
    command = [str(program), *(f"--{option}={value}" for option, value in options.items())]
    environment = {"HOME": str(home.root), "TMPDIR": str(home.root), "GOGC": _GARBAGE_PERCENT}
    home.process(name).start(command, environment, home.root)


def kubeconfig(api: ApiServer, ca: str, user: str = "kubernetes-admin") -> str:
    """Return a kubeconfig with the client certificate of `api`. `user` is its name in the file."""

    def data(text: str) -> str:
        return b64encode(text.encode()).decode()

    context = user.removeprefix("kubernetes-")
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: sandbox
  cluster:
    server: https://{LOOPBACK}:{api.port}
    certificate-authority-data: {data(ca)}
users:
- name: {user}
  user:
    client-certificate-data: {data(api.client.certificate.read_text())}
    client-key-data: {data(api.client.key.read_text())}
contexts:
- name: sandbox-{context}
  context:
    cluster: sandbox
    user: {user}
current-context: sandbox-{context}
"""
