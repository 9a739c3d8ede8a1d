"""A whole server on the backends that are not its own file: readiness, metrics with the reference's names, a quick end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from fake_sts import identity_answer
from running_server import SESSION_ARN, USER_ID, RunningServer, wait_until

from backend_suite import People
from kube_sources import ConfigMapSource, Faked

Make = Callable[..., RunningServer]
ROLE = "arn:aws:iam::123456789012:role/Admin"
REFERENCE = "aws_iam_authenticator_"


def people(username: str) -> People:
    return {ROLE: (username, ())}


@pytest.fixture
def server(make_server: Make) -> RunningServer:
    server = make_server(mappings="")
    server.sts.play = lambda _: identity_answer(SESSION_ARN, USER_ID)
    return server


def username(server: RunningServer) -> str:
    return str(server.review(server.token()).review["status"]["user"]["username"])


def emptied(backend: str) -> str:
    return f'kube_iam_mappings_emptied_total{{backend="{backend}"}}'


def test_the_config_map_comes_and_goes_with_its_api_server(server: RunningServer) -> None:
    cluster = Faked()
    ConfigMapSource(cluster).write(people("one"))
    cluster.hide()
    server.start("--backend-mode=EKSConfigMap", f"--master=http://127.0.0.1:{cluster.fake.port}")
    ready = server.health("/readyz")
    assert (ready.status, ready.body) == (503, b"no mappings yet: EKSConfigMap")
    assert "have not been loaded" in server.review(server.token()).error
    cluster.show()
    wait_until(lambda: server.health("/readyz").status == 200)
    assert username(server) == "one"
    ConfigMapSource(cluster).write(people("two"))
    wait_until(lambda: username(server) == "two")
    assert server.metric(f"{REFERENCE}configmap_watch_failures_total") >= 1
    ConfigMapSource(cluster).delete()
    wait_until(lambda: server.metric(emptied("EKSConfigMap")) == 1)
    assert "no mapping admits" in server.review(server.token()).error
    assert server.stop() == 0


def test_a_dynamic_file_is_measured_and_its_backend_switched_on_at_run_time(server: RunningServer) -> None:
    mappings, mode = server.directory / "dynamic.json", server.directory / "mode.json"
    now = int(time.time())
    entry = {"rolearn": ROLE, "username": "dynamic"}
    mappings.write_text(json.dumps({"LastUpdatedDateTime": str(now - 4), "mapRoles": [entry]}))
    server.settings += f"  dynamicfilepath: {mappings}\n  dynamicBackendModePath: {mode}\n"
    server.write_config(f"  mapRoles: [{{rolearn: '{ROLE}', username: mounted}}]\n")
    server.start()
    assert username(server) == "mounted"
    assert server.metric(f"{REFERENCE}dynamic_file_enabled") == 0

    mode.write_text(json.dumps({"LastUpdatedDateTime": str(now), "backendMode": "DynamicFile MountedFile"}))
    wait_until(lambda: username(server) == "dynamic")
    assert server.metric(f"{REFERENCE}dynamic_file_enabled") == 1
    assert server.metric(f"{REFERENCE}dynamic_file_only") == 0
    latency = f"{REFERENCE}dynamic_e2e_latency_seconds"
    wait_until(lambda: server.metric(f'{latency}_count{{type="dynamic_backend_mode"}}') == 1)

    mode.write_text(json.dumps({"LastUpdatedDateTime": str(now), "backendMode": "DynamicFile"}))
    wait_until(lambda: server.metric(f"{REFERENCE}dynamic_file_only") == 1)
    assert server.metric(f"{REFERENCE}dynamic_file_enabled") == 0
    mappings.write_text(json.dumps({"LastUpdatedDateTime": now - 4, "mapRoles": [{**entry, "username": "changed"}]}))
    wait_until(lambda: username(server) == "changed")
    assert server.metric(f'{latency}_bucket{{type="dynamic_file",le="3"}}') == 0
    assert server.metric(f'{latency}_bucket{{type="dynamic_file",le="60"}}') == 1

    for failures, cut in enumerate(("{", "", "\0" * 100, mappings.read_text()[:-1]), 1):
        mappings.write_text(cut)
        wait_until(lambda failures=failures: server.metric(f"{REFERENCE}dynamicfile_failures_total") == failures)  # type: ignore[misc]
        assert username(server) == "changed"
    assert server.metric(emptied("DynamicFile")) == 0
    mappings.unlink()
    wait_until(lambda: server.metric(emptied("DynamicFile")) == 1)
    assert "no mapping admits" in server.review(server.token()).error
    assert any("level=error" in line and "are gone" in line for line in server.log().splitlines())
    assert server.stop() == 0
