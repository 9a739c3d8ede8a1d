"""`kube-iam doctor USER LEVEL` in a working sandbox in which one thing is broken: it names that first."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.session import Session
from seeded_faults import ADMINISTRATOR, seeded
from whole_sandbox import Person, Sandbox

from binaries import control_plane_binaries
from examples import cells
from kube_iam.access.server_policy import server_document
from kube_iam.cli.root import run_command
from kube_iam.config.access import load_access
from kube_iam.core.credentials import Credentials
from kube_iam.core.reasons import Reason
from kube_iam.core.tokens import mint
from kube_iam.core.utc import basic_timestamp, rfc3339
from kube_iam.denylist.prober import Prober
from kube_iam.doctor.causes import Cause
from kube_iam.kube.client import KubeApi
from kube_iam.kube.cluster import KubeCluster
from kube_iam.kube.config_map import ConfigMapEditor, Edit
from kube_iam.sandbox.access_file import NAMESPACE
from kube_iam.sandbox.processes import Process, free_port, wait_until
from kube_iam.sandbox.state import ACCOUNT, CLUSTER_ID, REGION, Home
from kube_iam.sandbox.up import down, up
from kube_iam.sandbox.users import put_server_policy
from kube_iam.sandbox.webhook import KUBE_IAM, await_webhook, launch_webhook

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("admin-doctor")]
PERSON = ADMINISTRATOR
TABLE_TEST = "test_the_fault_is_named_first"
LEVEL, GROUP, ROLE = "developer", "sandbox-developer", "sandbox-developer"
ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/kube-iam/sandbox/{GROUP}"
SECONDS = 30
NAMED = ("dora", LEVEL, "--context", "sandbox-admin")
"""Words that choose the context by name: it may lead to another address than the access file says."""
NOTHING: dict[str, object] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}],
}


@dataclass
class Site:
    """A sandbox of this module, in which dora is a member of the level developer."""

    sandbox: Sandbox
    iam: Any
    environ: Mapping[str, str]
    output: Callable[[], str] = lambda: ""
    awaits: bool = True

    @property
    def home(self) -> Home:
        return self.sandbox.home

    @property
    def api(self) -> KubeApi:
        return KubeApi(environ=os.environ, kubeconfig=str(self.home.kubeconfig))

    def diagnose(self, *words: str) -> dict[str, Any]:
        """Run doctor in this process, for dora and the level developer by default. Return its data."""
        code = self.run("doctor", *(words or ("dora", LEVEL)), "-o", "json")
        printed = self.output()
        for secret in (self.sandbox.administrator.credentials.secret_access_key, "k8s-aws-v1.", "X-Amz-"):
            assert secret not in printed
        found: dict[str, Any] = json.loads(printed)
        assert code == (0 if found["passed"] else 1)
        return found

    def run(self, *words: str) -> int:
        """Run a command of the administrator in this process: a process of its own takes a second more. Return its exit code."""
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environ)
        self.output()
        try:
            return run_command("kube-iam", words, os.environ)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def works(self) -> bool:
        return bool(self.diagnose()["passed"])

    def config(self, namespace: str = "kube-system", name: str = "aws-iam-authenticator") -> ConfigMapEditor:
        return ConfigMapEditor(self.api, namespace, name)

    @contextmanager
    def config_text(self, change: Callable[[str], str]) -> Iterator[None]:
        """Give the server's config.yaml another text, and the former one afterwards."""
        before = self.config().read().data["config.yaml"]
        assert change(before) != before
        self.config().edit(lambda _: Edit({"config.yaml": change(before)}, None))
        try:
            yield
        finally:
            self.config().edit(lambda _: Edit({"config.yaml": before}, None))
            assert not self.awaits or wait_until(self.works, SECONDS)

    @contextmanager
    def unawaited(self) -> Iterator[None]:
        """Do not wait for the server when a text is restored inside."""
        self.awaits = False
        try:
            yield
        finally:
            self.awaits = True

    def entry(self, change: Callable[[dict[str, Any], list[Any]], object]) -> AbstractContextManager[None]:
        """Change the level's entry in mapRoles, or the list, and restore it afterwards."""

        def edit(text: str) -> str:
            document = yaml.safe_load(text)
            entries = document["server"]["mapRoles"]
            change(next(each for each in entries if each["rolearn"] == ARN), entries)
            return yaml.safe_dump(document, sort_keys=False)

        return self.config_text(edit)

    @contextmanager
    def access_text(self, change: Callable[[str], str]) -> Iterator[None]:
        before = self.home.access.read_text()
        assert change(before) != before
        self.home.access.write_text(change(before))
        try:
            yield
        finally:
            self.home.access.write_text(before)

    @contextmanager
    def server(self, *flags: str, config: Callable[[str], str] = str, **variables: str) -> Iterator[None]:
        """Run the server with other flags, settings or variables, and as before afterwards."""
        process = self.home.process("webhook")
        process.stop()
        path = self.home.root / "other-server" / "config.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(config(self.home.server_config.read_text()))
        launch_webhook(self.home, self.sandbox.state, **variables)
        if flags or config is not str:
            launched = Path(f"/proc/{process.pid()}/environ").read_bytes().split(b"\0")
            environment = dict(part.decode().split("=", 1) for part in launched if part)
            process.stop()
            command = [sys.executable, "-c", KUBE_IAM, "server", "--config", str(path), *flags]
            process.start(command, environment, self.home.root)
        try:
            yield
        finally:
            process.stop()
            await_webhook(launch_webhook(self.home, self.sandbox.state), self.sandbox.state)
            assert wait_until(self.works, SECONDS)

    @contextmanager
    def other_api_server(self, *flags: str) -> Iterator[None]:
        """Run a second kube-apiserver with more flags, to which the administrator's kubeconfig leads."""
        first = self.home.process("kube-apiserver")
        command = Path(f"/proc/{first.pid()}/cmdline").read_text().split("\0")[:-1]
        port = free_port()
        second = Process("kube-apiserver-2", self.home.root / "run" / "2.json", self.home.root / "logs" / "2.log", None)
        environment = {"HOME": str(self.home.root), "TMPDIR": str(self.home.root)}
        second.start([*command, f"--secure-port={port}", *flags], environment, self.home.root)
        url = f"https://127.0.0.1:{port}"
        try:
            with administrator_kubeconfig(lambda it: it["clusters"][0]["cluster"].update(server=url))(self):
                second.await_ready(self.is_api_ready, 60)
                yield
        finally:
            second.stop(1)

    def is_api_ready(self) -> bool:
        return self.sandbox.administrator.run("kubectl", "get", "--raw", "/readyz").returncode == 0

    def apply(self) -> None:
        assert self.run("apply", "--yes") == 0


