"""`explain` beside real sign-ins at kube-apiserver: links of the chain are taken out one at a time, and put back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from whole_sandbox import Sandbox

from kube_iam.sandbox.processes import wait_until

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]


def explained(sandbox: Sandbox, *words: str) -> dict[str, Any]:
    ended = sandbox.administrator.run("kube-iam", "explain", *words, "-o", "json")
    found = json.loads(ended.stdout)["explanations"][0]
    assert ended.returncode == {True: 0, False: 1, None: 3}[found["admitted"]]
    assert isinstance(found, dict)
    return found


def reason(sandbox: Sandbox, *words: str) -> str | None:
    said = explained(sandbox, *words)["reason"]
    return str(said) if said is not None else None


def test_explanation_has_the_user_and_groups_of_the_sign_in(levels: Sandbox) -> None:
    person = levels.member("emma", "developer")
    found = explained(levels, "emma", "developer")
    whoami = person.run("kubectl", "--kubeconfig", levels.kubeconfig("developer"), "auth", "whoami", "-o", "json")
    user = json.loads(whoami.stdout)["status"]["userInfo"]
    assert found["username"] == user["username"]
    assert set(found["groups"]) == set(user["groups"]) - {"system:authenticated"}
    details = {step["code"]: step["detail"] for step in found["steps"]}
    assert details["rbac"] == "RoleBinding shop/kube-iam:developer:edit, ClusterRole edit"
    assert details["simulation"].startswith("iam:SimulatePrincipalPolicy says allowed by sandbox-developer")
    assert details["entry"].startswith("ConfigMap kube-system/aws-iam-authenticator, line ")
    session = user["extra"]["arn"][0]
    assert explained(levels, session)["username"] == user["username"]
    levels.administrator.works("kube-iam", "revoke", "emma", "developer")


def test_reason_is_the_link_that_was_taken_out(levels: Sandbox) -> None:
    administrator = levels.administrator
    assert reason(levels, "nobody-here", "developer") == "no_user"
    levels.member("enno", "developer")
    assert reason(levels, "enno", "developer") is None
    assert reason(levels, "enno", "admin") == "not_member"
    administrator.works("kube-iam", "deny", "enno", "--for", "1h", "--yes", "--no-wait")
    assert reason(levels, "enno", "developer") == "denied"
    kubeconfig = levels.kubeconfig("developer")
    assert wait_until(lambda: not levels.person("enno").signs_in(kubeconfig), 60)
    administrator.works("kube-iam", "undeny", "enno")
    assert reason(levels, "enno", "developer") is None
    administrator.works("kube-iam", "revoke", "enno", "developer")
    assert reason(levels, "enno", "developer") == "not_member"
    administrator.works("kube-iam", "grant", "enno", "developer", "--for", "1h")
    found = explained(levels, "enno", "developer")
    assert found["admitted"] is True
    assert "temporary" in {step["code"] for step in found["steps"]}
    assert wait_until(lambda: levels.person("enno").signs_in(kubeconfig), 60)
    administrator.works("kube-iam", "revoke", "enno", "developer")


def test_every_level_has_a_line(levels: Sandbox) -> None:
    levels.member("edda", "viewer")
    out = levels.administrator.works("kube-iam", "explain", "edda")
    assert out.startswith("edda is admitted to level viewer\n")
    levels.administrator.works("kube-iam", "revoke", "edda", "viewer")
