"""A whole server with a deny list: readiness, refusals, probes, metrics and the log."""

from __future__ import annotations

from collections.abc import Callable

from fake_sts import identity_answer
from running_server import SESSION_ARN, USER_ID, RunningServer, wait_until

from fake_kube import FakeKube
from kube_iam.denylist.denial import denial_of
from kube_iam.denylist.entry import format_denial
from kube_iam.denylist.status_query import IN_FORCE, NOT_IN_FORCE, StatusQuestion, parse_answer

Make = Callable[..., RunningServer]
PATH, NAME = "/api/v1/namespaces/kube-system/configmaps", "kube-iam-denied"
PERSON = "alice@example.com"
NONCE = "0123456789abcdef"


def test_denial_is_applied_named_counted_and_removed(make_server: Make) -> None:
    fake = FakeKube()
    fake.stop()
    server = make_server(settings=f"  denyList: kube-system/{NAME}\n  master: http://127.0.0.1:{fake.port}\n")
    server.sts.play = lambda _: identity_answer(SESSION_ARN, USER_ID)
    server.start()
    ready = server.health("/readyz")
    assert (ready.status, ready.body) == (503, f"no deny list yet: kube-system/{NAME}".encode())
    assert "deny list has not been loaded" in server.review(server.token()).error
    fake.restart()
    wait_until(lambda: server.health("/readyz").status == 200)
    token = server.token()
    assert server.review(token).review["status"]["authenticated"] is True

    denial = denial_of(PERSON, until=4e9, reason="left", actor="root")
    question = StatusQuestion(NONCE, denial.name).token
    assert probe(server, question) == NOT_IN_FORCE
    fake.put(PATH, NAME, {"data": {denial.name: format_denial(denial), "odd": "{}"}})
    wait_until(lambda: probe(server, question) == IN_FORCE)
    assert f"on the deny list: {denial.name}, until 2096-10-02" in server.review(token).error
    assert server.metric("kube_iam_deny_list_entries") == 1
    assert server.metric("kube_iam_deny_list_invalid_entries") == 1
    assert server.metric('kube_iam_refusals_total{reason="denied"}') == 1
    assert "odd: has no usable `value`" in server.log()
    assert f"denial={denial.name}" in server.log()

    fake.stop()
    wait_until(lambda: server.metric("kube_iam_deny_list_watch_failures_total") > 3)
    assert server.review(token).review["status"]["authenticated"] is False
    fake.put(PATH, NAME, {"data": {}})
    fake.restart()
    wait_until(lambda: server.review(token).review["status"]["authenticated"] is True)
    assert token not in server.log()
    assert server.stop() == 0
    fake.stop()


def test_without_a_deny_list_a_question_is_a_token_like_any_other(make_server: Make) -> None:
    server = make_server()
    server.start()
    assert server.review(StatusQuestion(NONCE, "alice-1").token).error.startswith("the token does not begin with")
    assert server.stop() == 0


def probe(server: RunningServer, question: str) -> str:
    reply = server.review(question)
    assert reply.status == 200
    assert reply.review["status"]["authenticated"] is False
    answer = parse_answer(reply.error, NONCE)
    assert answer is not None
    return answer.state
