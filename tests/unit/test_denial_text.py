"""Entries of the deny list as text: what is written is read, and what somebody broke closes more and never less."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.denial_text import read_denial, write_denial
from kube_iam.core.denied import ANY_KIND, FOR_EVER, Denial, DenialTable, denial_of
from kube_iam.core.identity import Identity

ROLE = "arn:aws:iam::111122223333:role/prod-admin"
ALICE = Identity(
    "arn:aws:sts::111122223333:assumed-role/prod-admin/alice", ROLE, "111122223333", "AROA1", "alice", "ASIA1", "sts"
)
CAROL = replace(ALICE, arn=ALICE.arn.replace("alice", "carol"), session_name="carol")
UNTIL = 1795527396.0
GOOD = {"kind": "userName", "value": "alice", "role": ROLE, "until": "2026-11-24T13:36:36Z", "reason": "left"}


def denies(who: Identity, text: str, now: float = UNTIL - 1) -> bool:
    return DenialTable(read_denial("x", text).denials).find(who, now) is not None


def denies_alice(text: str) -> bool:
    return denies(ALICE, text)


printable = st.text(st.characters(codec="utf-8"), max_size=40)


@given(
    st.sampled_from(["alice", "a.b@c", ROLE, "ASIA0000000000000001", "AROA123456:x+y"]),
    st.sampled_from(["", ROLE]),
    st.sampled_from(["", "prod-developer"]),
    printable,
    printable,
    st.integers(0, 4 * 10**9),
)
def test_what_is_written_is_read_back(text: str, role: str, group: str, reason: str, by: str, until: int) -> None:
    denial = denial_of(text, role=role, until=float(until), reason=reason, by=by, at=17.0)
    denial = replace(denial, iam_group=group)
    assert read_denial(denial.ident, write_denial(denial)) == ((denial,), "")


def test_a_good_entry_has_no_problem() -> None:
    assert read_denial("x", json.dumps(GOOD)) == ((Denial("x", "userName", "alice", ROLE, UNTIL, "left"),), "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "username"}, ""),
        ({"kind": "user"}, "`kind` is none of"),
        ({"kind": None}, "`kind` is none of"),
        ({"kind": "arn"}, "has not the form"),
        ({"kind": "accessKeyId"}, "has not the form"),
        ({"role": "prod-admin"}, "`role` is not"),
        ({"role": 7}, "`role` is not"),
        ({"role": None, "iamGroup": 7}, "`iamGroup` is not"),
        ({"role": None, "iamGroup": "prod/developer"}, "`iamGroup` is not"),
        ({"role": ROLE.replace("admin", "viewer"), "iamGroup": ["x"]}, "`iamGroup` is not"),
        ({"until": "tomorrow"}, "`until` is not"),
        ({"until": 1}, "`until` is not"),
        ({"until": None}, "`until` is not"),
        ({"until": "2026-11-24T13:36:36+02:00"}, "`until` is not"),
        ({"reason": 7, "by": [], "at": "?"}, ""),
        ({"surprise": 1}, ""),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_and_it_denies_all_the_same(change: dict[str, object], said: str) -> None:
    text = json.dumps({**GOOD, **change})
    assert denies_alice(text)
    problem = read_denial("x", text).problem
    assert said in problem
    assert bool(said) is bool(problem)


@pytest.mark.parametrize("session", ["prod-admin/alice", "prod-admin/bob", "team/prod-admin/alice"])
def test_the_arn_of_a_session_as_role_is_its_role(session: str) -> None:
    text = json.dumps({**GOOD, "role": f"arn:aws:sts::111122223333:assumed-role/{session}"})
    assert denies_alice(text)
    other = json.dumps({**GOOD, "role": "arn:aws:sts::111122223333:assumed-role/prod-viewer/alice"})
    assert not denies_alice(other)


def test_a_user_whose_path_looks_like_a_role_is_no_role() -> None:
    text = json.dumps({**GOOD, "role": "arn:aws:iam::111122223333:user/x:role/prod-admin"})
    assert denies_alice(text)
    assert "`role` is not" in read_denial("x", text).problem


@pytest.mark.parametrize(
    "text",
    [
        "alice",
        '"alice"',
        "kind: userName\nvalue: alice\nuntil: 2026-11-24T13:36:36Z\n",
        json.dumps(GOOD)[:-1],
        json.dumps(GOOD) + "}",
        json.dumps(GOOD).replace('"', "'"),
        json.dumps(GOOD).replace("}", ",}"),
    ],
)
def test_text_that_is_no_json_is_searched_for_whom_it_means(text: str) -> None:
    assert denies_alice(text)
    assert read_denial("x", text).problem


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([GOOD]),
        '["alice"]',
        '["bob", {"kind": "userName", "value": "alice"}]',
        '[{}, 7, "alice"]',
        '{"value": ["alice"]}',
        '{"kind": "userName", "value": ["bob", 7, "alice"]}',
        '{"value": "alice", "value": "bob"}',
        '{"value": "bob", "Value": "alice"}',
        '{"value": "alice", "value": 7}',
        '{"value": "alice", "kind": "userName", "kind": "arn"}',
        f'{{"value": "alice", "role": "{ROLE}", "role": "{ROLE}x"}}',
        '{"value": "alice", "iamGroup": "", "iamGroup": "x"}',
        '{"value": "alice", "until": "2099-01-01T00:00:00Z", "until": "2000-01-01T00:00:00Z"}',
        "# value: bob\nvalue: alice\n",
        "reason: no value: bob\nvalue: alice",
        "value: alice # until: 2000-01-01T00:00:00Z",
        "# role: arn:aws:iam::111122223333:role/other, iamGroup: x, kind: arn\nvalue: alice",
        "{kind: userName, value: alice, until: 2026-11-24T13:36:36Z}",
        "value: [bob, alice]",
        "value:\n- bob\n- 'alice'\n",
        '{"value": ["bob", "alice"',
    ],
)
def test_everybody_whom_an_entry_names_is_denied_and_what_is_odd_about_it_is_said(text: str) -> None:
    assert denies(ALICE, text)
    assert read_denial("x", text).problem
    assert not denies(CAROL, text)


def test_who_is_named_twice_is_denied_without_an_end_as_is_who_stands_in_no_json() -> None:
    for text in (
        '{"kind": "userName", "value": "alice", "value": "bob", "until": "2000-01-01T00:00:00Z"}',
        "value: alice",
    ):
        assert {denial.until for denial in read_denial("x", text).denials} == {FOR_EVER}


def test_what_is_left_open_counts_as_everything() -> None:
    (denial,) = read_denial("x", '{"value": "alice"}').denials
    assert (denial.kind, denial.role, denial.until) == (ANY_KIND, "", FOR_EVER)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "7", '{"value": ""}', '{"value": 3}', "{" * 100_000, '{"value": "' + "x" * 3000 + '"}'],
)
def test_what_names_nobody_is_a_problem_and_denies_nobody(text: str) -> None:
    denials, problem = read_denial("x", text)
    assert denials == ()
    assert problem


@given(st.text(max_size=200))
def test_no_text_is_beyond_reading(text: str) -> None:
    denials, problem = read_denial("x", text)
    assert denials or problem
