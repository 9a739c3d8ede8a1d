"""An administrator who is signed in through a level changes that level, on real parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from whole_sandbox import Sandbox

from kube_iam.access.server_policy import server_document
from kube_iam.config.access import load_access
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import ADMINISTRATOR
from kube_iam.sandbox.users import put_server_policy

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]
OWNER = "  - name: owner\n    groups: [{group}]\n    bind: [{bind}]\n"
ALL = "{clusterRole: cluster-admin}"


@pytest.fixture(scope="module")
def own_level(levels: Sandbox) -> Iterator[Path]:
    """Yield the kubeconfig of a level with all rights, whose only member is the administrator. The level is deleted afterwards."""
    before = levels.home.access.read_text()
    write_level(levels, ALL)
    levels.administrator.works("kube-iam", "apply", "--yes")
    put_server_policy(levels.home, levels.state, server_document(load_access(levels.home.access)))
    levels.administrator.works("kube-iam", "grant", ADMINISTRATOR, "owner")
    yield levels.kubeconfig("owner")
    levels.home.access.write_text(before)
    levels.administrator.works("kube-iam", "apply", "--yes")
    assert "Nothing to change" in levels.administrator.works("kube-iam", "plan")


@pytest.fixture
def owner(levels: Sandbox, own_level: Path) -> Path:
    """Return the same kubeconfig once the administrator holds all rights by it."""
    write_level(levels, ALL)
    levels.administrator.works("kube-iam", "apply", "--yes")
    command = ("kubectl", "--kubeconfig", own_level, "get", "clusterroles")
    assert wait_until(lambda: levels.administrator.run(*command, KUBE_IAM_TOKEN_CACHE="0").returncode == 0, 60)
    return own_level


def write_level(levels: Sandbox, bind: str, group: str = "kube-iam:owner") -> None:
    text = levels.home.access.read_text().partition(OWNER.partition("\n")[0])[0].rstrip()
    levels.home.access.write_text(text + "\n\n" + OWNER.replace("{bind}", bind).replace("{group}", group))


@pytest.mark.parametrize(
    ("bind", "group"), [("{clusterRole: admin}", "kube-iam:owner"), (ALL, "owners")], ids=["bind", "groups"]
)
def test_a_change_of_the_own_level_needs_force_and_is_completed(
    levels: Sandbox, owner: Path, bind: str, group: str
) -> None:
    administrator = levels.administrator
    write_level(levels, bind, group)
    refused = administrator.run("kube-iam", "apply", "--yes", "--kubeconfig", owner)
    assert refused.returncode == 1
    assert "add --force" in refused.stderr
    assert "run the same command again" not in refused.stderr
    administrator.works("kube-iam", "apply", "--yes", "--force", "--kubeconfig", owner)
    assert "Nothing to change" in administrator.works("kube-iam", "plan")


def test_a_failing_plan_changes_nothing_and_names_the_namespace(levels: Sandbox, owner: Path) -> None:
    administrator = levels.administrator
    write_level(levels, ALL + ", {clusterRole: view, namespaces: [nowhere]}")
    before = administrator.works("kubectl", "get", "clusterrolebindings,rolebindings", "-A", "-o", "name")
    refused = administrator.run("kube-iam", "apply", "--yes", "--force", "--kubeconfig", owner)
    assert refused.returncode == 1
    assert "there is no namespace nowhere" in refused.stderr
    assert before == administrator.works("kubectl", "get", "clusterrolebindings,rolebindings", "-A", "-o", "name")


def test_revoking_oneself_needs_force(levels: Sandbox, owner: Path) -> None:
    for more in ((), ("--now",)):
        refused = levels.administrator.run("kube-iam", "revoke", ADMINISTRATOR, "owner", *more, "--kubeconfig", owner)
        assert refused.returncode == 1
        assert f"you are {ADMINISTRATOR}" in refused.stderr
    assert ADMINISTRATOR in levels.administrator.works("kube-iam", "who", "owner")
