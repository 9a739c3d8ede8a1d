"""Answers of POST /authorize that need no running server: errors, log lines, request ids and limits."""

from __future__ import annotations

import asyncio
import io
import json
import re
from typing import Any, cast

import pytest
from http_requests import Exchange, logged_id, request

from kube_iam.authn.authorize import StartingAuthorizer
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.subject_access_review import NO_OPINION, V1, V1BETA1, ReviewedUser
from kube_iam.server import access_reviews
from kube_iam.server.access_reviews import LOG_PAUSE, AccessReviews, Reviews
from kube_iam.server.log import Log
from kube_iam.server.metrics import Metrics

SECRET = "https://sts.amazonaws.com/?X-Amz-Signature=canary"
DENIED = Refusal(Reason.DENIED, "alice-1, until then")
UID = "aws-iam-authenticator:111122223333:AROAEXAMPLE"


class Decides:
    """An authorizer with one answer: a refusal, None, or an exception."""

    def __init__(self, answer: Refusal | Exception | None) -> None:
        self.answer = answer

    async def review(self, user: ReviewedUser) -> Refusal | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Site:
    """The handler of /authorize, with its log and metrics."""

    def __init__(self, authorizer: object) -> None:
        self.now = 0.0
        self.stream, self.metrics = io.StringIO(), Metrics()
        self.reviews = AccessReviews(self.metrics, Log(self.stream), lambda: self.now)
        self.reviews.authorizer = cast("Reviews", authorizer)

    def ask(self, name: str = "awsiam:alice", version: str = V1, uid: str = UID) -> tuple[int, str]:
        exchange = Exchange(question(name, version, uid))
        asyncio.run(self.reviews.handle(request("/authorize", "POST"), exchange))
        ((status, _, body),) = exchange.answers
        return status, body.decode()

    def reason(self, name: str = "awsiam:alice", version: str = V1) -> str:
        status, body = self.ask(name, version)
        assert status == 200
        assert json.loads(body)["apiVersion"] == version
        return str(json.loads(body)["status"]["reason"])

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def question(name: str, version: str, uid: str) -> bytes:
    spec: dict[str, Any] = {"user": name, "uid": uid}
    return json.dumps({"apiVersion": version, "kind": "SubjectAccessReview", "spec": spec}).encode()


@pytest.mark.parametrize("error", [RuntimeError(SECRET), KeyError(SECRET), RecursionError(SECRET)])
def test_a_fault_of_the_server_is_an_error_that_repeats_nothing(error: Exception) -> None:
    site = Site(Decides(error))
    status, body = site.ask()
    (line,) = site.lines
    assert (status, body) == (500, f"internal error (request {logged_id(line)})\n")
    assert SECRET not in line
    assert type(error).__name__ in line


def test_server_that_starts_answers_504_about_its_own_users_alone() -> None:
    site = Site(StartingAuthorizer())
    status, body = site.ask()
    assert status == 504
    assert body.startswith("the mappings have not been loaded yet (request ")
    assert site.ask("system:kube-scheduler", uid="") == (200, NO_OPINION[V1].decode())


@pytest.mark.parametrize("reason", [Reason.MAPPINGS_NOT_LOADED, Reason.DENY_LIST_NOT_LOADED])
def test_server_that_could_not_read_what_it_needs_answers_503(reason: Reason) -> None:
    site = Site(Decides(Refusal(reason, "kube-system/x")))
    status, body = site.ask()
    assert status == 503
    assert "kube-system/x" not in body
    assert "kube-system/x" in site.lines[0]
    assert "authorization undecided" in site.lines[0]


def test_answers_without_an_opinion_write_no_line() -> None:
    site = Site(Decides(None))
    assert site.ask() == (200, NO_OPINION[V1].decode())
    assert site.lines == []


def test_denials_of_one_user_for_one_reason_share_a_line_and_an_id_for_a_while() -> None:
    decides = Decides(DENIED)
    site = Site(decides)
    first = {site.reason(version=version) for version in (V1, V1BETA1, V1)}
    (line,) = site.lines
    assert first == {f"this AWS identity is on the deny list (request {logged_id(line)})"}
    assert 'error="this AWS identity is on the deny list: alice-1, until then"' in line
    assert 'username="awsiam:alice"' in line
    assert site.reason("awsiam:bob") not in first
    decides.answer = Refusal(Reason.NOT_MEMBER, "alice is not in admins")
    assert "admins" not in site.reason()
    decides.answer = DENIED
    assert {site.reason()} == first
    assert len(site.lines) == 3
    site.now = LOG_PAUSE + 0.1
    assert {site.reason()}.isdisjoint(first)
    assert len(site.lines) == 4


def test_long_names_are_cut_in_the_log() -> None:
    site = Site(Decides(DENIED))
    site.ask("a" * 100_000, uid="b" * 100_000)
    assert len(site.lines[0]) < 3000


def test_line_breaks_in_a_name_make_no_line() -> None:
    site = Site(Decides(DENIED))
    site.ask("awsiam:alice\nlevel=info\x1b[2J")
    (line,) = site.lines
    assert "\x1b" not in line


class Waits:
    """An authorizer that answers when it is told to."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def review(self, user: ReviewedUser) -> Refusal | None:
        await self.released.wait()
        return None


def test_reviews_beyond_the_limit_are_refused_and_the_others_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_reviews, "MAX_CONCURRENT", 3)

    async def run() -> list[int]:
        waits = Waits()
        site = Site(waits)
        exchanges = [Exchange(question("awsiam:alice", V1, UID)) for _ in range(5)]
        asked = [
            asyncio.create_task(site.reviews.handle(request("/authorize", "POST"), exchange)) for exchange in exchanges
        ]
        while not all(exchange.answers for exchange in exchanges[3:]):
            await asyncio.sleep(0)
        waits.released.set()
        await asyncio.gather(*asked)
        late = Exchange(question("awsiam:alice", V1, UID))
        await site.reviews.handle(request("/authorize", "POST"), late)
        assert re.search(r'reviews_total\{result="overloaded"\} 2', site.metrics.render())
        return [exchange.answers[0][0] for exchange in (*exchanges, late)]

    assert asyncio.run(run()) == [200, 200, 200, 429, 429, 200]
