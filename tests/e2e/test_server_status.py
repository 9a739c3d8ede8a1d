"""Reports of `plan`, `apply` and `who` about the running server, through a real kube-apiserver, and remedies that help."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from whole_sandbox import Sandbox

from kube_iam.access.server_policy import server_document
from kube_iam.config.access import load_access
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.users import put_server_policy

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]
LEVEL = "  - name: auditor\n    bind: [{clusterRole: view}]\n"
ROLE = "sandbox-auditor"
OPEN_TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",'
    ' "Principal": {"AWS": "arn:aws:iam::111122223333:root"}}]}'
)
NOTHING: dict[str, object] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}],
}


def iam(levels: Sandbox, call: str) -> None:
    """Make a call of the administrator to IAM, such as `aws iam` makes."""
    code = f"from kube_iam.aws.client import make_client; make_client('iam').{call}"
    levels.administrator.works(sys.executable, "-c", code)


def said(levels: Sandbox, *command: str) -> str:
    """Return the command's lines about the server."""
    done = levels.administrator.run("kube-iam", *command)
    assert done.returncode == 0, done.stderr
    return "\n".join(line for line in done.stderr.splitlines() if line.startswith(("warning: level", "note: whether")))


@pytest.fixture(scope="module")
def auditor(levels: Sandbox) -> Iterator[Path]:
    """Yield the kubeconfig of a level that was added after the server had its rights. The level is deleted afterwards."""
    before = levels.home.access.read_text()
    levels.home.access.write_text(before + "\n" + LEVEL)
    assert said(levels, "apply", "--yes") == ""
    yield levels.kubeconfig("auditor")
    levels.home.access.write_text(before)
    levels.administrator.works("kube-iam", "apply", "--yes")


def test_server_that_may_not_read_iam_is_told(levels: Sandbox, auditor: Path) -> None:
    assert said(levels, "who", "auditor") == ""
    put_server_policy(levels.home, levels.state, NOTHING)
    forbidden = "level auditor: IAM does not let the server read IAM group sandbox-auditor"
    assert wait_until(lambda: forbidden in said(levels, "who", "auditor"), 30)
    assert forbidden in said(levels, "plan")
    put_server_policy(levels.home, levels.state, server_document(load_access(levels.home.access)))
    assert wait_until(lambda: said(levels, "plan") == "", 30)


def test_suspended_level_is_told_and_ends_by_its_remedy(levels: Sandbox, auditor: Path) -> None:
    levels.member("aud", "auditor")
    iam(levels, f"update_assume_role_policy(RoleName='{ROLE}', PolicyDocument='{OPEN_TRUST}')")
    assert wait_until(lambda: "may let callers choose their session name" in said(levels, "who", "auditor"), 30)
    plan = levels.administrator.works("kube-iam", "plan")
    assert "once it is repaired, the server refuses everybody in this level for 60 minutes" in plan
    levels.administrator.works("kube-iam", "apply", "--yes")
    assert wait_until(lambda: "level auditor: suspended until 20" in said(levels, "who"), 30)
    assert f"`aws iam delete-role --role-name {ROLE}`, then `kube-iam apply`" in said(levels, "plan")
    aud = levels.person("aud")
    assert not aud.signs_in(auditor)

    iam(levels, f"delete_role(RoleName='{ROLE}')")
    levels.administrator.works("kube-iam", "apply", "--yes")
    again = levels.person("aud")  # an empty cache, as after `kube-iam logout auditor`
    assert wait_until(lambda: again.signs_in(auditor), 30), again.whoami(auditor).stderr
    assert "role sandbox-auditor was created again" in said(levels, "who", "auditor")
