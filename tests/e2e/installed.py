"""A cluster as an installer leaves it: an AWS account, etcd, kube-apiserver with its flags, the authenticator in a container.

The authenticator takes its default ports, as it does on a control-plane node, where the cluster has a network of its own (root only).
Tokens are signed for AWS's own STS, as in production; a proxy connects its name to the emulated account.
"""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from container import CONTAINED, Container, give
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from whole_sandbox import Person, Sandbox

from kube_iam.access.server_policy import server_document
from kube_iam.config.access import load_access
from kube_iam.core.partitions import sts_host
from kube_iam.files import write_file
from kube_iam.mappings import crd_status
from kube_iam.sandbox import mount
from kube_iam.sandbox.access_file import NAMESPACE, access_file
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.connect_proxy import ConnectProxy
from kube_iam.sandbox.control_plane import Binaries, start_apiserver, start_etcd
from kube_iam.sandbox.processes import Process, free_ports, wait_until
from kube_iam.sandbox.state import AUTHENTICATOR, CLUSTER_ID, LOOPBACK, REGION, Home
from kube_iam.sandbox.up import start_account
from kube_iam.sandbox.users import put_server_policy

STATE_DIR = "/var/aws-iam-authenticator"
CONFIG_DIR = "/etc/aws-iam-authenticator"
IDENTITY_MAPPINGS = "iamidentitymappings.iamauthenticator.k8s.aws"
STS_ROOTS = "/etc/ssl/sts.pem"


class Site:
    """The account and etcd of one cluster; kube-apiserver runs from `start_api_server` on."""

    def __init__(self, home: Home, binaries: Binaries) -> None:
        self.port, self.health_port = (21362, 21363) if CONTAINED else free_ports(2)
        self.home = home
        self._binaries = binaries
        self.authority = Authority(home.tls)
        self._etcd = start_etcd(home, self.authority, binaries)
        self._sandbox = Sandbox(home, start_account(home, self.authority, lambda _: None))
        self.proxy = ConnectProxy([sts_host(REGION)], self._sandbox.state.account_port)

    def start_api_server(self, extra_args: Mapping[str, object]) -> None:
        """Start kube-apiserver with these flags, anew where one runs."""
        self.home.process("kube-apiserver").stop(1)
        api = start_apiserver(self.home, self.authority, self._binaries, self._etcd, extra_args=extra_args)
        api.ensure("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        self.api = api
        self._sandbox = Sandbox(self.home, replace(self._sandbox.state, api_port=api.port))

    def restart_api_server(self) -> None:
        """End kube-apiserver and start it again as it was."""
        process = self.home.process("kube-apiserver")
        command = Path(f"/proc/{process.pid()}/cmdline").read_text().split("\0")[:-1]
        process.stop(1)  # it would wait for watches to end, which is for their clients to do
        process.start(command, {"HOME": str(self.home.root), "TMPDIR": str(self.home.root)}, self.home.root)
        process.await_ready(self.api.ready, 60)

    @property
    def administrator(self) -> Person:
        """The user who runs `kube-iam apply`."""
        return self._sandbox.administrator

    def person(self, name: str) -> Person:
        """Return an IAM user at a shell, who reaches STS by its name."""
        person = self._sandbox.person(name)
        for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"):
            del person.environment[variable]
        person.environment["HTTPS_PROXY"] = self.proxy.url
        return person

    def member(self, name: str, level: str) -> Person:
        """Return an IAM user who was granted the level."""
        self._sandbox.person(name)
        self.administrator.works("kube-iam", "grant", name, level)
        return self.person(name)

    def kubeconfig(self, level: str) -> Path:
        return self._sandbox.kubeconfig(level)

    def apply(self, mapping: str) -> None:
        """`kube-iam apply` of the sandbox's three levels, with the mappings kept there: `configFile: {}` and so on."""
        text = access_file(self.home, self._sandbox.state)
        write_file(self.home.access, text.replace("configFile: {}", mapping).encode())
        put_server_policy(self.home, self._sandbox.state, server_document(load_access(self.home.access)))
        self.administrator.works("kube-iam", "apply", "--yes")

    def put_config_map(self, name: str, data: Mapping[str, str]) -> None:
        """Write the ConfigMap in kube-system with exactly this data."""
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}
        status, _ = self.api.call("PUT", f"{mount.CONFIG_MAPS}/{name}", body)
        if status == 404:
            self.api.ensure(mount.CONFIG_MAPS, body)

    def container(self, directory: Path, mounts: Mapping[str, Path], *, memory: bool = True) -> Container:
        """Return the authenticator's container, on the network of the host. It reaches STS by its name."""
        # In the container it changes its program, its user and its directory.
        process = Process("webhook", directory / "process.json", directory / "authenticator.log")
        roots = directory / "sts.pem"
        roots.write_text(self.authority.pem)
        environment = {
            "HTTPS_PROXY": self.proxy.url,
            "NO_PROXY": LOOPBACK,
            "AWS_CA_BUNDLE": STS_ROOTS,
            **self._authenticator(),
        }
        return Container(process, directory, {**mounts, STS_ROOTS: roots}, environment, memory)

    def _authenticator(self) -> dict[str, str]:
        """Return the variables of a node's instance role, which may read the groups and roles of the access file."""
        state = self._sandbox.state
        own = state.user(AUTHENTICATOR)
        assert own is not None
        return {
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_IAM": state.account_url,
            "AWS_ACCESS_KEY_ID": own.access_key_id,
            "AWS_SECRET_ACCESS_KEY": own.secret_access_key,
        }

    def server_config(self, *more: str) -> str:
        """Return a config.yaml with these lines under `server`."""
        lines = [*([] if CONTAINED else [f"port: {self.port}", f"healthPort: {self.health_port}"]), *more]
        return f"clusterID: {CLUSTER_ID}\nserver:" + ("".join(f"\n  {line}" for line in lines) or " {}") + "\n"

    def alive(self, ca: Path) -> bool:
        """Return the result of kOps's liveness probe: HTTPS on the webhook's own port."""
        return _answers(f"https://{LOOPBACK}:{self.port}/healthz", ca)

    def ready(self) -> bool:
        """Return the result of the readiness probe of deploy/daemonset.yaml."""
        return _answers(f"http://{LOOPBACK}:{self.health_port}/readyz", None)

    @contextmanager
    def running(self, container: Container, args: list[str], ca: Path | None = None) -> Iterator[Container]:
        """Start the container, wait until it is alive and ready for kubelet, and stop it at the end."""
        container.start(args)
        try:
            container.process.await_ready(lambda: self.alive(ca or self.authority.path) and self.ready(), 30)
            yield container
        finally:
            container.process.stop()

    def close(self) -> None:
        """Close everything that is not a process."""
        self.proxy.close()


