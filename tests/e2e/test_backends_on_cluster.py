"""Every backend, from the mapping that a test writes to the user that a real kube-apiserver authenticates.

The server has the rights of deploy/rbac.yaml and no others. MountedFile is what the installers' shapes run.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from container import Container
from installed import (
    CONFIG_DIR,
    IDENTITY_MAPPINGS,
    STATE_DIR,
    Site,
    comes_in_as,
    identity_mapping,
    kops_files,
    mapping_status,
    name_of,
    service_account,
    whoami,
)
from whole_sandbox import ROLE, Person

from kube_iam.access.server_policy import server_document
from kube_iam.config.access import load_access
from kube_iam.mappings import crd_status
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import ACCOUNT, CLUSTER_ID, REGION
from kube_iam.sandbox.users import put_server_policy

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("backends")]
DEPLOY = Path(__file__).parents[2] / "deploy"
ACCOUNT_DIR, FILES_DIR = "/etc/kube-iam/account", "/etc/kube-iam/files"
MAPPINGS, MODE = f"{FILES_DIR}/mappings.json", f"{FILES_DIR}/mode.json"
VIEWER = f"{ROLE}viewer"


class Installed:
    """A cluster with our manifests, our levels and their mappings in aws-auth; servers for it; Vera, who is a viewer."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site = site
        self._state, kubeconfig = kops_files(site, directory)
        args = {"config-file": kubeconfig, "cache-ttl": "1s"}
        site.start_api_server({f"authentication-token-webhook-{name}": value for name, value in args.items()})
        for name in ("crd", "rbac"):
            site.administrator.works("kubectl", "apply", "-f", DEPLOY / f"{name}.yaml")
        site.administrator.works("kubectl", "wait", "--for=condition=Established", f"crd/{IDENTITY_MAPPINGS}")
        site.put_config_map("aws-auth", {"mapUsers": "[]"})  # as EKS has it
        site.apply("awsAuth: {}")
        self._account = service_account(site, directory / "account", "kube-iam")
        self.vera = site.member("vera", "viewer")
        self.kubeconfig = site.kubeconfig("viewer")
        self._token = token_of(self.vera)

    @contextmanager
    def server(self, directory: Path, *settings: str) -> Iterator[Container]:
        """Run a server with these settings. It finds the directory `files` at FILES_DIR."""
        config, files = directory / "config", directory / "files"
        config.mkdir(parents=True)
        files.mkdir(exist_ok=True)
        mounts = {CONFIG_DIR: config, STATE_DIR: self._state, ACCOUNT_DIR: self._account, FILES_DIR: files}
        container = self.site.container(directory, mounts)
        (config / "config.yaml").write_text(container.seen(self.site.server_config(*settings)))
        args = [f"--config={CONFIG_DIR}/config.yaml", f"--state-dir={STATE_DIR}", "--kubeconfig-pregenerated"]
        with self.site.running(container, ["server", *args, f"--kubeconfig={ACCOUNT_DIR}/kubeconfig"]):
            yield container

    def comes_in_as(self, name: str) -> bool:
        """Whether Vera does, soon: at kube-apiserver with new tokens, at the server with the token that she had from the start."""
        came_in = comes_in_as(self.vera, self.kubeconfig, name)
        return came_in and (review(self.site, self._token).get("user") or {}).get("username", "") == name

    def entries(self) -> str:
        """Return the text of mapRoles in aws-auth."""
        _, found = self.site.api.call("GET", "/api/v1/namespaces/kube-system/configmaps/aws-auth")
        text: str = found["data"]["mapRoles"]
        return text


