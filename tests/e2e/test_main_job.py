"""The main job on real parts: an access file, a grant, kubectl against a real kube-apiserver, a revoke."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from whole_sandbox import ROLE, Person, Sandbox

from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import CLUSTER_ID, PROCESSES
from listening import LOOPBACK, listening
from required import linux_only

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]


def whoami(person: Person, kubeconfig: Path, **variables: str) -> dict[str, Any]:
    answer = person.works("kubectl", "--kubeconfig", kubeconfig, "auth", "whoami", "-o", "json", **variables)
    user: dict[str, Any] = json.loads(answer)["status"]["userInfo"]
    return user


@linux_only
def test_nothing_of_it_can_be_reached_from_elsewhere(sandbox: Sandbox) -> None:
    for name in PROCESSES:
        found = listening(sandbox.home.process(name).pid())
        assert {(table, address) for table, address, _ in found} <= {("tcp", LOOPBACK)}, name
        assert bool(found) is (name != "mount"), name


def test_a_second_plan_is_empty(levels: Sandbox) -> None:
    assert "Nothing to change" in levels.administrator.works("kube-iam", "plan")


def test_a_granted_user_is_in_under_their_own_name(levels: Sandbox) -> None:
    user = whoami(levels.member("alice", "admin"), levels.kubeconfig("admin"))
    assert user["username"] == "awsiam:alice"
    assert user["groups"] == ["kube-iam:admin", "system:authenticated"]
    assert user["extra"]["arn"] == ["arn:aws:sts::111122223333:assumed-role/sandbox-admin/alice"]
    assert user["uid"].startswith("aws-iam-authenticator:111122223333:AROA")


def test_a_level_allows_what_it_binds_and_nothing_else(levels: Sandbox) -> None:
    bob, viewer = levels.member("bob", "viewer"), levels.kubeconfig("viewer")
    kubectl = ("kubectl", "--kubeconfig", viewer, "-n", "shop")
    assert "kube-root-ca.crt" not in bob.works(*kubectl, "get", "configmaps")
    said = bob.refused(*kubectl, "create", "configmap", "x")
    assert "is forbidden" in said
    assert "awsiam:bob" in said
    assert "is forbidden" in bob.refused(*kubectl, "get", "secrets")


def test_a_developer_works_in_the_namespace_of_the_level_only(levels: Sandbox) -> None:
    dora, kubeconfig = levels.member("dora", "developer"), levels.kubeconfig("developer")
    dora.works("kubectl", "--kubeconfig", kubeconfig, "-n", "shop", "create", "configmap", "made-by-dora")
    said = dora.refused("kubectl", "--kubeconfig", kubeconfig, "-n", "default", "create", "configmap", "made-by-dora")
    assert "is forbidden" in said


def test_user_without_a_grant_is_refused_with_a_reason(levels: Sandbox) -> None:
    carol = levels.person("carol")
    said = carol.refused("kubectl", "--kubeconfig", levels.kubeconfig("viewer"), "auth", "whoami")
    assert "user/carol may not assume" in said
    assert f"{ROLE}viewer" in said


def test_an_identity_that_nothing_maps_is_refused_and_the_webhook_says_why(levels: Sandbox) -> None:
    carol = levels.person("carol")
    token = carol.works("kube-iam", "token", "-i", CLUSTER_ID)
    answer = carol.run("kube-iam", "sandbox", "review", "--dir", levels.home.root, stdin=token)
    assert answer.returncode == 1
    status = json.loads(answer.stdout)["status"]
    assert status["authenticated"] is False
    assert "arn:aws:iam::111122223333:user/carol" in status["error"]
    bare = json.loads(token)["status"]["token"]
    said = carol.refused("kubectl", "--kubeconfig", "/dev/null", *at(levels), "--token", bare, "get", "ns")
    assert "Unauthorized" in said or "provide credentials" in said
    assert bare not in answer.stdout + answer.stderr + levels.home.process("webhook").log.read_text()


def at(sandbox: Sandbox) -> tuple[str, ...]:
    return ("--server", sandbox.state.api_url, "--certificate-authority", str(sandbox.home.ca))


def is_admitted(sandbox: Sandbox, token: str) -> bool:
    """Return whether kube-apiserver admits the token: everybody who is signed in and not denied may discover the API."""
    trust = ssl.create_default_context(cafile=str(sandbox.home.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", sandbox.state.api_port, timeout=60, context=trust)
    with closing(connection):
        connection.request("GET", "/api", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status == 200


def test_a_revoked_user_is_out_with_the_live_session_too_and_gets_no_new_one(levels: Sandbox) -> None:
    rita, viewer = levels.member("rita", "viewer"), levels.kubeconfig("viewer")
    assert whoami(rita, viewer)["username"] == "awsiam:rita"
    token = json.loads(rita.works("kube-iam", "token", "-i", CLUSTER_ID, "-r", f"{ROLE}viewer"))["status"]["token"]
    assert is_admitted(levels, token)
    levels.administrator.works("kube-iam", "revoke", "rita", "viewer")
    assert wait_until(lambda: not is_admitted(levels, token), 60)
    assert not rita.stays_in(viewer)
    rita.works("kube-iam", "token", "-i", CLUSTER_ID, "-r", f"{ROLE}viewer")  # her session is as good as ever
    fresh = levels.person("rita")
    assert "may not assume" in fresh.refused("kubectl", "--kubeconfig", viewer, "auth", "whoami")
    assert "rita" not in levels.administrator.works("kube-iam", "who")


def test_a_token_for_another_cluster_is_refused(levels: Sandbox) -> None:
    levels.person("olaf")
    levels.administrator.works("kube-iam", "grant", "olaf", "viewer")
    olaf = levels.person("olaf")
    token = olaf.works("kube-iam", "token", "-i", "other.example.com", "-r", f"{ROLE}viewer", "--token-only").strip()
    said = olaf.refused("kubectl", "--kubeconfig", "/dev/null", *at(levels), "--token", token, "get", "ns")
    assert "Unauthorized" in said or "provide credentials" in said


def test_nobody_signs_in_as_somebody_else(levels: Sandbox) -> None:
    levels.person("eve")
    levels.administrator.works("kube-iam", "grant", "eve", "viewer")
    said = levels.person("eve").refused("kube-iam", "token", "-i", CLUSTER_ID, "-r", f"{ROLE}viewer", "-s", "alice")
    assert "may not assume" in said


def test_a_session_that_has_ended_is_refused(levels: Sandbox) -> None:
    tom, viewer = levels.member("tom", "viewer"), levels.kubeconfig("viewer")
    assert whoami(tom, viewer)["username"] == "awsiam:tom"
    levels.home.process("account").signal(signal.SIGUSR1)
    command = ("kubectl", "--kubeconfig", viewer, "auth", "whoami")
    # With tokens that the server has not verified before: that memory lasts for up to a minute.
    anew = {"KUBE_IAM_TOKEN_CACHE": "0"}
    assert wait_until(lambda: not tom.signs_in(viewer), 20)
    said = tom.refused(*command, **anew)
    assert "Unauthorized" in said or "provide credentials" in said
    assert whoami(levels.person("tom"), viewer)["username"] == "awsiam:tom"


FOREIGN = """\
  # The platform team's, leave alone.
  - rolearn: arn:aws:iam::111122223333:role/nodes
    username: nodes   # all of them
    groups: [nodes]
"""


def test_entries_and_comments_of_others_survive(levels: Sandbox) -> None:
    admin = levels.administrator
    name = ("-n", "kube-system", "configmap", "aws-iam-authenticator")

    def text() -> str:
        found: str = json.loads(admin.works("kubectl", "get", *name, "-o", "json"))["data"]["config.yaml"]
        return found

    first_entry = f"  - rolearn: {ROLE}admin\n"
    with_foreign = text().replace(first_entry, FOREIGN + first_entry)
    drifted = with_foreign.replace("awsiam:{{SessionNameRaw}}", "somebody", 1)
    admin.works("kubectl", "patch", *name, "--type", "merge", "-p", json.dumps({"data": {"config.yaml": drifted}}))
    admin.works("kube-iam", "apply", "--yes")
    assert FOREIGN in text()
    assert text() == with_foreign
