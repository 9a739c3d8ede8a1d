"""Answers of the webhook and of the health port that need no running server."""

from __future__ import annotations

import asyncio
import io
import json
import time
from typing import Any, cast

import pytest
from http_requests import Exchange, logged_id, request

from kube_iam.authn.decide import Authenticator, Denied, Unavailable
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.server.http import Health, Starting, Webhook
from kube_iam.server.log import Log, Scrubber
from kube_iam.server.metrics import Metrics

ACCOUNT = "999999999999"
SECRET = "https://sts.amazonaws.com/?X-Amz-Signature=canary"


class Broken:
    """An authenticator with a fault."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def authenticate(self, token: str) -> None:
        raise self._error


@pytest.mark.parametrize("error", [RuntimeError(SECRET), KeyError(SECRET), ValueError(SECRET), RecursionError(SECRET)])
@pytest.mark.parametrize("version", ["authentication.k8s.io/v1", "authentication.k8s.io/v1beta1"])
def test_a_fault_of_the_server_denies_with_500_and_repeats_nothing(error: Exception, version: str) -> None:
    review: dict[str, Any] = {"apiVersion": version, "kind": "TokenReview", "spec": {"token": f"k8s-aws-v1.{SECRET}"}}
    exchange, log, metrics = Exchange(json.dumps(review).encode()), io.StringIO(), Metrics()
    webhook = Webhook(cast("Authenticator", Broken(error)), metrics, Log(log))
    asyncio.run(webhook.handle(request("/authenticate", "POST"), exchange))
    ((status, headers, body),) = exchange.answers
    assert status == 500
    assert headers == {"content-type": "application/json"}
    (line,) = log.getvalue().splitlines()
    assert json.loads(body) == {
        "apiVersion": version,
        "kind": "TokenReview",
        "status": {"authenticated": False, "error": f"internal error (request {logged_id(line)})"},
    }
    assert "level=error" in line
    assert type(error).__name__ in line
    assert "canary" not in line + metrics.render()


class Slow:
    """An authenticator that cannot decide, and says so after a time of the webhook's own clock."""

    def __init__(self, refusal: Refusal, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        throttled = refusal.reason in (Reason.STS_THROTTLED, Reason.EC2_THROTTLED)
        self._decision = Unavailable(refusal, throttled)
        self._seconds = seconds
        self._monkeypatch = monkeypatch

    async def authenticate(self, token: str) -> Unavailable:
        later = time.perf_counter() + self._seconds
        self._monkeypatch.setattr("kube_iam.server.http.time.perf_counter", lambda: later)
        return self._decision


@pytest.mark.parametrize(
    ("refusal", "seconds", "status"),
    [
        (Refusal(Reason.STS_UNREACHABLE), 0.1, 504),
        (Refusal(Reason.STS_THROTTLED), 0.1, 429),
        (Refusal(Reason.EC2_UNREACHABLE), 0.1, 504),
        (Refusal(Reason.EC2_THROTTLED), 0.1, 429),
        (Refusal(Reason.STS_NO_ANSWER), 0.1, 200),
        (Refusal(Reason.STS_NO_ANSWER), 5, 200),
        (Refusal(Reason.STS_UNREACHABLE), 4, 200),
        (Refusal(Reason.STS_THROTTLED), 4, 200),
        (Refusal(Reason.EC2_UNREACHABLE), 10, 200),
        (Refusal(Reason.EC2_THROTTLED), 10, 200),
        (Refusal(Reason.STS_UNREACHABLE, lasting=True), 0.1, 200),
        (Refusal(Reason.STS_THROTTLED, lasting=True), 0.1, 200),
    ],
)
def test_only_quick_temporary_failures_are_answered_so_that_they_are_retried(
    monkeypatch: pytest.MonkeyPatch, refusal: Refusal, seconds: float, status: int
) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "k8s-aws-v1.x"}}
    exchange = Exchange(json.dumps(review).encode())
    log = io.StringIO()
    webhook = Webhook(cast("Authenticator", Slow(refusal, seconds, monkeypatch)), Metrics(), Log(log))
    asyncio.run(webhook.handle(request("/authenticate", "POST"), exchange))
    ((answered, headers, body),) = exchange.answers
    assert (answered, headers) == (status, {"content-type": "application/json"})
    error = f"{refusal.message} (request {logged_id(log.getvalue())})"
    assert json.loads(body)["status"] == {"authenticated": False, "error": error}