@pytest.fixture(scope="module")
def cluster(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(site, tmp_path_factory.mktemp("cluster"))


def write(path: Path, **content: object) -> None:
    """Write a JSON file as the programs do that change it while the server runs."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"LastUpdatedDateTime": str(int(time.time())), "Version": "1", **content}))
    fresh.replace(path)


def entry(username: str, **more: object) -> list[dict[str, object]]:
    return [{"rolearn": VIEWER, "username": username, "groups": ["kube-iam:viewer"], **more}]


def test_aws_auth_as_apply_writes_it(cluster: Installed, tmp_path: Path) -> None:
    with cluster.server(tmp_path, "backendMode: [EKSConfigMap]"):
        assert cluster.comes_in_as("awsiam:vera")
        user = whoami(cluster.vera, cluster.kubeconfig)
        assert (user["username"], user["groups"]) == ("awsiam:vera", ["kube-iam:viewer", "system:authenticated"])
        text = cluster.entries()
        cluster.site.put_config_map("aws-auth", {"mapRoles": text.replace(VIEWER, f"{ROLE}somebody-else")})
        assert cluster.comes_in_as("")
        cluster.site.put_config_map("aws-auth", {"mapRoles": text})
        assert cluster.comes_in_as("awsiam:vera")


def test_identity_mappings_with_their_status_and_events(cluster: Installed, tmp_path: Path) -> None:
    kubectl = cluster.site.administrator.works
    with cluster.server(tmp_path, "backendMode: CRD"):
        assert cluster.comes_in_as("")
        kubectl("kubectl", "apply", "-f", "-", stdin=identity_mapping("older", VIEWER, "crd:{{SessionNameRaw}}"))
        assert cluster.comes_in_as("crd:vera")
        assert wait_until(lambda: "userID" in mapping_status(cluster.site, "older"), 10)
        assert mapping_status(cluster.site, "older")["canonicalARN"] == VIEWER.lower()
        user = whoami(cluster.vera, cluster.kubeconfig)
        assert user["uid"].split(":")[2] == mapping_status(cluster.site, "older")["userID"].split(":")[0]
        kubectl("kubectl", "apply", "-f", "-", stdin=identity_mapping("younger", VIEWER, "somebody:else"))
        events = ("kubectl", "get", "events", "--field-selector", "involvedObject.name=younger", "-o", "json")
        assert wait_until(lambda: "Conflict" in kubectl(*events), 10)
        assert cluster.comes_in_as("crd:vera")
        kubectl("kubectl", "delete", IDENTITY_MAPPINGS, "older")
        assert cluster.comes_in_as("somebody:else")
        kubectl("kubectl", "delete", IDENTITY_MAPPINGS, "younger")
        assert cluster.comes_in_as("")


OBJECTS = f"""\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {{id: {CLUSTER_ID}, name: objects, endpoint: "https://127.0.0.1:PORT", certificateAuthority: "AUTHORITY"}}
account: "{ACCOUNT}"
region: {REGION}
mapping: {{crd: {{}}}}
levels:
  - {{name: peeker, bind: [{{clusterRole: view}}]}}
"""


class Objects:
    """Another access file of the cluster, whose one level is an IAMIdentityMapping. The server may read its IAM group."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site = site
        self.file = directory / "objects.yaml"
        self.file.write_text(OBJECTS.replace("PORT", str(site.api.port)).replace("AUTHORITY", str(site.home.ca)))
        put_server_policy(site.home, site._sandbox.state, server_document(load_access(self.file)))

    def works(self, command: str, *more: str) -> str:
        return self.site.administrator.works("kube-iam", command, *more, "-f", self.file)

    def all(self) -> dict[str, Any]:
        items = self.site.api.call("GET", crd_status.PATH)[1]["items"]
        return {item["metadata"]["name"]: item for item in items}

    def close(self) -> None:
        put_server_policy(self.site.home, self.site._sandbox.state, server_document(load_access(self.site.home.access)))


def test_identity_mappings_as_apply_writes_them(cluster: Installed, tmp_path: Path) -> None:
    site, objects = cluster.site, Objects(cluster.site, tmp_path)
    by_hand = identity_mapping("by-hand", f"{ROLE}elsewhere", "by-hand")
    site.administrator.works("kubectl", "apply", "-f", "-", stdin=by_hand)
    try:
        with cluster.server(tmp_path / "server", "backendMode: [CRD]"):
            assert wait_until(lambda: "canonicalARN" in mapping_status(site, "by-hand"), 10)
            before = objects.all()
            objects.works("apply", "--yes")
            assert "Nothing to change" in objects.works("plan")
            kubeconfig = tmp_path / "peeker.yaml"
            kubeconfig.write_text(objects.works("kubeconfig", "peeker"))
            for name in ("otto", "ola"):
                site.person(name)
            otto, ola = site.person("otto"), site.person("ola")
            objects.works("grant", "otto", "peeker")
            assert comes_in_as(otto, kubeconfig, "awsiam:otto"), otto.run(
                "kubectl", "--kubeconfig", kubeconfig, "auth", "whoami"
            ).stderr
            user = whoami(otto, kubeconfig)
            assert user["groups"] == ["kube-iam:peeker", "system:authenticated"]
            assert user["extra"]["kube-iam.dev/level"] == ["peeker"]
            objects.works("grant", "ola", "peeker", "--for", "1h")
            assert comes_in_as(ola, kubeconfig, "awsiam:ola")
            objects.works("revoke", "ola", "peeker")
            assert comes_in_as(ola, kubeconfig, "")
            objects.file.write_text(objects.file.read_text().replace("name: peeker,", "name: peeker, groups: [seen],"))
            objects.works("apply", "--yes")
            assert wait_until(lambda: whoami(otto, kubeconfig)["groups"][0] == "seen", 30)
            objects.works("revoke", "otto", "peeker")
            assert comes_in_as(otto, kubeconfig, "")
            objects.works("destroy", "--yes")
            assert objects.all() == before
            assert "Nothing of" in objects.works("destroy", "--yes")
    finally:
        site.administrator.works("kubectl", "delete", IDENTITY_MAPPINGS, "by-hand")
        objects.close()


def test_a_dynamic_file(cluster: Installed, tmp_path: Path) -> None:
    with cluster.server(tmp_path, "backendMode: [DynamicFile]", f"dynamicfilepath: {MAPPINGS}"):
        assert cluster.comes_in_as("")
        write(tmp_path / "files" / "mappings.json", mapRoles=entry("file:{{SessionName}}"))
        assert cluster.comes_in_as("file:vera")
        (tmp_path / "files" / "mappings.json").unlink()
        assert cluster.comes_in_as("")


def test_a_dynamic_file_by_user_ids(cluster: Installed, tmp_path: Path) -> None:
    file = tmp_path / "files" / "mappings.json"
    file.parent.mkdir()
    settings = ("backendMode: [DynamicFile]", f"dynamicfilepath: {MAPPINGS}", "dynamicfileUserIDStrict: true")
    with cluster.server(tmp_path / "a", "backendMode: [EKSConfigMap]"):
        assert cluster.comes_in_as("awsiam:vera")
        user_id = whoami(cluster.vera, cluster.kubeconfig)["uid"].split(":")[2]
    assert user_id.startswith("AROA")
    write(file, mapRoles=entry("id:{{SessionName}}", userid=user_id))
    with cluster.server(tmp_path, *settings):
        assert cluster.comes_in_as("id:vera")
        write(file, mapRoles=entry("id:{{SessionName}}", userid="AROAOFTHEROLEBEFORE"))
        assert cluster.comes_in_as("")
        write(file, mapRoles=[{**entry("id:{{SessionName}}", userid=user_id)[0], "rolearn": f"{ROLE}admin"}])
        assert not wait_until(lambda: name_of(cluster.vera, cluster.kubeconfig) != "", 2)


def test_the_first_of_two_backends_that_knows_somebody_answers(cluster: Installed, tmp_path: Path) -> None:
    file = tmp_path / "files" / "mappings.json"
    file.parent.mkdir()
    write(file, mapRoles=entry("file:{{SessionName}}"))
    with cluster.server(tmp_path, "backendMode: [DynamicFile, EKSConfigMap]", f"dynamicfilepath: {MAPPINGS}"):
        assert cluster.comes_in_as("file:vera")
        file.unlink()
        assert cluster.comes_in_as("awsiam:vera")


def test_backends_are_swapped_while_the_server_runs(cluster: Installed, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    write(files / "mappings.json", mapRoles=entry("file:{{SessionName}}"))
    settings = (f"dynamicfilepath: {MAPPINGS}", f"dynamicBackendModePath: {MODE}")
    with cluster.server(tmp_path, "backendMode: [EKSConfigMap]", *settings):
        assert cluster.comes_in_as("awsiam:vera")
        write(files / "mode.json", backendMode="DynamicFile EKSConfigMap")
        assert cluster.comes_in_as("file:vera")
        (files / "mode.json").unlink()
        assert cluster.comes_in_as("awsiam:vera")


class SignsIn:
    """Asks the webhook with one new token after the other, until it is closed. `refused` holds the refused answers."""

    def __init__(self, cluster: Installed) -> None:
        self.count = 0
        self.refused: list[object] = []
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        site = self._cluster.site
        while not self._over.is_set():
            status = review(site, token_of(self._cluster.vera))
            self.count += 1
            if not status.get("authenticated"):
                self.refused.append(status)

    def close(self) -> None:
        self._over.set()
        self._thread.join()


def token_of(person: Person) -> str:
    """Return a new token for the viewers' role."""
    return person.works("kube-iam", "token", "-i", CLUSTER_ID, "-r", VIEWER, "--token-only").strip()


def review(site: Site, token: str) -> Mapping[str, Any]:
    """Return the webhook's answer about the token, also while kube-apiserver is away."""
    asked = {"apiVersion": "authentication.k8s.io/v1beta1", "kind": "TokenReview", "spec": {"token": token}}
    trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(site.authority.path)))
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), trust)
    url = f"https://127.0.0.1:{site.port}/authenticate"
    with direct.open(urllib.request.Request(url, json.dumps(asked).encode()), timeout=35) as answer:
        status: dict[str, Any] = json.loads(answer.read())["status"]
    return status


def test_a_restart_of_the_api_server_turns_nobody_away(cluster: Installed, tmp_path: Path) -> None:
    with cluster.server(tmp_path, "backendMode: [CRD, EKSConfigMap]") as container:
        signs_in = SignsIn(cluster)
        try:
            assert wait_until(lambda: signs_in.count > 0, 10)
            cluster.site.restart_api_server()
            assert cluster.comes_in_as("awsiam:vera")
        finally:
            signs_in.close()
        assert signs_in.refused == []
        mapping = identity_mapping("after", VIEWER, "crd:{{SessionName}}")
        cluster.site.administrator.works("kubectl", "apply", "-f", "-", stdin=mapping)
        assert cluster.comes_in_as("crd:vera"), container.process.log.read_text()
        cluster.site.administrator.works("kubectl", "delete", IDENTITY_MAPPINGS, "after")
        assert cluster.comes_in_as("awsiam:vera")
