"""POST /authorize (docs/protocol.md, section 9) against the real server over real TLS."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fake_sts import identity_answer
from running_server import MAPPINGS, SESSION_ARN, USER_ID, Reply, RunningServer, wait_until

from fake_kube import FakeKube
from kube_iam.core.subject_access_review import V1, V1BETA1
from kube_iam.denylist.denial import denial_of
from kube_iam.denylist.entry import format_denial

# One worker: the tests share a server.
pytestmark = pytest.mark.xdist_group("webhook")

Make = Callable[..., RunningServer]
NO_OPINION = {"allowed": False}
PATH, NAME = "/api/v1/namespaces/kube-system/configmaps", "kube-iam-denied"
SCHEDULER = {"user": "system:kube-scheduler", "groups": ["system:authenticated"]}


def signed_in(server: RunningServer, *, key: str = "ASIAREVIEWED00000000") -> dict[str, Any]:
    """Sign in, and return the user as a review names it."""
    server.sts.play = lambda _: identity_answer(SESSION_ARN, USER_ID)
    user = server.review(server.token(key=key)).review["status"]["user"]
    groups = [*user["groups"], "system:authenticated"]
    return {"user": user["username"], "uid": user["uid"], "groups": groups, "extra": user["extra"]}


def ask(server: RunningServer, user: dict[str, Any], version: str = V1) -> Reply:
    attributes = {"namespace": "default", "verb": "get", "version": "v1", "resource": "pods"}
    spec = {"resourceAttributes": attributes, **user}
    if version == V1BETA1:
        spec["group"] = spec.pop("groups")
    question = {"apiVersion": version, "kind": "SubjectAccessReview", "metadata": {}, "spec": spec, "status": {}}
    return server.request("POST", "/authorize?timeout=3s", json.dumps(question).encode())


def counted(server: RunningServer, result: str) -> float:
    return server.metric(f'kube_iam_authorize_reviews_total{{result="{result}"}}')


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_users_who_may_sign_in_and_users_of_others_get_no_opinion(shared: RunningServer, version: str) -> None:
    before = counted(shared, "no_opinion")
    for user in (signed_in(shared), SCHEDULER):
        reply = ask(shared, user, version)
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        assert reply.review == {"apiVersion": version, "kind": "SubjectAccessReview", "status": NO_OPINION}
    assert counted(shared, "no_opinion") == before + 2
    assert shared.metric('kube_iam_authorize_latency_seconds_count{result="no_opinion"}') >= 2


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("GET", None, 405),
        ("PUT", b"{}", 405),
        ("POST", b"", 400),
        ("POST", b"{}", 400),
        ("POST", b'{"apiVersion":"authorization.k8s.io/v2","kind":"SubjectAccessReview","spec":{}}', 400),
        ("POST", b'{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"t"}}', 400),
        ("POST", b"\xff" * 2**20 + b"x", 413),
    ],
)
def test_other_requests_are_refused(shared: RunningServer, method: str, body: bytes | None, status: int) -> None:
    before = counted(shared, "malformed_request")
    reply = shared.request(method, "/authorize", body)
    assert reply.status == status
    assert reply.headers["content-type"].startswith("text/plain")
    assert counted(shared, "malformed_request") == before + 1


def test_many_reviews_at_once_are_each_answered_for_their_own_user(shared: RunningServer) -> None:
    user = signed_in(shared, key="ASIAMANY000000000000")
    changed = {**user, "groups": [*user["groups"], "others"]}
    before = counted(shared, "denied")
    with ThreadPoolExecutor(32) as pool:
        asked = [user, changed, SCHEDULER] * 60
        answers = list(pool.map(lambda each: ask(shared, each).review["status"].get("denied", False), asked))
    assert answers == [False, True, False] * 60
    assert counted(shared, "denied") == before + 60


def test_denial_is_answered_and_its_details_stand_in_the_log_alone(make_server: Make) -> None:
    fake = FakeKube()
    server = make_server(settings=f"  denyList: kube-system/{NAME}\n  master: http://127.0.0.1:{fake.port}\n")
    server.start()
    wait_until(lambda: server.health("/readyz").status == 200)
    user = signed_in(server)
    assert ask(server, user).review["status"] == NO_OPINION
    denial = denial_of("alice@example.com", until=4e9, reason="left", actor="root")
    fake.put(PATH, NAME, {"data": {denial.name: format_denial(denial)}})
    wait_until(lambda: ask(server, user).review["status"] != NO_OPINION)

    without_extra = {"user": user["user"], "groups": user["groups"]}
    for asked in (user, without_extra):
        answers = [ask(server, asked, version).review["status"] for version in (V1, V1BETA1, V1)]
        status = answers[0]
        assert answers == [status] * 3
        assert (status["allowed"], status["denied"]) == (False, True)
        found = re.fullmatch(r"this AWS identity is on the deny list \(request ([0-9a-f]{8})\)", status["reason"])
        assert found is not None
        (line,) = [each for each in server.log().splitlines() if f"requestid={found[1]}" in each]
        assert "level=warning" in line
        assert denial.name in line
        assert "reason=denied" in line
    assert len(re.findall("authorization denied", server.log())) == 2
    assert ask(server, {"user": "oidc:alice@example.com", "groups": ["others"]}).review["status"] == NO_OPINION
    assert ask(server, SCHEDULER).review["status"] == NO_OPINION
    assert counted(server, "denied") >= 7
    assert server.metric('kube_iam_authorize_denials_total{reason="denied"}') == counted(server, "denied")
    fake.stop()


def test_deny_list_that_was_never_read_is_an_error_for_our_users_alone(make_server: Make) -> None:
    fake = FakeKube()
    fake.stop()
    server = make_server(settings=f"  denyList: kube-system/{NAME}\n  master: http://127.0.0.1:{fake.port}\n")
    server.start()
    user = {"user": "awsiam:alice@example.com", "uid": "aws-iam-authenticator:123456789012:AROAEXAMPLE"}
    for groups in (["shop-admins"], []):
        reply = ask(server, {**user, "groups": groups})
        assert reply.status == 503
        assert reply.body.startswith(b"the deny list has not been loaded yet (request ")
    assert ask(server, SCHEDULER).review["status"] == NO_OPINION
    assert counted(server, "unavailable") == 2
    fake.restart()
    wait_until(lambda: ask(server, {**user, "groups": ["shop-admins"]}).status == 200)
    fake.stop()


def test_server_that_starts_holds_up_nobody_but_its_own_users(make_server: Make) -> None:
    fake = FakeKube()
    fake.hold.clear()
    server = make_server(settings=f"  denyList: kube-system/{NAME}\n  master: http://127.0.0.1:{fake.port}\n")
    server.process = server.launch()
    ours = {"user": "awsiam:alice", "uid": "aws-iam-authenticator:123456789012:AROAEXAMPLE", "groups": []}
    answers: list[tuple[int, int]] = []

    def is_starting() -> bool:
        try:
            server.trust()
            answers.append((ask(server, ours).status, ask(server, SCHEDULER).status))
        except OSError:
            return True
        return answers[-1][0] == 504

    wait_until(lambda: not is_starting())
    assert {scheduler for _, scheduler in answers} == {200}
    assert [status for status, _ in answers[:-1]] == [504] * (len(answers) - 1)
    assert answers[0][0] == 504
    assert answers[-1][0] == 503  # it has started, without the deny list
    fake.hold.set()
    wait_until(lambda: ask(server, ours).status == 200)
    fake.stop()


def test_removed_and_changed_mappings_are_denied_while_the_server_runs(make_server: Make) -> None:
    server = make_server()
    server.start()
    user = signed_in(server)
    assert ask(server, user).review["status"] == NO_OPINION
    server.write_config(MAPPINGS.replace("groups: [shop-admins]", "groups: [shop-readers]"))
    wait_until(lambda: ask(server, user).review["status"] != NO_OPINION)
    assert "not all of these groups" in ask(server, user).review["status"]["reason"]
    server.write_config("  mapRoles: []\n")
    wait_until(lambda: "no mapping admits" in ask(server, user).review["status"]["reason"])
    server.write_config(MAPPINGS)
    wait_until(lambda: ask(server, user).review["status"] == NO_OPINION)
