"""A sandbox whose levels are IAMIdentityMapping objects: apply, sign in, revoke and destroy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from whole_sandbox import Sandbox

from binaries import control_plane_binaries
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import Home
from kube_iam.sandbox.up import down, up

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("sandbox-of-objects")]
OBJECTS = "iamidentitymappings.iamauthenticator.k8s.aws"


@pytest.fixture(scope="module")
def sandbox_of_objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("objects") / "sandbox")
    try:
        yield Sandbox(home, up(home, os.environ, lambda _: None, mapping="crd"))
    finally:
        down(home)


def test_levels_in_objects_admit_members_and_leave_nothing(sandbox_of_objects: Sandbox) -> None:
    sandbox, administrator = sandbox_of_objects, sandbox_of_objects.administrator
    plan = sandbox.home.root / "saved.plan"
    administrator.works("kube-iam", "plan", "--out", plan)
    administrator.works("kube-iam", "apply", plan)
    assert "is not what would be done now" in administrator.refused("kube-iam", "apply", plan)
    names = administrator.works("kubectl", "get", OBJECTS, "-o", "name").split()
    assert len(names) == 3
    assert all(name.startswith(f"{OBJECTS.replace('mappings', 'mapping')}/kube-iam-sandbox-") for name in names)
    alice, viewer = sandbox.member("alice", "viewer"), sandbox.kubeconfig("viewer")
    whoami = ("kubectl", "--kubeconfig", viewer, "auth", "whoami", "-o", "json")
    assert json.loads(alice.works(*whoami))["status"]["userInfo"]["username"] == "awsiam:alice"
    assert "Nothing to change" in administrator.works("kube-iam", "plan")
    assert ", as awsiam:alice, groups: kube-iam:viewer" in administrator.works("kube-iam", "doctor", "alice", "viewer")
    administrator.works("kube-iam", "revoke", "alice", "viewer")
    assert wait_until(lambda: not alice.signs_in(viewer), 60)
    assert wait_until(lambda: alice.run(*whoami).returncode != 0, 20)  # with the token that kube-apiserver remembers
    administrator.works("kube-iam", "destroy", "--yes", "--force")
    assert administrator.works("kubectl", "get", OBJECTS, "-o", "name") == ""
