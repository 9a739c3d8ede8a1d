"""`new` in the sandbox: what it writes is valid, and can be planned."""

from __future__ import annotations

import json

import pytest
from whole_sandbox import Sandbox

from kube_iam.config.access import load_access
from kube_iam.sandbox.state import ACCOUNT, CLUSTER_ID, REGION

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]


def test_written_file_is_valid_and_can_be_planned(sandbox: Sandbox) -> None:
    administrator, path = sandbox.administrator, sandbox.home.root / "new.yaml"
    assert "not found" not in administrator.works("kube-iam", "new", path)
    access = load_access(path)
    assert (access.cluster_id, access.endpoint) == (CLUSTER_ID, sandbox.state.api_url)
    assert (access.account, access.region) == (ACCOUNT, REGION)
    assert access.certificate_authority == sandbox.home.ca.read_text()
    assert "is valid" in administrator.works("kube-iam", "validate", "-f", path)
    # A cluster has one access file: with the sandbox's names it is compared with what the sandbox's own file made, if anything.
    path.write_text(path.read_text().replace("# name: prod", "name: sandbox"))
    plan = json.loads(administrator.works("kube-iam", "plan", "-f", path, "-o", "json"))
    assert plan["wouldFail"] == []
    assert plan["apiServer"] == sandbox.state.api_url
    assert "exists" in administrator.refused("kube-iam", "new", path)
