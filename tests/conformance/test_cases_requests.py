"""The webhook (docs/protocol.md, section 6): requests, answers and metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from cases import families
from named_sts import NamedSts, Principal
from principals import ADMIN, EVERYBODY, PEOPLE, SCRIPTED, STRANGER
from side_by_side import Pair, Question, Server, running
from tally import Case, Tally
from tokens import Signed

pytestmark = [pytest.mark.reference, pytest.mark.xdist_group("conformance-requests")]

V1 = "authentication.k8s.io/v1"
PREFIX = "aws_iam_authenticator_"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Iterator[Pair]:
    sts = NamedSts(tmp_path_factory.mktemp("sts"), PEOPLE)
    with running(tmp_path_factory.mktemp("requests"), reference, sts, EVERYBODY) as both:
        yield both
    sts.stop()


def good() -> str:
    return Signed(ADMIN).token()


def body(**changes: object) -> Callable[[], Question]:
    def make() -> Question:
        review = {"apiVersion": V1, "kind": "TokenReview", "spec": {"token": good()}, **changes}
        return Question(json.dumps({key: value for key, value in review.items() if value is not None}).encode())

    return make


def raw(text: str) -> Callable[[], Question]:
    return lambda: Question(text.replace("TOKEN", good()).encode())


REVIEW = '"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"'
REQUESTS: dict[str, tuple[Callable[[], Question], str]] = {
    "v1": (lambda: Question.about(good(), V1), ""),
    "v1beta1": (lambda: Question.about(good()), ""),
    "as kube-apiserver writes it": (
        raw(
            f'{{{REVIEW}, "metadata": {{"creationTimestamp": null}}, "spec": {{"token": "TOKEN"}}, "status": {{"user": {{}}}}}}'
        ),
        "",
    ),
    "audiences": (lambda: Question.about(good(), V1, audiences=["https://a", "b"]), ""),
    "a query on the path": (lambda: Question(Question.about(good()).body, path="/authenticate?timeout=30s"), ""),
    "more in it": (body(more={"a": [1]}), ""),
    "another version": (body(apiVersion="authentication.k8s.io/v2"), "A8"),
    "no version": (body(apiVersion=None), "A8"),
    "another kind": (body(kind="SubjectAccessReview"), "A8"),
    "no kind": (body(kind=None), "A8"),
    "no spec": (body(spec=None), ""),
    "an empty object": (raw("{}"), ""),
    "keys in another letter case": (raw(f'{{{REVIEW}, "SPEC": {{"Token": "TOKEN"}}}}'), "A8"),
    "more behind it": (raw(f'{{{REVIEW}, "spec": {{"token": "TOKEN"}}}}{{}}'), "A8"),
    "a token that is a number": (raw(f'{{{REVIEW}, "spec": {{"token": 1}}}}'), ""),
    "a token that is a list": (raw(f'{{{REVIEW}, "spec": {{"token": ["TOKEN"]}}}}'), ""),
    "no token": (raw(f'{{{REVIEW}, "spec": {{}}}}'), ""),
    "a list": (raw("[]"), ""),
    "null": (raw("null"), ""),
    "no JSON": (raw("garbage"), ""),
    "half": (raw(f'{{{REVIEW}, "spec": {{"token": "TOK'), ""),
    "nothing": (lambda: Question(b""), ""),
    "more than a mebibyte": (body(metadata={"name": "x" * 1024 * 1024}), "A5"),
    "GET": (lambda: Question(b"", "GET"), ""),
    "PUT": (lambda: Question(Question.about(good()).body, "PUT"), ""),
    "DELETE": (lambda: Question(b"", "DELETE"), ""),
    "HEAD": (lambda: Question(b"", "HEAD"), ""),
    "another path": (lambda: Question(Question.about(good()).body, path="/authenticat"), ""),
    "a path below": (lambda: Question(Question.about(good()).body, path="/authenticate/x"), ""),
    "health": (lambda: Question(b"", "GET", "/healthz"), ""),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_way_to_ask(pair: Pair, tally: Tally, name: str) -> None:
    make, row = REQUESTS[name]
    tally.ask(pair, Case(name, "requests", make(), EVERYBODY, who=ADMIN), row)


def test_neither_server_sends_audiences(pair: Pair) -> None:
    assert pair.reference is not None
    assert pair.ours is not None
    question = Question.about(good(), V1, audiences=["https://a"])
    theirs, ours = pair.reference.ask(question).review, pair.ours.ask(question).review
    assert "audiences" not in theirs["status"]
    assert ours["status"]["authenticated"] is theirs["status"]["authenticated"] is True
    assert "audiences" not in ours["status"]
    assert (theirs.get("apiVersion"), ours["apiVersion"]) == (None, V1)


def fresh(who: Principal) -> Question:
    """About a token that nobody has seen."""
    return Question.about(Signed(who, age=next(_AGES)).token())


# Each token is newer than the last one: with older ones, two that are made a second apart could be the same token.
_AGES = count(600, -1)


def test_ours_asks_sts_once_a_minute_about_a_token_and_the_reference_every_time(pair: Pair, tally: Tally) -> None:
    assert pair.reference is not None
    assert pair.ours is not None
    asked = []
    for server in (pair.reference, pair.ours):
        question, before = fresh(ADMIN), calls(server)
        assert server.ask(question) == server.ask(question)
        asked.append(calls(server) - before)
    assert asked == [2, 1]
    tally.shown("A11")


def calls(server: Server) -> float:
    """Return the number of calls that the server has made to STS."""
    found = families(server.get("/metrics")).get(f"{PREFIX}sts_responses_total")
    return sum(found.samples.values()) if found is not None else 0


def test_health_is_said_in_the_same_words(pair: Pair, tally: Tally) -> None:
    assert pair.reference is not None
    assert pair.ours is not None
    assert pair.reference.get("/healthz") == pair.ours.get("/healthz") == "ok"
    tally.same()


LISTED = {
    "authenticate_latency_seconds": ("histogram", {"result"}),
    "configmap_watch_failures_total": ("counter", set()),
    "dynamicfile_failures_total": ("counter", set()),
    "sts_connection_failures_total": ("counter", {"StsRegion"}),
    "sts_throttling_total": ("counter", {"StsRegion"}),
    "sts_responses_total": ("counter", {"ResponseCode", "StsRegion"}),
    "ec2_describe_instances_calls_total": ("counter", set()),
    "dynamic_file_enabled": ("gauge", set()),
    "dynamic_file_only": ("gauge", set()),
}
"""The reference's metrics, but for what only a change of a DynamicFile brings about (test_cases_mappings.py)."""