Breaks = Callable[[Site], AbstractContextManager[object]]


@dataclass
class Fault:
    """One thing to break: a context manager that breaks and repairs it, the words of the command, and a word of its message."""

    cause: Cause
    breaks: Breaks
    words: tuple[str, ...] = ()
    said: str = ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("doctor") / "sandbox")
    try:
        sandbox = Sandbox(home, up(home, os.environ, lambda _: None))
        administrator = sandbox.administrator
        administrator.works("kube-iam", "apply", "--yes")
        sandbox.member("dora", LEVEL)
        sandbox.person("otto")
        yield Site(sandbox, iam_of(sandbox, administrator), {**administrator.environment, "NO_PROXY": "127.0.0.1"})
    finally:
        down(home)


def iam_of(sandbox: Sandbox, person: Person) -> Any:
    return Session().create_client(
        "iam",
        region_name=REGION,
        endpoint_url=sandbox.state.account_url,
        verify=str(sandbox.home.ca),
        aws_access_key_id=person.credentials.access_key_id,
        aws_secret_access_key=person.credentials.secret_access_key,
    )


@pytest.fixture(autouse=True)
def captured(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.output = lambda: capsys.readouterr().out


# --- what is broken


@contextmanager
def stopped_server(site: Site) -> Iterator[None]:
    site.home.process("webhook").stop()
    try:
        yield
    finally:
        await_webhook(launch_webhook(site.home, site.sandbox.state), site.sandbox.state)


@contextmanager
def new_certificate(site: Site) -> Iterator[None]:
    """Give the server another certificate than the one that kube-apiserver trusts."""
    files = [site.home.webhook / name for name in ("cert.pem", "key.pem", "kubeconfig.yaml")]
    before = {path: path.read_bytes() for path in files}
    site.home.process("webhook").stop()
    for path in files:
        path.unlink()
    await_webhook(launch_webhook(site.home, site.sandbox.state), site.sandbox.state)
    try:
        yield
    finally:
        site.home.process("webhook").stop()
        for path, data in before.items():
            path.write_bytes(data)
        await_webhook(launch_webhook(site.home, site.sandbox.state), site.sandbox.state)
        assert wait_until(site.works, SECONDS)


class Teapot(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None: ...


def free_again(address: tuple[str, int]) -> ThreadingHTTPServer:
    """Return a program at the address, as soon as the last connections of the server there have ended."""
    found: list[ThreadingHTTPServer] = []

    def is_bound() -> bool:
        with suppress(OSError):
            found.append(ThreadingHTTPServer(address, Teapot))
        return bool(found)

    assert wait_until(is_bound, SECONDS)
    return found[0]


def other_program(*, tls: bool) -> Breaks:
    @contextmanager
    def run(site: Site) -> Iterator[None]:
        """Let another program listen at the server's address, with the server's certificate or without TLS."""
        with stopped_server(site):
            server = free_again(("127.0.0.1", site.sandbox.state.webhook_port))
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(site.home.webhook / "cert.pem", site.home.webhook / "key.pem")
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            try:
                yield
            finally:
                server.shutdown()
                server.server_close()

    return run


def webhook_kubeconfig(change: Callable[[str], str]) -> Breaks:
    def run(site: Site) -> AbstractContextManager[None]:
        path = site.home.root / "other-webhook.yaml"
        path.write_text(change(site.home.webhook_kubeconfig.read_text()))
        return site.other_api_server(f"--authentication-token-webhook-config-file={path}")

    return run


@contextmanager
def merged_context(site: Site) -> Iterator[None]:
    """Add a context for this API server that signs in with another cluster id."""
    before = site.home.kubeconfig.read_text()
    config = yaml.safe_load(before)
    arguments = ["token", "-i", "shop.example.com", "-r", ARN]
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "kube-iam", "args": arguments}
    config["users"].append({"name": "shop", "user": {"exec": plugin}})
    config["contexts"].append({"name": "shop", "context": {"cluster": config["clusters"][0]["name"], "user": "shop"}})
    site.home.kubeconfig.write_text(yaml.safe_dump(config))
    try:
        yield
    finally:
        site.home.kubeconfig.write_text(before)


def administrator_kubeconfig(change: Callable[[dict[str, Any]], object]) -> Breaks:
    @contextmanager
    def run(site: Site) -> Iterator[None]:
        before = site.home.kubeconfig.read_text()
        config = yaml.safe_load(before)
        change(config)
        site.home.kubeconfig.write_text(yaml.safe_dump(config))
        try:
            yield
        finally:
            site.home.kubeconfig.write_text(before)

    return run


@contextmanager
def no_rights_of_server(site: Site) -> Iterator[None]:
    put_server_policy(site.home, site.sandbox.state, NOTHING)
    try:
        yield
    finally:
        put_server_policy(site.home, site.sandbox.state, server_document(load_access(site.home.access)))
        assert wait_until(site.works, SECONDS)


@contextmanager
def old_mapping(site: Site) -> Iterator[None]:
    """Take the level's entry out of the mapping, and put it back while the server's file does not follow the ConfigMap."""
    mount = site.home.process("mount").pid()
    assert mount is not None
    with ExitStack() as stack:
        with site.entry(lambda own, entries: entries.remove(own)):
            assert wait_until(lambda: "does not know level" in str(site.diagnose()), SECONDS)
            stack.enter_context(suspended(mount))
            stack.enter_context(site.unawaited())
        yield
    assert wait_until(site.works, SECONDS)


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def denied_user(site: Site) -> Iterator[None]:
    site.run("deny", "dora", "--no-wait")
    try:
        yield
    finally:
        site.run("undeny", "dora")
        assert wait_until(site.works, SECONDS)


def denied(entry: str) -> Breaks:
    @contextmanager
    def run(site: Site) -> Iterator[None]:
        """Write an entry of the deny list by hand."""
        denials = site.config(name="kube-iam-denied")
        denials.edit(lambda _: Edit({"by-hand": entry}, None))
        try:
            yield
        finally:
            denials.edit(lambda _: Edit({"by-hand": None}, None))
            assert wait_until(site.works, SECONDS)

    return run


def add_entry(**fields: object) -> Breaks:
    """Put an entry for the level's role before the level's own."""
    return lambda site: site.entry(lambda own, entries: entries.insert(0, {**own, **fields}))


def change_entry(**fields: object) -> Breaks:
    return lambda site: site.entry(lambda own, entries: own.update(fields))


def config(old: str, new: str) -> Breaks:
    return lambda site: site.config_text(lambda text: text.replace(old, new))


@contextmanager
def entry_in_aws_auth(site: Site) -> Iterator[None]:
    """Move the level's entry from the server's ConfigMap into aws-auth, which this server does not read."""
    text = f"- rolearn: {ARN}\n  username: dora\n  groups: ['kube-iam:developer']\n"
    site.config(name="aws-auth").edit(lambda _: Edit({"mapRoles": text}, None))
    try:
        with site.entry(lambda own, entries: entries.remove(own)):
            yield
    finally:
        site.config(name="aws-auth").edit(lambda _: Edit({"mapRoles": None}, None))


@contextmanager
def ended_grant(site: Site) -> Iterator[None]:
    """Give otto temporary access that ended a minute ago."""
    user_id = site.iam.get_user(UserName="otto")["User"]["UserId"]
    item = {"userName": "otto", "userId": user_id, "until": rfc3339(1_700_000_000)}
    with site.entry(lambda own, entries: own.update(temporary=[item])):
        yield


def iam_change(change: Callable[[Any], object]) -> Breaks:
    """Change IAM, and repair the level with `apply` and `grant`."""

    @contextmanager
    def run(site: Site) -> Iterator[None]:
        with ExitStack() as undo:
            undo.callback(lambda: wait_until(site.works, SECONDS) or pytest.fail("the level was not repaired"))
            undo.callback(lambda: site.run("grant", "dora", LEVEL))
            undo.callback(site.apply)
            change(site.iam)
            yield

    return run


def without_group(iam: Any) -> None:
    iam.remove_user_from_group(GroupName=GROUP, UserName="dora")
    iam.detach_group_policy(GroupName=GROUP, PolicyArn=POLICY)
    iam.delete_group(GroupName=GROUP)


def policy_of_another_role(iam: Any) -> None:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ARN.replace(ROLE, "sandbox-viewer")}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_policy_version(PolicyArn=POLICY, PolicyDocument=document, SetAsDefault=True)


