"""Access that ends by itself, on real parts: AWS's policies are evaluated, the mapping is a real ConfigMap, kubectl signs in."""

from __future__ import annotations

import json
import re

import pytest
from whole_sandbox import ROLE, Sandbox

from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import CLUSTER_ID

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]


def assumes(sandbox: Sandbox, name: str) -> bool:
    """Whether AWS lets the person assume the viewers' role, without a session from before."""
    fresh = sandbox.person(name)
    return fresh.run("kube-iam", "token", "-i", CLUSTER_ID, "-r", f"{ROLE}viewer").returncode == 0


def test_temporary_grant_admits_the_user_and_is_listed_with_its_remaining_time(levels: Sandbox) -> None:
    levels.person("tess")
    assert not assumes(levels, "tess")
    levels.administrator.works("kube-iam", "grant", "tess", "viewer", "--for", "2h", "--reason", "on call: #1")
    assert wait_until(lambda: levels.person("tess").signs_in(levels.kubeconfig("viewer")), 30)
    (viewer,) = json.loads(levels.administrator.works("kube-iam", "who", "viewer", "-o", "json"))
    assert "tess" not in viewer["users"]
    (tess,) = [each for each in viewer["temporary"] if each["user"] == "tess"]
    assert 7000 < tess["secondsLeft"] <= 7200
    assert tess["reason"] == "on call: #1"
    assert "Nothing to change" in levels.administrator.works("kube-iam", "plan")
    assert "tess: revoked viewer" in levels.administrator.works("kube-iam", "revoke", "tess", "viewer")
    assert not assumes(levels, "tess")
    assert "tess" not in levels.administrator.works("kube-iam", "who")


def test_a_live_session_is_out_when_the_time_is_over(levels: Sandbox) -> None:
    levels.person("tina")
    viewer = levels.kubeconfig("viewer")
    levels.administrator.works("kube-iam", "grant", "tina", "viewer", "--for", "2h")
    tina = levels.person("tina")
    assert wait_until(lambda: tina.signs_in(viewer), 30)
    levels.administrator.works("kube-iam", "grant", "tina", "viewer", "--for", "5s")
    assert wait_until(lambda: not tina.signs_in(viewer), 60)
    tina.works("kube-iam", "token", "-i", CLUSTER_ID, "-r", f"{ROLE}viewer")  # the session is as good as ever

    def is_refused_by_the_webhook() -> bool:
        """Sign in with one more token: kube-apiserver remembers those of this second, and its authorizer refuses their user first."""
        assert not tina.signs_in(viewer)
        log = levels.home.process("webhook").log.read_text()
        return re.search(r"reason=not_member .*session=tina ", log) is not None

    assert wait_until(is_refused_by_the_webhook, 30)


def test_revoking_lets_a_live_session_out(levels: Sandbox) -> None:
    levels.person("tara")
    viewer = levels.kubeconfig("viewer")
    levels.administrator.works("kube-iam", "grant", "tara", "viewer", "--for", "2h")
    tara = levels.person("tara")
    assert wait_until(lambda: tara.signs_in(viewer), 30)
    levels.administrator.works("kube-iam", "revoke", "tara", "viewer")
    assert wait_until(lambda: not tara.signs_in(viewer), 60)


def test_it_ends_by_itself_and_what_is_left_is_cleaned(levels: Sandbox) -> None:
    levels.person("theo")
    levels.administrator.works("kube-iam", "grant", "theo", "viewer", "--for", "1h")
    assert assumes(levels, "theo")
    levels.administrator.works("kube-iam", "grant", "theo", "viewer", "--for", "1s")
    assert wait_until(lambda: not assumes(levels, "theo"), 30)
    assert "theo" not in levels.administrator.works("kube-iam", "who")
    assert "- temporary access theo in viewer" in levels.administrator.works("kube-iam", "plan")
    levels.administrator.works("kube-iam", "apply", "--yes")
    assert "Nothing to change" in levels.administrator.works("kube-iam", "plan")