def test_the_metrics_have_the_references_names_types_labels_buckets_and_values(pair: Pair, tally: Tally) -> None:
    assert pair.reference is not None
    assert pair.ours is not None
    questions = [
        *(fresh(who) for who in (ADMIN, STRANGER)),
        *(fresh(SCRIPTED[name]) for name in ("a throttled request", "no answer", "a failure")),
        Question.about(Signed(ADMIN, host="sts.amazonaws.com").token()),
        *(Question.about("garbage"), Question(b"x")),
    ]
    before = [families(server.get("/metrics")) for server in (pair.reference, pair.ours)]
    for question in questions:
        for server in (pair.reference, pair.ours):
            server.ask(question)
    after = [families(server.get("/metrics")) for server in (pair.reference, pair.ours)]
    for name, (kind, labels) in LISTED.items():
        for found in after:
            assert found[PREFIX + name].kind == kind, name
            assert found[PREFIX + name].labels == (labels | {"le"} if kind == "histogram" else labels), name
        tally.same()
    theirs, ours = (
        {
            sample: value - (was[PREFIX + name].samples.get(sample, 0) if PREFIX + name in was else 0)
            for name in LISTED
            for sample, value in now[PREFIX + name].samples.items()
            if "_seconds" not in sample or "_count" in sample
        }
        for was, now in zip(before, after, strict=True)
    )
    # A second try of ours is no second failure; all else is counted alike.
    assert {key for key in theirs if theirs[key] != ours.get(key)} == set()
    assert {key for key in ours if ours[key] and key not in theirs} == set()
    tally.same()
