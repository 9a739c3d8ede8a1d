import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.token_review import ReviewRequest, User, decode_review, encode_allowed, encode_denied

V1 = "authentication.k8s.io/v1"
V1BETA1 = "authentication.k8s.io/v1beta1"
USER = User("awsiam:alice", "aws-iam-authenticator:111122223333:AROAEXAMPLE", ("a", "b"), {"arn": ("x",)})


def question(**changes: Any) -> bytes:
    return json.dumps({"apiVersion": V1, "kind": "TokenReview", "spec": {"token": "t"}} | changes).encode()


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_a_question_of_either_version_is_answered_in_that_version(version: str) -> None:
    request = decode_review(question(apiVersion=version))
    assert request == ReviewRequest(version, "t")
    assert json.loads(encode_allowed(request, USER))["apiVersion"] == version
    assert json.loads(encode_denied(request, "no"))["apiVersion"] == version


def test_what_kube_apiserver_sends_besides_is_let_through() -> None:
    body = question(metadata={"creationTimestamp": None}, status={"user": {}}, spec={"token": "t", "audiences": None})
    assert decode_review(body) == ReviewRequest(V1, "t")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        question(kind="SubjectAccessReview"),
        question(apiVersion="authentication.k8s.io/v2"),
        question(spec=None),
        question(spec={"token": 1}),
        question(spec={"token": "t", "audiences": "a"}),
        b'{"spec":{"token":"t"}}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_a_token_review_is_none(body: bytes) -> None:
    assert decode_review(body) is None


def test_a_question_without_a_token_is_one_to_deny() -> None:
    assert decode_review(question(spec={})) == ReviewRequest(V1, "")


@pytest.mark.parametrize("audiences", [None, [], ["api"], ["api", "vault.example.com"]])
def test_an_allowed_answer_has_the_user_and_never_audiences(audiences: list[str] | None) -> None:
    request = decode_review(question(spec={"token": "t", "audiences": audiences}))
    assert request is not None
    answer = json.loads(encode_allowed(request, USER))
    assert answer == {
        "apiVersion": V1,
        "kind": "TokenReview",
        "status": {
            "authenticated": True,
            "user": {
                "username": "awsiam:alice",
                "uid": "aws-iam-authenticator:111122223333:AROAEXAMPLE",
                "groups": ["a", "b"],
                "extra": {"arn": ["x"]},
            },
        },
    }


@pytest.mark.parametrize("request_", [None, ReviewRequest(V1BETA1, "t")])
@pytest.mark.parametrize("error", ["no mapping", ""])
def test_a_denial_always_says_so_and_why(request_: ReviewRequest | None, error: str) -> None:
    answer = json.loads(encode_denied(request_, error))
    assert answer["kind"] == "TokenReview"
    assert answer["status"] == {"authenticated": False, "error": error or "access denied"}


def test_the_token_is_not_in_the_repr() -> None:
    assert "k8s-aws-v1" not in repr(ReviewRequest(V1, "k8s-aws-v1.secret"))


@given(st.binary())
def test_no_body_makes_decoding_raise(body: bytes) -> None:
    assert decode_review(body) is None


@given(st.text(), st.lists(st.text()))
def test_a_token_survives_json_whatever_the_audiences(token: str, audiences: list[str]) -> None:
    request = decode_review(question(spec={"token": token, "audiences": audiences}))
    assert request == ReviewRequest(V1, token)