def role_at_another_path(iam: Any) -> None:
    document = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
    tags = iam.list_role_tags(RoleName=ROLE)["Tags"]
    iam.delete_role(RoleName=ROLE)
    iam.create_role(RoleName=ROLE, Path="/teams/", AssumeRolePolicyDocument=json.dumps(document), Tags=tags)


def trust_of_otto(iam: Any) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/otto"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=document)


def binding(change: Callable[[Site, KubeCluster], object]) -> Breaks:
    @contextmanager
    def run(site: Site) -> Iterator[None]:
        change(site, KubeCluster(site.api))
        try:
            yield
        finally:
            site.apply()

    return run


@contextmanager
def boundary_of_user(site: Site) -> Iterator[None]:
    """Give dora a permissions boundary that does not allow sts:AssumeRole."""
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = site.iam.create_policy(PolicyName="boundary", PolicyDocument=document)["Policy"]["Arn"]
    site.iam.put_user_permissions_boundary(UserName="dora", PermissionsBoundary=arn)
    try:
        yield
    finally:
        site.iam.delete_user_permissions_boundary(UserName="dora")
        site.iam.delete_policy(PolicyArn=arn)


@contextmanager
def policy_that_denies(site: Site) -> Iterator[None]:
    """Give dora a policy of her own that denies sts:AssumeRole."""
    statement = {"Effect": "Deny", "Action": "sts:AssumeRole", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    site.iam.put_user_policy(UserName="dora", PolicyName="no-roles", PolicyDocument=document)
    try:
        yield
    finally:
        site.iam.delete_user_policy(UserName="dora", PolicyName="no-roles")


BINDING = f"kube-iam:{LEVEL}:edit"
OTHER_GROUP = '[{"op": "replace", "path": "/subjects/0/name", "value": "kube-iam:developr"}]'


def bind_another_group(site: Site, cluster: KubeCluster) -> None:
    patch = ("patch", "rolebinding", BINDING, "-n", NAMESPACE, "--type=json", "-p", OTHER_GROUP)
    site.sandbox.administrator.works("kubectl", *patch)


def access(change: Callable[[str], str]) -> Breaks:
    return lambda site: site.access_text(change)


def bind(text: str) -> Breaks:
    """Let the level bind something else in the access file, which is not applied."""
    return access(lambda file: file.replace(f"{{clusterRole: edit, namespaces: [{NAMESPACE}]}}", text))


FAULTS = {
    # 7: the administrator's connections and the cluster id
    "context of another cluster": Fault(
        Cause.OTHER_CLUSTER,
        access(lambda text: text.replace("endpoint: https://127.0.0.1", "endpoint: https://127.0.0.2")),
    ),
    "administrator whose credentials kube-apiserver refuses": Fault(
        Cause.ADMINISTRATOR_UNAUTHORIZED,
        administrator_kubeconfig(lambda it: it["users"][0].update(user={"token": "t0ken"})),
    ),
    "API server that is down": Fault(
        Cause.SERVER_REFUSES_CONNECTIONS,
        administrator_kubeconfig(lambda it: it["clusters"][0]["cluster"].update(server="https://127.0.0.1:9")),
        NAMED,
    ),
    "cluster id in the server's ConfigMap": Fault(
        Cause.CLUSTER_ID_DIFFERS,
        config(f"clusterID: {CLUSTER_ID}", "clusterID: shop.example.com"),
        said="shop.example.com",
    ),
    "cluster id in a kubeconfig context": Fault(Cause.CLUSTER_ID_DIFFERS, merged_context, said="context shop signs in"),
    # 8: kube-apiserver and the server
    "server that is stopped": Fault(Cause.WEBHOOK_DOWN, stopped_server, said="connection refused"),
    "webhook certificate that kube-apiserver does not trust": Fault(
        Cause.WEBHOOK_UNTRUSTED, new_certificate, said="x509"
    ),
    "program without TLS at the server's address": Fault(Cause.WEBHOOK_ADDRESS, other_program(tls=False)),
    "program other than the server at its address": Fault(Cause.WEBHOOK_MISSING, other_program(tls=True)),
    "webhook kubeconfig with a name that the certificate lacks": Fault(
        Cause.WEBHOOK_CERTIFICATE_NAME,
        webhook_kubeconfig(lambda text: text.replace("https://127.0.0.1:", "https://localhost:")),
        NAMED,
    ),
    "kube-apiserver without the webhook": Fault(
        Cause.WEBHOOK_MISSING,
        lambda site: site.other_api_server("--authentication-token-webhook-config-file="),
        NAMED,
    ),
    "server with another cluster id by its flag": Fault(
        Cause.SERVER_CLUSTER_ID, lambda site: site.server("--cluster-id", "shop.example.com"), said="shop.example.com"
    ),
    "server that does not take tokens for this STS": Fault(
        Cause.SERVER_PARTITION, lambda site: site.server(config=without_sts)
    ),
    "server that does not reach STS": Fault(
        Cause.SERVER_STS,
        lambda site: site.server(HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY="", no_proxy=""),
    ),
    # 9: the server and IAM
    "server without rights in IAM": Fault(
        Cause.SERVER_RIGHTS, no_rights_of_server, said="IAM does not let the server call iam:Get"
    ),
    "server with a wrong secret key": Fault(
        Cause.SERVER_IAM_UNREACHABLE, lambda site: site.server(AWS_SECRET_ACCESS_KEY="wrong-secret")
    ),
    "server that has not loaded the mapping": Fault(Cause.SERVER_MAPPING_OLD, old_mapping),
    # 10: deny list
    "denied user": Fault(Cause.DENIED, denied_user, said="undeny"),
    "denied session of the role": Fault(
        Cause.DENIED,
        denied(json.dumps({"value": f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/dora"})),
        said="assumed-role",
    ),
    "denied role": Fault(Cause.DENIED, denied(json.dumps({"value": ARN, "reason": "review"})), said="review"),
    "entry of the deny list that is no JSON": Fault(Cause.DENIED, denied("value: dora"), said="by-hand"),
    # 11: mapping
    "mapping without the level's entry": Fault(
        Cause.MAPPING_MISSING, lambda site: site.entry(lambda own, entries: entries.remove(own))
    ),
    "entry in aws-auth, which the server does not read": Fault(
        Cause.MAPPING_MISSING, entry_in_aws_auth, said="ConfigMap kube-system/aws-auth has one"
    ),
    "entry for another account": Fault(
        Cause.MAPPING_NOT_MATCHING, change_entry(rolearn=ARN.replace(ACCOUNT, "444455556666")), said="444455556666"
    ),
    "entry for another partition": Fault(
        Cause.MAPPING_NOT_MATCHING, change_entry(rolearn=ARN.replace("arn:aws:", "arn:aws-cn:")), said="aws-cn"
    ),
    "entry with a mistyped role": Fault(
        Cause.MAPPING_NOT_MATCHING, change_entry(rolearn=ARN.replace(ROLE, "sandbox-developr")), said="sandbox-developr"
    ),
    "entry with a role in another letter case": Fault(
        Cause.MAPPING_DIFFERS, change_entry(rolearn=ARN.replace(ROLE, "Sandbox-Developer")), said="Sandbox-Developer"
    ),
    "entry behind another one for the role": Fault(
        Cause.MAPPING_SHADOWED, add_entry(username="guest", groups=["guests"]), said="line"
    ),
    "entry with a mistyped Kubernetes group": Fault(
        Cause.MAPPING_DIFFERS, change_entry(groups=["kube-iam:developr"]), said="kube-iam:developr"
    ),
    "entry with a mistyped IAM group": Fault(
        Cause.MAPPING_DIFFERS, change_entry(iamGroup="sandbox-developr"), said="sandbox-developr"
    ),
    "user name that the server reserves": Fault(
        Cause.MAPPING_NAME,
        config(
            "server:\n",
            "server:\n  reservedPrefixConfig: [{backendMode: MountedFile, usernamePrefixReserveList: ['awsiam:']}]\n",
        ),
        said="awsiam:",
    ),
    "mapping that is no YAML": Fault(Cause.MAPPING_INVALID, config("mapRoles:", "mapRoles: {")),
    "backends without the mapping's place": Fault(
        Cause.BACKEND_MODE, config("server:\n", "server:\n  backendMode: [EKSConfigMap]\n"), said="MountedFile"
    ),
    "level that was not applied": Fault(
        Cause.LEVEL_NOT_APPLIED,
        access(lambda text: text + "\n  - name: auditor\n    bind: [{clusterRole: view}]\n"),
        ("dora", "auditor"),
    ),
    # 12: IAM
    "user that IAM does not have": Fault(
        Cause.USER_MISSING, lambda site: ExitStack(), ("dorra", LEVEL), said="did you mean 'dora'?"
    ),
    "user who is not in the group": Fault(
        Cause.NOT_MEMBER, lambda site: ExitStack(), ("otto", LEVEL), said="kube-iam grant otto"
    ),
    "temporary access that has ended": Fault(Cause.TEMPORARY_ENDED, ended_grant, ("otto", LEVEL), said="2023-"),
    "group that was deleted": Fault(Cause.GROUP_MISSING, iam_change(without_group)),
    "policy that was detached from the group": Fault(
        Cause.POLICY_DETACHED, iam_change(lambda iam: iam.detach_group_policy(GroupName=GROUP, PolicyArn=POLICY))
    ),
    "policy that allows another role": Fault(
        Cause.POLICY_CHANGED, iam_change(policy_of_another_role), said="sandbox-viewer"
    ),
    "trust policy that allows somebody else": Fault(Cause.TRUST_POLICY, iam_change(trust_of_otto), said="user/otto"),
    "role that was deleted": Fault(Cause.ROLE_MISSING, iam_change(lambda iam: iam.delete_role(RoleName=ROLE))),
    "role at another path": Fault(Cause.ROLE_PATH, iam_change(role_at_another_path), said="/teams/"),
    "permissions boundary of the user": Fault(Cause.PERMISSIONS_BOUNDARY, boundary_of_user, said="boundary"),
    "policy of the user that denies roles": Fault(Cause.IDENTITY_POLICY, policy_that_denies, said="no-roles"),
    "tag of the role that was removed": Fault(
        Cause.LEVEL_DRIFT,
        iam_change(lambda iam: iam.untag_role(RoleName=ROLE, TagKeys=["kube-iam.dev/level"])),
        said="role",
    ),
    # 13: bindings
    "binding that was deleted": Fault(
        Cause.BINDING_MISSING, binding(lambda site, cluster: cluster.delete_binding(NAMESPACE, BINDING)), said=BINDING
    ),
    "binding of another group": Fault(Cause.BINDING_DIFFERS, binding(bind_another_group)),
    "binding in a namespace that does not exist": Fault(
        Cause.NAMESPACE_MISSING, bind("{clusterRole: edit, namespaces: [nowhere]}"), said="nowhere"
    ),
    "binding of a ClusterRole that does not exist": Fault(
        Cause.BOUND_ROLE_MISSING, bind("{clusterRole: edit-2, namespaces: [shop]}"), said="edit-2"
    ),
}


def without_sts(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if "stsEndpoint" not in line)


def test_a_working_sign_in_passes_every_check(site: Site) -> None:
    found = site.diagnose()
    others = [check["code"] for check in found["checks"] if check["status"] != "passed"]
    assert others == ["server-pods"], found  # the sandbox's server runs in no pod
    assert {check["step"] for check in found["checks"]} == set(range(7, 14))


@pytest.mark.parametrize("name", cells([*FAULTS]))
def test_the_fault_is_named_first(name: str, site: Site) -> None:
    fault = FAULTS[name]
    with fault.breaks(site):
        found: dict[str, Any] = {}

        def is_named() -> bool:
            found.update(site.diagnose(*fault.words))
            return bool(found["cause"] == fault.cause.code)

        assert wait_until(is_named, SECONDS), found
        failed = next(check for check in found["checks"] if check["status"] == "failed")
        assert fault.said in failed["detail"] + failed["remedy"]


@seeded("trust policy that lets callers choose their session name", Cause.SESSION_NAME_UNRESTRICTED, PERSON)
@seeded("role that the server has suspended", Cause.ROLE_SUSPENDED, PERSON)
def test_an_open_trust_policy_and_the_suspension_behind_it_are_named(site: Site) -> None:
    open_trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [open_trust]})
    site.iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=document)
    assert wait_until(lambda: site.diagnose()["cause"] == Cause.SESSION_NAME_UNRESTRICTED.code, SECONDS)
    site.apply()
    assert wait_until(lambda: site.diagnose()["cause"] == Cause.ROLE_SUSPENDED.code, SECONDS)
    assert "until 20" in str(site.diagnose())

    site.iam.delete_role(RoleName=ROLE)
    site.apply()
    assert wait_until(site.works, SECONDS)
    assert "sessions from before" in str(site.diagnose())


# --- missing rights


def test_an_administrator_without_rights_is_told_each_of_them(site: Site, tmp_path: Path) -> None:
    otto = site.sandbox.person("otto")
    kubeconfig = service_account(site, "nobody", tmp_path)
    nobody = {**site.environ, "KUBECONFIG": str(kubeconfig)}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        nobody[name] = otto.environment[name]
    found = replace(site, environ=nobody).diagnose()
    assert found["passed"]
    rights = {
        "cluster-id": "get configmaps in namespace kube-system",
        "token-review": "create tokenreviews.authentication.k8s.io",
        "server-pods": "list pods in namespace kube-system",
        "server-iam": "create tokenreviews.authentication.k8s.io",
        "deny-list": "get configmaps in namespace kube-system",
        "mapping": "get configmaps in namespace kube-system",
        "user": "iam:GetUser",
        "membership": "iam:GetGroup",
        "policy": "iam:GetGroup",
        "role": "iam:GetRole",
        "assume-role": "iam:GetUser",
        "drift": "list clusterrolebindings.rbac.authorization.k8s.io",
        "bindings": "get rolebindings.rbac.authorization.k8s.io in namespace shop",
    }
    details = {check["code"]: check["detail"] for check in found["checks"] if check["status"] == "skipped"}
    assert details.keys() == {*rights, "permissions"}
    for code, right in rights.items():
        assert right in details[code], code


def test_without_impersonation_the_rules_of_the_bound_role_are_asked_one_by_one(site: Site, tmp_path: Path) -> None:
    kubeconfig = service_account(site, "reviewer", tmp_path)
    kubectl = site.sandbox.administrator.works
    rules = (
        ("--verb=create", "--resource=tokenreviews.authentication.k8s.io,subjectaccessreviews.authorization.k8s.io"),
        ("--verb=get,list", "--resource=configmaps,clusterroles,clusterrolebindings,roles,rolebindings"),
    )
    for number, rule in enumerate(rules):
        kubectl("kubectl", "create", "clusterrole", f"reviewer-{number}", *rule)
        role = (f"--clusterrole=reviewer-{number}", "--serviceaccount=default:reviewer")
        kubectl("kubectl", "create", "clusterrolebinding", f"reviewer-{number}", *role)
    found = replace(site, environ={**site.environ, "KUBECONFIG": str(kubeconfig)}).diagnose()
    assert found["passed"], found
    (detail,) = (check["detail"] for check in found["checks"] if check["code"] == "permissions")
    assert "awsiam:dora may do in namespace shop" in detail
    assert "that were asked" in detail


def service_account(site: Site, name: str, directory: Path) -> Path:
    """Return a kubeconfig with a token of a new service account."""
    kubectl = site.sandbox.administrator.works
    kubectl("kubectl", "create", "serviceaccount", name)
    token = kubectl("kubectl", "create", "token", name).strip()
    config = yaml.safe_load(site.home.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = directory / "config"
    path.write_text(yaml.safe_dump(config))
    return path


# --- the server's words


def test_refusals_have_different_words_and_a_request_id_that_leads_to_the_log(site: Site) -> None:
    own = site.sandbox.administrator.credentials
    wrong_secret = Credentials(own.access_key_id, "wrong-secret")
    tokens = {
        Reason.STS_SIGNATURE_MISMATCH: token_of(site, own, cluster_id="shop.example.com"),
        Reason.TOKEN_EXPIRED: token_of(site, own, ago=1200),
        Reason.NOT_MAPPED: token_of(site, own),
        Reason.STS_UNKNOWN_KEY: token_of(site, Credentials("AKIAUNKNOWN000000000", "secret")),
    }
    prober, log = Prober(site.api), site.home.process("webhook").log
    for reason, token in tokens.items():
        said = prober.review(token).error
        assert reason.sentence in said
        (request,) = re.findall(r"\(request ([0-9a-f]{8})\)", said)
        assert f"reason={reason.value}" in line_with(log, f"requestid={request}")
    # STS tells a wrong secret from another cluster id to nobody.
    assert Reason.STS_SIGNATURE_MISMATCH.sentence in prober.review(token_of(site, wrong_secret)).error


def line_with(log: Path, word: str) -> str:
    """Return the only line of the log with that word, which may not be written yet."""
    assert wait_until(lambda: word in log.read_text(), SECONDS)
    (line,) = (line for line in log.read_text().splitlines() if word in line)
    return line


def token_of(site: Site, keys: Credentials, cluster_id: str = CLUSTER_ID, ago: float = 0) -> str:
    host = f"127.0.0.1:{site.sandbox.state.account_port}"
    timestamp = basic_timestamp(time.time() - ago)
    return mint(keys, cluster_id=cluster_id, region=REGION, host=host, timestamp=timestamp)
