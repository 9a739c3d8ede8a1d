"""Entries of the deny list as text: what is written is read, and what somebody broke closes more and never less."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identities import role_session
from kube_iam.core.identity import Identity
from kube_iam.core.principals import kind_of
from kube_iam.denylist.denial import ANY_KIND, NO_END, Denial, DenialTable, denial_of, is_reachable
from kube_iam.denylist.entry import format_denial, parse_entry

ROLE = "arn:aws:iam::111122223333:role/prod-admin"
ALICE = role_session("alice", "prod-admin", user_id="AROA1", key="ASIA1")
CAROL = replace(ALICE, arn=ALICE.arn.replace("alice", "carol"), session_name="carol")
UNTIL = 1795527396.0
GOOD = {"kind": "userName", "value": "alice", "role": ROLE, "until": "2026-11-24T13:36:36Z", "reason": "left"}


def denies(who: Identity, text: str, now: float = UNTIL - 1) -> bool:
    return DenialTable(parse_entry("x", text).denials).find(who, now) is not None


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
    denial = denial_of(text, role=role, until=float(until), reason=reason, actor=by, at=17.0)
    denial = replace(denial, iam_group=group if is_reachable(denial.kind, text, role, group) else "")
    denial = replace(denial, role=role if is_reachable(denial.kind, text, role, group) else "")
    assert parse_entry(denial.name, format_denial(denial)) == ((denial,), "")


def test_a_good_entry_has_no_problem() -> None:
    assert parse_entry("x", json.dumps(GOOD)) == ((Denial("x", "userName", "alice", ROLE, UNTIL, "left"),), "")


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
        ({"reason": 7, "actor": [], "at": "?"}, ""),
        ({"surprise": 1}, ""),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_and_it_denies_all_the_same(change: dict[str, object], said: str) -> None:
    text = json.dumps({**GOOD, **change})
    assert denies_alice(text)
    problem = parse_entry("x", text).problem
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
    assert "`role` is not" in parse_entry("x", text).problem


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
def test_text_that_is_no_json_denies_the_values_found_in_it(text: str) -> None:
    assert denies_alice(text)
    assert parse_entry("x", text).problem


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
def test_every_value_of_an_odd_entry_is_denied_and_the_problem_is_reported(text: str) -> None:
    assert denies(ALICE, text)
    assert parse_entry("x", text).problem
    assert not denies(CAROL, text)


def test_values_of_repeated_keys_and_of_odd_text_are_denied_without_an_end() -> None:
    for text in (
        '{"kind": "userName", "value": "alice", "value": "bob", "until": "2000-01-01T00:00:00Z"}',
        "value: alice",
    ):
        assert {denial.until for denial in parse_entry("x", text).denials} == {NO_END}


def test_what_is_left_open_counts_as_everything() -> None:
    (denial,) = parse_entry("x", '{"value": "alice"}').denials
    assert (denial.kind, denial.role, denial.until) == (ANY_KIND, "", NO_END)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "true",
        '{"value": ""}',
        '{"value": null}',
        "{" * 100_000,
        '{"value": "' + "x" * 3000 + '"}',
    ],
)
def test_what_names_nobody_is_a_problem_and_denies_nobody(text: str) -> None:
    denials, problem = parse_entry("x", text)
    assert denials == ()
    assert problem


@given(st.text(max_size=200))
def test_no_text_is_beyond_reading(text: str) -> None:
    denials, problem = parse_entry("x", text)
    assert denials or problem


SESSION = "arn:aws:sts::111122223333:assumed-role/prod-admin/alice"
USER = "arn:aws:iam::111122223333:user/alice"


@pytest.mark.parametrize(
    "value",
    [
        # Several in one text.
        "alice, bob",
        "bob, alice",
        "alice/bob",
        "alice bob",
        "bob; alice",
        "alice;",
        "bob|alice",
        "bob\nalice\n",
        "bob,alice",
        f"{USER}, {USER.replace('alice', 'bob')}",
        f"{USER.replace('alice', 'bob')},{USER}",
        # Quoted, bracketed or padded.
        " alice ",
        "'alice'",
        '"alice"',
        "[alice]",
        "{alice}",
        "<alice>",
        "alice # the one who left",
        # Letters that only look like IAM's.
        "ａｌｉｃｅ",
        "alice\u200b",
        "\ufeffalice",
        "alice\u00a0",
        # Other names of the same person.
        "awsiam:alice",
        "iam:alice",
        "user/alice",
        "user/team/alice",
        "alice/",
        "/alice/",
        "team/alice",
        "111122223333:user/alice",
        # ARNs that nobody has as they are written.
        f"{USER};",
        f"{USER}/",
        f"{USER.replace('arn:aws:', 'arn:aws-moon:')}",
        f"{USER.replace('iam::', 'iam:eu-central-1:')}",
        f"{USER.replace('111122223333', '11112222333')}",
        f"{USER.replace('arn:aws:', 'arn:aws-cn:')}",
        f"{SESSION}/",
        SESSION.replace("sts", "iam"),
        "assumed-role/prod-admin/alice",
        # Wildcards.
        "*lice",
        "al?ce",
        "ali*",
        "arn:aws:iam::111122223333:user/al*",
        "arn:aws:iam::*:user/alice",
        "arn:aws:sts::111122223333:assumed-role/*/alice",
        "arn:*:sts::*:assumed-role/prod-*/a*",
        "user/al*",
        "assumed-role/*/alice",
    ],
)
@pytest.mark.parametrize("kind", ["userName", "arn", None])
def test_a_value_that_nobody_has_as_written_denies_who_is_meant(value: str, kind: str | None) -> None:
    for entry in ({**GOOD, "kind": kind, "value": value}, {"value": [value]}, {"value": {"is": value}}):
        text = json.dumps(entry)
        assert denies_alice(text)
        assert not denies(CAROL, text)
        if value.strip() != "alice" and not value.startswith("arn:aws-cn:"):
            assert parse_entry("x", text).problem


@pytest.mark.parametrize(
    "value",
    [
        "*",
        f"{ROLE}/",
        ROLE.replace("prod-admin", "prod-*"),
        ROLE.replace("prod-admin", "*"),
        "role/prod-admin",
        "role/prod-*",
        ROLE.replace("arn:aws:", "arn:aws-us-gov:"),
        SESSION.replace("alice", "*"),
        SESSION.replace("alice", ""),
        SESSION.replace("/alice", ""),
        "AROA0000000000000001:*",
        "AROA0000000000000001:x",
        "arn:aws:iam::111122223333:user/*",
        "user/*",
    ],
)
def test_a_value_that_means_a_role_or_everybody_denies_them_all(value: str) -> None:
    text = json.dumps({"kind": "arn", "value": value, "until": GOOD["until"]})
    for who in (ALICE, CAROL):
        assert denies(replace(who, user_id="AROA0000000000000001"), text)
    other = replace(ALICE, canonical_arn=ROLE.replace("prod", "test"), arn=ALICE.arn.replace("prod", "test"))
    assert denies(other, text) is (
        value in ("*", ROLE.replace("prod-admin", "*"), USER.replace("alice", "*"), "user/*")
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"userName": "alice"}',
        '{"USERNAME": "alice", "until": "2026-11-24T13:36:36Z"}',
        '{"user": "alice"}',
        '{"user_name": "alice"}',
        '{"users": ["bob", "alice"]}',
        '{"values": ["alice"]}',
        '{"name": "alice"}',
        f'{{"arn": "{SESSION}"}}',
        f'{{"userarn": "{USER}"}}',
        '{"accessKeyId": "ASIA0000000000000001"}',
        '{"access-key-id": "ASIA0000000000000001"}',
        '{"sessionName": "alice", "kind": "userName"}',
        '{"userId": "AROA0000000000000001:alice"}',
        '{"kind": "userName", "userName": "alice", "reason": "left"}',
        '{"kind": "userName", "value": "", "userName": "alice"}',
        '{"value": null, "user": "alice"}',
        '{"value": ";", "who": "alice"}',
        '{"value": [], "deny": ["bob", "alice"]}',
        f'{{"userName": "alice", "role": "{ROLE}x", "role": "{ROLE}y"}}',
        '{"userName": "alice", "userName": "bob"}',
        '{"userName": "alice", "until": "2000-01-01T00:00:00Z", "until": "2000-01-01T00:00:00Z"}',
        # YAML.
        "userName: alice",
        "kind: userName\nvalue: alice\n",
        "kind: userName\nvalue: alice, bob\n",
        "kind: userName\nvalue: bob, alice # both left\n",
        "kind: userName\nvalue:\n  - bob\n  - alice\n",
        "value: |\n  bob\n  alice\nreason: left\n",
        "value: >-\n  alice\n",
        "value:\n  alice\n",
        "value: !!str alice",
        "value: &a alice",
        '"value": "alice"',
        "- kind: userName\n  value: alice\n",
        "---\nuser: alice\n...\n",
        "users:\n- bob\n- alice\n",
        f"arn: {USER}\n",
        "{userName: alice, until: 2026-11-24T13:36:36Z}",
        # Bare names.
        "bob, alice",
        "bob alice",
        "bob\nalice\n",
        "- bob\n- alice\n",
        "# left today\nalice\n",
        f"{USER};",
        # Damaged JSON.
        '{"kind": "userName", "value": "alice',
        '{"kind": "userName", "value": "bob, alice", }',
        '{"userName": "alice", }',
        '{"value": "alice"} {"value": "bob"}',
        "{'value': 'alice'}",
        '{"value" = "alice"}',
        '"alice',
    ],
)
def test_an_entry_that_names_somebody_in_another_form_denies_them(text: str) -> None:
    who = replace(ALICE, user_id="AROA0000000000000001", access_key_id="ASIA0000000000000001")
    assert denies(who, text)
    assert parse_entry("x", text).problem
    assert not denies(CAROL, text)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (ROLE, {"role": ROLE.replace("admin", "viewer")}),
        (SESSION, {"role": ROLE.replace("admin", "viewer")}),
        (USER, {"role": ROLE.replace("1111", "9999")}),
        (ROLE, {"iamGroup": "prod-admin"}),
        ("AIDA0000000000000001", {"role": ROLE}),
        ("AKIA0000000000000001", {"role": ROLE}),
        ("AROA0000000000000001", {"iamGroup": "prod-admin"}),
        ("alice", {"role": ROLE.replace("prod-admin", "*")}),
        ("alice", {"role": ROLE.replace("prod-admin", "prod-*")}),
        ("alice", {"role": f"{ROLE}/"}),
        ("alice", {"role": f"{ROLE};"}),
        ("alice", {"role": USER}),
        ("alice", {"role": [ROLE.replace("admin", "viewer")]}),
        ("alice", {"role": ROLE.replace("arn:aws:", "arn:aws-moon:")}),
        ("alice", {"role": "arn:aws:sts::111122223333:assumed-role/prod-viewer/*"}),
        ("alice", {"role": "arn:aws:sts::111122223333:assumed-role/prod-viewer/"}),
        ("alice", {"iamGroup": "prod-*"}),
        ("alice", {"iamGroup": "arn:aws:iam::111122223333:group/prod-viewer"}),
    ],
)
def test_a_place_in_which_nobody_can_be_counts_as_everywhere(value: str, place: dict[str, object]) -> None:
    text = json.dumps({"kind": kind_of(value), "value": value, "until": GOOD["until"], **place})
    denials, problem = parse_entry("x", text)
    assert "counts as everywhere" in problem
    assert [(each.value, each.role, each.iam_group) for each in denials] == [(value, "", "")]


def test_the_role_of_another_partition_is_that_of_the_account() -> None:
    assert denies_alice(json.dumps({**GOOD, "role": ROLE.replace("arn:aws:", "arn:aws-cn:")}))


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "arn", "value": "arn:aws:iam::111122223333:group/admins"}',
        '{"kind": "arn", "value": "arn:aws:s3:::bucket"}',
        '{"kind": "userId", "value": "AGPA0000000000000001"}',
        '{"value": "AGPA0000000000000001"}',
        '{"kind": "userName", "value": ";"}',
        '{"kind": "userName"}',
        '{"kind": "userName", "until": "2026-11-24T13:36:36Z", "reason": "lost laptop", "actor": "root"}',
        '{"value": false}',
        '{"value": {}}',
        '{"value": [[], {}]}',
        '{"alice": {}}',
        '{"role": "prod-admin"}',
        "kind: userName\nreason: left\n",
        '{"kind": "userName"',
        "# alice\n",
    ],
)
def test_an_entry_that_names_nobody_says_so(text: str) -> None:
    denials, problem = parse_entry("x", text)
    assert denials == ()
    assert "names nobody" in problem


def test_an_entry_with_a_role_alone_denies_the_sessions_of_the_role() -> None:
    text = json.dumps({"role": ROLE, "until": GOOD["until"]})
    assert denies(CAROL, text)
    assert parse_entry("x", text).problem == "has no `value`: counts as all sessions of `role`"


def test_a_number_is_the_name_that_its_digits_are() -> None:
    seven = replace(ALICE, arn=ALICE.arn.replace("alice", "1234567"), session_name="1234567")
    for text in ("1234567", '{"kind": "userName", "value": 1234567}', '{"userName": 1234567}', "[1234567]"):
        assert denies(seven, text)
        assert parse_entry("x", text).problem


def test_a_comma_in_a_name_that_the_command_wrote_is_part_of_the_name() -> None:
    denial = denial_of("smith,john", until=UNTIL, at=17.0)
    assert parse_entry(denial.name, format_denial(denial)) == ((denial,), "")
    by_hand = parse_entry("x", format_denial(denial))
    assert [each.value for each in by_hand.denials] == ["smith,john", "smith", "john"]
    assert by_hand.problem


separators = st.sampled_from([", ", "; ", " ", "\n", " | ", " / ", " and ", "\t", "，", "、", " & "])
around = st.sampled_from(["", " ", "'", '"', "[", "(", "<", "\u200b", ";", "\ufeff"])


@given(separators, around, around, st.sampled_from(["userName", "arn", "userId", "accessKeyId", "user", ""]))
def test_whatever_stands_between_and_around_names_each_is_denied(
    between: str, before: str, after: str, kind: str
) -> None:
    value = f"{before}bob{between}alice{after}"
    text = json.dumps({"kind": kind, "value": value, "until": GOOD["until"]})
    assert denies_alice(text)
    assert not denies(CAROL, text)