def _answers(url: str, ca: Path | None) -> bool:
    https = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca)) if ca else None)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), https).open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def whoami(person: Person, kubeconfig: Path) -> dict[str, Any]:
    """Return the user that kube-apiserver authenticates the person as."""
    said = person.works("kubectl", "--kubeconfig", kubeconfig, "auth", "whoami", "-o", "json")
    user: dict[str, Any] = json.loads(said)["status"]["userInfo"]
    return user


def name_of(person: Person, kubeconfig: Path) -> str:
    """Return the user name of the person, signed in with a new token, or an empty text if the sign-in is refused."""
    return str((person.user(kubeconfig) or {}).get("username", ""))


def comes_in_as(person: Person, kubeconfig: Path, name: str) -> bool:
    """Whether that becomes so soon, for new tokens: kube-apiserver remembers an old one's answer for ten seconds."""
    return wait_until(lambda: name_of(person, kubeconfig) == name, 20)


def kops_files(site: Site, directory: Path) -> tuple[Path, Path]:
    """Write what kOps's nodeup puts on a node: the state directory, with a pair of kOps's own CA, and the webhook kubeconfig."""
    state, kubeconfig = directory / "srv" / "aws-iam-authenticator", directory / "authn.config"
    state.mkdir(parents=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issued = site.authority.server("aws-iam-authenticator", ["localhost", LOOPBACK], key)
    shutil.copy(issued.certificate, state / "cert.pem")
    (state / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    (state / "key.pem").chmod(0o600)
    give(state / "cert.pem", state / "key.pem")
    write_file(
        kubeconfig,
        AUTHN_CONFIG.format(port=site.port, ca=base64.b64encode(site.authority.pem.encode()).decode()).encode(),
    )
    return state, kubeconfig


AUTHN_CONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: aws-iam-authenticator
  cluster:
    certificate-authority-data: {ca}
    server: https://127.0.0.1:{port}/authenticate
contexts:
- name: webhook
  context: {{cluster: aws-iam-authenticator, user: kube-apiserver}}
current-context: webhook
users:
- name: kube-apiserver
  user: {{}}
"""


@contextmanager
def mounted(site: Site, directory: Path) -> Iterator[Path]:
    """Mount the ConfigMap kube-system/aws-iam-authenticator as the files of a volume."""
    directory.mkdir()
    process = site.home.process("mount")
    process.start(mount.command(site.api, directory), {}, site.home.root)
    try:
        process.await_ready(lambda: (directory / "config.yaml").exists(), 20)
        yield directory
    finally:
        process.stop()


def service_account(site: Site, directory: Path, name: str) -> Path:
    """Write what kubelet mounts for that ServiceAccount in kube-system, and a kubeconfig of the same for use outside pods."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    _, answer = site.api.call("POST", f"/api/v1/namespaces/kube-system/serviceaccounts/{name}/token", request)
    directory.mkdir()
    files = {"token": answer["status"]["token"], "ca.crt": site.authority.pem, "namespace": "kube-system"}
    files["kubeconfig"] = SERVER_KUBECONFIG.format(port=site.api.port)
    for file, text in files.items():
        (directory / file).write_text(text)
    return directory


SERVER_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: c
  cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: ca.crt}}
users:
- name: u
  user: {{tokenFile: token}}
contexts:
- name: x
  context: {{cluster: c, user: u}}
current-context: x
"""


def identity_mapping(name: str, arn: str, username: str) -> str:
    """Return an IAMIdentityMapping for `kubectl apply`."""
    spec = {"arn": arn, "username": username, "groups": ["kube-iam:viewer"]}
    return json.dumps(
        {"apiVersion": crd_status.API_VERSION, "kind": crd_status.KIND, "metadata": {"name": name}, "spec": spec}
    )


def mapping_status(site: Site, name: str) -> dict[str, str]:
    """Return the status that the authenticator wrote back."""
    return dict(site.api.call("GET", f"{crd_status.PATH}/{name}")[1].get("status") or {})
