"""A level without a role, on real parts: people sign with their own keys, and the server looks into the IAM group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from whole_sandbox import Sandbox

from kube_iam.access.server_policy import server_document
from kube_iam.config.access import load_access
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.users import put_server_policy

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]
LEVEL = "  - name: looker\n    method: group\n    bind: [{clusterRole: view}]\n"


@pytest.fixture(scope="module")
def looker(levels: Sandbox) -> Iterator[Path]:
    """Yield the kubeconfig of a fourth level, by group. The level is deleted afterwards."""
    before = levels.home.access.read_text()
    levels.home.access.write_text(before + "\n" + LEVEL)
    levels.administrator.works("kube-iam", "apply", "--yes")
    put_server_policy(levels.home, levels.state, server_document(load_access(levels.home.access)))
    yield levels.kubeconfig("looker")
    levels.home.access.write_text(before)
    levels.administrator.works("kube-iam", "apply", "--yes")
    assert "Nothing to change" in levels.administrator.works("kube-iam", "plan")


def test_members_are_in_under_their_own_name_and_nobody_else_is(levels: Sandbox, looker: Path) -> None:
    for name in ("gina", "gus"):
        levels.person(name)
    gina, gus = levels.person("gina"), levels.person("gus")
    levels.administrator.works("kube-iam", "grant", "gina", "looker")
    assert wait_until(lambda: gina.signs_in(looker), 90)
    user = json.loads(gina.works("kubectl", "--kubeconfig", looker, "auth", "whoami", "-o", "json"))["status"][
        "userInfo"
    ]
    assert user["username"] == "awsiam:gina"
    assert user["groups"] == ["kube-iam:looker", "system:authenticated"]
    assert not gus.signs_in(looker)
    assert "-r" not in looker.read_text().split()
    assert "Nothing to change" in levels.administrator.works("kube-iam", "plan")
    levels.administrator.works("kube-iam", "revoke", "gina", "looker")
    assert wait_until(lambda: not gina.signs_in(looker), 90)


def test_somebody_is_in_for_a_time_without_a_role(levels: Sandbox, looker: Path) -> None:
    levels.person("gil")
    gil = levels.person("gil")
    levels.administrator.works("kube-iam", "grant", "gil", "looker", "--for", "1h")
    assert wait_until(lambda: gil.signs_in(looker), 90)
    levels.administrator.works("kube-iam", "grant", "gil", "looker", "--for", "1s")
    assert wait_until(lambda: not gil.signs_in(looker), 90)


def test_revoke_now_refuses_who_comes_by_the_group_and_leaves_other_ways_in(levels: Sandbox, looker: Path) -> None:
    levels.person("greta")
    greta, viewer = levels.person("greta"), levels.kubeconfig("viewer")
    for level, kubeconfig in (("looker", looker), ("viewer", viewer)):
        levels.administrator.works("kube-iam", "grant", "greta", level)
        assert wait_until(lambda kubeconfig=kubeconfig: greta.signs_in(kubeconfig), 90)  # type: ignore[misc]
        assert greta.stays_in(kubeconfig)
    said = levels.administrator.works("kube-iam", "revoke", "greta", "looker", "--now", "--cache-ttl", "2s")
    assert "looker has no role: the users are refused while the IAM group sandbox-looker" in said
    assert not greta.stays_in(looker)
    assert greta.stays_in(viewer)
    levels.administrator.works("kube-iam", "grant", "greta", "looker")
    assert wait_until(lambda: greta.signs_in(looker), 90)