class Refusing:
    """An authenticator that remembers one decision."""

    def __init__(self, refusal: Refusal) -> None:
        self._decision = Denied(refusal)

    async def authenticate(self, token: str) -> Denied:
        return self._decision


def errors(refusal: Refusal, log: Log, requests: int) -> list[str]:
    """Return `status.error` of the answers to so many equal requests."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "k8s-aws-v1.x"}}
    exchange = Exchange(json.dumps(review).encode())
    webhook = Webhook(Refusing(refusal), Metrics(), log)
    for _ in range(requests):
        asyncio.run(webhook.handle(request("/authenticate", "POST"), exchange))
    return [json.loads(body)["status"]["error"] for _, _, body in exchange.answers]


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("reason", [Reason.STS_REFUSED, Reason.TOKEN_PREFIX, Reason.NOT_MAPPED, Reason.DENIED])
def test_every_refusal_has_an_id_of_its_own_in_the_answer_and_in_the_log(reason: Reason, style: str) -> None:
    lines = io.StringIO()
    answered = errors(Refusal(reason, "detail"), Log(lines, "debug", style), 20)
    ids = [logged_id(line) for line in lines.getvalue().splitlines()]
    assert answered == [f"{reason.sentence}: detail (request {each})" for each in ids]
    assert len(set(ids)) == 20


def test_answer_to_a_status_query_is_the_answer_alone() -> None:
    lines = io.StringIO()
    (answered,) = errors(Refusal(Reason.STATUS_QUERY, "kube-iam-x nonce=1"), Log(lines, "debug"), 1)
    assert answered == f"{Reason.STATUS_QUERY.sentence}: kube-iam-x nonce=1"
    assert "requestid" not in lines.getvalue()


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("k8s-aws-v1.aHR0cHM6", 504),
        ("kube-iam-deny-status-v1.x", 504),
        ("kube-iam-membership-status-v1.x", 504),
        ("eyJhbGciOiJSUzI1NiJ9.x.y", 200),
        ("", 200),
    ],
)
def test_starting_server_keeps_only_its_own_tokens_waiting(token: str, status: int) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    exchange = Exchange(json.dumps(review).encode())
    asyncio.run(Webhook(Starting(), Metrics(), Log(io.StringIO())).handle(request("/authenticate", "POST"), exchange))
    ((answered, headers, body),) = exchange.answers
    assert (answered, headers) == (status, {"content-type": "application/json"})
    assert json.loads(body)["status"]["authenticated"] is False
    assert json.loads(body)["status"]["error"]


def test_readyz_shows_no_scrubbed_account() -> None:
    reason = f"IAM could not be read, or not for too long: role arn:aws:iam::{ACCOUNT}:role/admin"
    for accounts, shown in (((), reason), ((ACCOUNT,), reason.replace(ACCOUNT, "…"))):
        exchange = Exchange()
        asyncio.run(Health(lambda: reason, Scrubber(accounts)).handle(request("/readyz"), exchange))
        assert exchange.answers[0][0] == 503
        assert exchange.answers[0][2].decode() == shown


@pytest.mark.parametrize(("reason", "path"), [("", "/readyz"), ("not ready", "/healthz"), ("not ready", "/other")])
def test_the_health_port_answers_ok_where_nothing_is_wrong_or_asked(reason: str, path: str) -> None:
    exchange = Exchange()
    asyncio.run(Health(lambda: reason, Scrubber()).handle(request(path), exchange))
    assert exchange.answers == [(200, {"content-type": "text/plain; charset=utf-8"}, b"ok")]
