"""Status queries and answers about denials, and the recent sign-ins."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identities import role_session
from kube_iam.core.identity import Identity
from kube_iam.denylist.denial import RecentSignIns, denial_of
from kube_iam.denylist.status_query import (
    IN_FORCE,
    NOT_IN_FORCE,
    NOT_LOADED,
    StatusAnswer,
    StatusQuestion,
    parse_answer,
    parse_question,
)

NONCE = "0123456789abcdef"


@given(
    st.sampled_from([NOT_LOADED, IN_FORCE, NOT_IN_FORCE]),
    st.one_of(st.integers(0, 4 * 10**9).map(float), st.just(float("inf"))),
    st.floats(0, 10**7).map(lambda seconds: round(seconds, 3)),
    st.booleans(),
)
def test_an_answer_is_found_in_whatever_the_api_server_puts_around_it(
    state: str, until: float, seconds: float, known: bool
) -> None:
    answer = StatusAnswer(NONCE, "c0ffee", state, until, seconds, known)
    other = dataclasses.replace(answer, nonce="f" * 16, state="lie")
    around = f"[invalid bearer token, {other.text}, a question: {answer.text}, something else]"
    assert parse_answer(around, NONCE) == answer


def test_an_answer_to_another_question_is_none() -> None:
    assert parse_answer(StatusAnswer("f" * 16, "c0ffee", IN_FORCE).text, NONCE) is None
    assert parse_answer("Unauthorized", NONCE) is None


def test_a_question_is_read_back_and_nothing_else_is_one() -> None:
    question = StatusQuestion(NONCE, "alice-0123456789")
    assert parse_question(question.token) == question
    for token in (
        "",
        "kube-iam-deny-status-v1.",
        f"kube-iam-deny-status-v1.{NONCE}",
        f"kube-iam-deny-status-v1.{NONCE}.a b",
        question.token + ".",
    ):
        assert parse_question(token) is None
    assert parse_question(f"kube-iam-deny-status-v1.{NONCE}.{'x' * 65}") is None


def person(name: str, key: str = "ASIA1") -> Identity:
    return role_session(name, "admin", user_id="AROA1", key=key)


@pytest.mark.parametrize("until", [5.0, 10.0**10, float("inf")])
def test_the_last_sign_in_of_a_denied_person_is_known(until: float) -> None:
    memory = RecentSignIns(started=100.0)
    for time, identity in ((110.0, person("alice")), (120.0, person("alice", "ASIA2")), (130.0, person("bob"))):
        memory.record(identity, time)
    assert memory.last_sign_in(denial_of("alice", until=until), 150.0) == (30.0, True)
    memory.record(person("alice"), 140.0)
    assert memory.last_sign_in(denial_of("alice", until=until), 150.0) == (10.0, True)


def test_unknown_identity_may_have_signed_in_just_before_the_record_begins() -> None:
    memory = RecentSignIns(started=100.0)
    assert memory.last_sign_in(denial_of("alice", until=5.0), 150.0) == (50.0, False)


def test_what_is_forgotten_for_want_of_room_may_have_been_anybody() -> None:
    memory = RecentSignIns(started=100.0, capacity=2)
    for offset, name in enumerate(("alice", "bob", "carol")):
        memory.record(person(name), 110.0 + offset)
    assert memory.last_sign_in(denial_of("alice", until=5.0), 150.0) == (40.0, False)
    assert memory.last_sign_in(denial_of("carol", until=5.0), 150.0) == (38.0, True)
