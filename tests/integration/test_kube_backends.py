"""The backends in the cluster on a real kube-apiserver: the promises of every backend, RBAC, the CRD, a restart."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend_suite import *  # noqa: F403
from backend_suite import ADMIN, ONE, ROLE, TWO, RecordingObserver, gives, names_of, until
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.mappings.backend import Backend
from kube_iam.mappings.crd import IdentityMappings
from kube_iam.mappings.crd_status import EVENTS, PATH
from kube_iam.mappings.eks_config_map import EksConfigMap
from kube_sources import QUICK, ConfigMapSource, IdentityMappingSource, Real

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]
DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def cluster(control_plane: Any, tmp_path_factory: pytest.TempPathFactory) -> Real:
    """Return the control plane with our manifests in it."""
    kubectl = [str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(control_plane.kubeconfig)]
    for name in ("crd", "rbac"):
        subprocess.run([*kubectl, "apply", "-f", DEPLOY / f"{name}.yaml"], check=True, capture_output=True, timeout=60)
    wait = [*kubectl, "wait", "--for=condition=Established", "crd/iamidentitymappings.iamauthenticator.k8s.aws"]
    subprocess.run([*wait, "--timeout=30s"], check=True, capture_output=True, timeout=60)
    return Real(control_plane.api, control_plane.kubeconfig, tmp_path_factory.mktemp("cluster"))


@pytest.fixture(params=[ConfigMapSource, IdentityMappingSource], ids=["EKSConfigMap", "CRD"])
def source(request: pytest.FixtureRequest, cluster: Real) -> Any:
    made = request.param(cluster)
    for name in ("role-admin", "user-bob", "z-second", "damaged"):
        cluster.delete(PATH, name)
    yield made
    made.delete()


@pytest.fixture
def server_access(control_plane: Any, tmp_path: Path, cluster: Real) -> EndpointSource:
    """Return the connection to the cluster as the ServiceAccount of our manifest, by a kubeconfig with a token file."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    account = "/api/v1/namespaces/kube-system/serviceaccounts/kube-iam/token"
    _, answer = control_plane.api.call("POST", account, request)
    (tmp_path / "token").write_text(answer["status"]["token"])
    config = {
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": f"https://127.0.0.1:{control_plane.api.port}",
                    "certificate-authority": str(control_plane.api.ca),
                },
            }
        ],
        "users": [{"name": "u", "user": {"tokenFile": "token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    return EndpointSource(str(tmp_path / "kubeconfig"), "", {})


def test_the_rights_in_our_manifest_are_enough(
    cluster: Real, server_access: EndpointSource, control_plane: Any
) -> None:
    async def story() -> None:
        observer = RecordingObserver()
        config_map, objects = ConfigMapSource(cluster), IdentityMappingSource(cluster)
        config_map.write(ONE)
        objects.write(TWO, role_twice=True)
        backends: list[Backend] = [
            EksConfigMap(server_access, observer, (), QUICK),
            IdentityMappings(server_access, observer, (), QUICK),
        ]
        for backend in backends:
            await backend.start()
        try:
            assert names_of(backends[0]) == ("alice", ("one",))
            assert names_of(backends[1]) == ("alice", ("two", "more"))
            await until(lambda: status(control_plane, "role-admin").get("userID") == ADMIN.user_id)
            await until(lambda: any("z-second" in event["metadata"]["name"] for event in events(control_plane)))
            assert (observer.failures, observer.troubles) == ([], [])
        finally:
            for backend in backends:
                await backend.stop()
            objects.delete()
            config_map.delete()

    asyncio.run(story())


def status(control_plane: Any, name: str) -> dict[str, Any]:
    return dict(control_plane.api.call("GET", f"{PATH}/{name}")[1].get("status", {}))


def events(control_plane: Any) -> list[dict[str, Any]]:
    found = control_plane.api.call("GET", EVENTS)[1]["items"]
    return [event for event in found if event["involvedObject"]["kind"] == "IAMIdentityMapping"]


def reasons(control_plane: Any) -> dict[str, str]:
    return {event["involvedObject"]["name"]: event["reason"] for event in events(control_plane)}


def test_status_reports_each_object_and_an_event_explains_an_unusable_one(cluster: Real, control_plane: Any) -> None:
    async def story() -> None:
        objects = IdentityMappingSource(cluster)
        objects.write(ONE, role_twice=True)
        objects.damage()
        backend = objects.backend(RecordingObserver())
        await backend.start()
        try:
            await until(lambda: status(control_plane, "role-admin").get("canonicalARN") == ROLE.lower())
            await until(lambda: status(control_plane, "z-second").get("canonicalARN") == ROLE.lower())
            assert names_of(backend) == ("alice", ("one",))
            await until(lambda: status(control_plane, "role-admin").get("userID") == ADMIN.user_id)
            mine = {"z-second": "Conflict", "damaged": "Invalid"}
            await until(lambda: mine.items() <= reasons(control_plane).items())
        finally:
            await backend.stop()
            objects.delete()

    asyncio.run(story())


@pytest.mark.thorough
def test_a_restart_of_kube_apiserver_is_survived(control_plane: Any, source: Any) -> None:
    async def story() -> None:
        source.write(ONE)
        observer = RecordingObserver()
        backend = source.backend(observer)
        await backend.start()
        try:
            await asyncio.to_thread(restart, control_plane, lambda: gives(backend, "one")())
            source.write(TWO)
            await until(gives(backend, "two", "more"))
            assert all(kept for _, kept in observer.failures)
        finally:
            await backend.stop()

    asyncio.run(story())


def restart(control_plane: Any, while_away: Any) -> None:
    from kube_iam.sandbox.state import Home

    home = Home(control_plane.kubeconfig.parent)
    process = home.process("kube-apiserver")
    command = Path(f"/proc/{process.pid()}/cmdline").read_text().split("\0")[:-1]
    process.stop(1)  # it would wait for our watch to end
    assert while_away()
    process.start(command, {"HOME": str(home.root), "TMPDIR": str(home.root)}, home.root)
    process.await_ready(control_plane.api.ready, 60)
