import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.subject_access_review import (
    NO_OPINION,
    V1,
    V1BETA1,
    AccessReview,
    ReviewedUser,
    decode_access_review,
    encode_denied_review,
)

ALICE = ReviewedUser("awsiam:alice", "7", ("a", "b"), {"arn": ("x",), "none": ()})
SPEC = {
    "resourceAttributes": {"namespace": "default", "verb": "get", "version": "v1", "resource": "pods"},
    "user": "awsiam:alice",
    "groups": ["a", "b"],
    "extra": {"arn": ["x"], "none": None},
    "uid": "7",
}


def question(**changes: Any) -> bytes:
    fields = {
        "apiVersion": V1,
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": SPEC,
        "status": {"allowed": False},
    }
    return json.dumps(fields | changes).encode()


def test_user_of_a_review_is_read_in_both_versions() -> None:
    assert decode_access_review(question()) == AccessReview(V1, ALICE)
    beta = {("group" if key == "groups" else key): value for key, value in SPEC.items()}
    assert decode_access_review(question(apiVersion=V1BETA1, spec=beta)) == AccessReview(V1BETA1, ALICE)


def test_groups_under_the_other_versions_name_are_refused() -> None:
    assert decode_access_review(question(apiVersion=V1BETA1)) is None
    assert decode_access_review(question(spec={**SPEC, "group": ["c"]})) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        question(kind="TokenReview"),
        question(kind="SelfSubjectAccessReview"),
        question(apiVersion="authorization.k8s.io/v2"),
        question(apiVersion="authentication.k8s.io/v1"),
        question(spec=None),
        question(spec=[]),
        question(spec={**SPEC, "user": 1}),
        question(spec={**SPEC, "groups": "a"}),
        question(spec={**SPEC, "groups": [1]}),
        question(spec={**SPEC, "extra": {"arn": "x"}}),
        question(spec={**SPEC, "extra": [["arn", ["x"]]]}),
        b'{"spec":{"user":"a"}}',
        b"[" * 100_000,
        b'{"spec":' * 100_000,
    ],
)
def test_other_bodies_are_no_review(body: bytes) -> None:
    assert decode_access_review(body) is None


def test_review_without_a_user_is_one_of_nobody() -> None:
    assert decode_access_review(question(spec={})) == AccessReview(V1, ReviewedUser(""))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NEAR_SPECS = st.fixed_dictionaries(
    {},
    optional={
        "user": st.text() | JSON_VALUES,
        "uid": st.text() | JSON_VALUES,
        "groups": st.lists(st.text()) | JSON_VALUES,
        "group": st.lists(st.text()) | JSON_VALUES,
        "extra": st.dictionaries(st.text(), st.lists(st.text())) | JSON_VALUES,
        "resourceAttributes": JSON_VALUES,
    },
)


@given(
    st.binary()
    | st.builds(
        lambda each: question(**each), st.dictionaries(st.sampled_from(["kind", "apiVersion", "spec"]), JSON_VALUES)
    )
)
def test_reading_a_review_never_raises(body: bytes) -> None:
    found = decode_access_review(body)
    assert found is None or found.api_version in NO_OPINION


@given(st.sampled_from([V1, V1BETA1]), NEAR_SPECS)
def test_a_review_is_read_as_it_stands_or_not_at_all(version: str, spec: dict[str, Any]) -> None:
    found = decode_access_review(question(apiVersion=version, spec=spec))
    if found is not None:
        mine, other = ("groups", "group") if version == V1 else ("group", "groups")
        assert spec.get(other) is None
        assert found.user.name == spec.get("user", "")
        assert found.user.uid == spec.get("uid", "")
        assert list(found.user.groups) == (spec.get(mine) or [])
        extra = spec.get("extra") or {}
        assert {key: list(values) for key, values in found.user.extra.items()} == {k: v or [] for k, v in extra.items()}


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_no_answer_allows(version: str) -> None:
    assert json.loads(NO_OPINION[version]) == {
        "apiVersion": version,
        "kind": "SubjectAccessReview",
        "status": {"allowed": False},
    }
    assert json.loads(encode_denied_review(version, "left"))["status"] == {
        "allowed": False,
        "denied": True,
        "reason": "left",
    }
