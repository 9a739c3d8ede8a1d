"""The policy evaluator against the rules of the IAM user guide, and properties that make it safe to rely on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.sandbox.iam_policy.evaluate import AssumeRequest, evaluate_trust
from kube_iam.sandbox.iam_policy.values import ANY, expand, matches, wildcards

ACCOUNT = "111122223333"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/staff/alice"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/demo-admin"
CI_SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run-7"
OUR_CONDITION = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}


def request(principal: str = ALICE, session_name: str = "alice", **context: Any) -> AssumeRequest:
    keys = {name.replace("__", "/").replace("_", ":", 1): value for name, value in context.items()}
    return AssumeRequest(principal, principal.split(":")[4], ROLE, session_name, keys)


def trust(*statements: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    return {"Version": version, "Statement": list(statements)}


def allow(principal: object = None, **more: Any) -> dict[str, Any]:
    who = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"} if principal is None else principal
    return {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": who, **more}


def deny(principal: object = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": "sts:AssumeRole", "Principal": principal, **more}


def allowed(statement: dict[str, Any], asked: AssumeRequest) -> bool:
    return evaluate_trust(trust(statement), asked).allowed


@pytest.mark.parametrize(
    ("principal", "caller", "expected"),
    [
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, ALICE, True),
        ({"AWS": ACCOUNT}, ALICE, True),
        ({"AWS": ACCOUNT}, CI_SESSION, True),
        ({"AWS": ["999900001111", ACCOUNT]}, ALICE, True),
        ({"AWS": "999900001111"}, ALICE, False),
        ({"AWS": f"arn:aws-cn:iam::{ACCOUNT}:root"}, ALICE, False),
        ({"AWS": ALICE}, ALICE, True),
        ({"AWS": ALICE}, ALICE.replace("alice", "alicea"), False),
        ({"AWS": ALICE.replace("alice", "Alice")}, ALICE, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/ci"}, CI_SESSION, True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/build/ci"}, CI_SESSION, True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/cd"}, CI_SESSION, False),
        ({"AWS": "arn:aws:iam::999900001111:role/ci"}, CI_SESSION, False),
        ({"AWS": CI_SESSION}, CI_SESSION, True),
        ({"AWS": CI_SESSION}, CI_SESSION.replace("run-7", "run-8"), False),
        ("*", ALICE, True),
        ({"AWS": "*"}, ALICE, True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/*"}, ALICE, False),
        ({"AWS": "AIDAEXAMPLEEXAMPLE12"}, ALICE, False),
        ({"Service": "ec2.amazonaws.com"}, ALICE, False),
        ({"Federated": "accounts.google.com"}, ALICE, False),
        ({"Somebody": "*"}, ALICE, False),
        ({}, ALICE, False),
        (None, ALICE, True),
        (17, ALICE, False),
    ],
)
def test_principal_names_exactly_the_callers_of_the_iam_user_guide(
    principal: object, caller: str, expected: bool
) -> None:
    assert allowed(allow(principal), request(caller)) is expected


@pytest.mark.parametrize(
    ("not_principal", "denied"),
    [
        ({"AWS": [ALICE, f"arn:aws:iam::{ACCOUNT}:root"]}, False),
        ({"AWS": [ALICE]}, True),
        ({"AWS": [f"arn:aws:iam::{ACCOUNT}:root"]}, True),
        ({"AWS": [f"arn:aws:iam::{ACCOUNT}:user/bob", ACCOUNT]}, True),
        ({"AWS": 5}, True),
    ],
)
def test_a_deny_with_not_principal_spares_only_who_is_named_with_the_account(
    not_principal: object, denied: bool
) -> None:
    statement = {"Effect": "Deny", "Action": "sts:*", "NotPrincipal": not_principal}
    assert evaluate_trust(trust(allow(), statement), request()).allowed is not denied


def test_an_allow_with_not_principal_allows_nobody() -> None:
    statement = {"Effect": "Allow", "Action": "*", "NotPrincipal": {"AWS": "999900001111"}}
    assert not allowed(statement, request())


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("sts:AssumeRole", True),
        ("STS:assumerole", True),
        ("sts:*", True),
        ("sts:Assume*", True),
        ("sts:AssumeRol?", True),
        ("*", True),
        (["sts:TagSession", "sts:AssumeRole"], True),
        ("*:*", True),
        ("sts:AssumeRoleWithSAML", False),
        ("sts:AssumeRol", False),
        ("s*", False),
        ("s*:AssumeRole", False),
        ("sts:Assume\u0130*", False),
        ("**", False),
        (["sts:AssumeRole", "sts: AssumeRole"], False),
        ([], False),
        (None, False),
    ],
)
def test_actions_match_with_wildcards_and_without_case(action: object, expected: bool) -> None:
    assert allowed({**allow(), "Action": action}, request()) is expected


def test_not_action_allows_what_it_does_not_name() -> None:
    statement = {"Effect": "Allow", "NotAction": "iam:*", "Principal": "*"}
    assert allowed(statement, request())
    assert not allowed({**statement, "NotAction": "sts:*"}, request())


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"StringEquals": {"STS:rolesessionname": "alice"}}, True),
        ({"stringequals": {"sts:RoleSessionName": ["bob", "alice"]}}, True),
        ({"StringEquals": {"sts:RoleSessionName": "Alice"}}, False),
        ({"StringEquals": {"sts:RoleSessionName": "a*"}}, False),
        ({"StringEqualsIgnoreCase": {"sts:RoleSessionName": "ALICE"}}, True),
        ({"StringNotEquals": {"sts:RoleSessionName": ["bob", "carol"]}}, True),
        ({"StringNotEquals": {"sts:RoleSessionName": ["bob", "alice"]}}, False),
        ({"StringNotEqualsIgnoreCase": {"sts:RoleSessionName": "ALICE"}}, False),
        ({"StringLike": {"sts:RoleSessionName": "a?i*"}}, True),
        ({"StringNotLike": {"sts:RoleSessionName": "a*"}}, False),
        ({"StringEquals": {"aws:PrincipalTag/team": "shop"}}, True),
        ({"StringEquals": {"aws:PrincipalTag/absent": "shop"}}, False),
        ({"StringEqualsIfExists": {"aws:PrincipalTag/absent": "shop"}}, True),
        ({"StringNotEquals": {"aws:PrincipalTag/absent": "shop"}}, True),
        ({"Null": {"aws:PrincipalTag/absent": "true"}}, True),
        ({"Null": {"aws:PrincipalTag/team": True}}, False),
        ({"Null": {"aws:PrincipalTag/team": "perhaps"}}, False),
        ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, True),
        ({"Bool": {"aws:MultiFactorAuthPresent": True}}, True),
        ({"Bool": {"aws:MultiFactorAuthPresent": "false"}}, False),
        ({"BoolIfExists": {"aws:absent": "true"}}, True),
        ({"NumericLessThan": {"aws:MultiFactorAuthAge": "3600"}}, True),
        ({"NumericLessThan": {"aws:MultiFactorAuthAge": 300}}, False),
        ({"NumericEquals": {"aws:MultiFactorAuthAge": "300.0"}}, True),
        ({"NumericNotEquals": {"aws:MultiFactorAuthAge": 300}}, False),
        ({"NumericGreaterThanEquals": {"aws:MultiFactorAuthAge": "300"}}, True),
        ({"NumericLessThanEquals": {"aws:MultiFactorAuthAge": "many"}}, False),
        ({"NumericLessThan": {"aws:MultiFactorAuthAge": "inf"}}, False),
        ({"DateLessThan": {"aws:CurrentTime": "2026-06-01T00:00:00Z"}}, True),
        ({"DateGreaterThan": {"aws:CurrentTime": "2026-06-01"}}, False),
        ({"DateLessThan": {"aws:EpochTime": "2026-06-01T00:00:00Z"}}, True),
        ({"DateLessThan": {"aws:CurrentTime": "tomorrow"}}, False),
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, True),
        ({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]}}, False),
        ({"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, False),
        ({"NotIpAddress": {"aws:SourceIp": "everywhere"}}, False),
        ({"ArnEquals": {"aws:PrincipalArn": ALICE}}, True),
        ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/*"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*"}}, False),
        ({"ArnLike": {"aws:PrincipalArn": "arn:*:user/*"}}, False),
        ({"ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/*"}}, False),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "c"]}}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": "c"}}, False),
        ({"ForAnyValue:StringEquals": {"aws:absent": "a"}}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b", "c"]}}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}, False),
        ({"ForAllValues:StringEquals": {"aws:absent": ["a"]}}, True),
        ({"ForAnyValue:StringNotEquals": {"aws:absent": ["a"]}}, False),
        ({"ForEachValue:StringEquals": {"aws:TagKeys": ["a", "b"]}}, False),
        ({"StringEquals": {"aws:TagKeys": ["a", "b"]}}, False),
        ({"StringEquals": {"sts:RoleSessionName": []}}, False),
        ({"StringEquals": {"sts:RoleSessionName": {"is": "alice"}}}, False),
        ({"StringEquals": "alice"}, False),
        ({"StringMatches": {"sts:RoleSessionName": "alice"}}, False),
        ({"StringMatchesIfExists": {"aws:absent": "alice"}}, False),
        ([], False),
        ({}, True),
    ],
)
def test_condition_operators(condition: object, expected: bool) -> None:
    context: dict[str, str | tuple[str, ...]] = {
        "aws:PrincipalTag/team": "shop",
        "aws:MultiFactorAuthPresent": "true",
        "aws:MultiFactorAuthAge": "300",
        "aws:CurrentTime": "2026-01-02T03:04:05Z",
        "aws:EpochTime": "1767323045",
        "aws:SourceIp": "192.0.2.7",
        "aws:TagKeys": ("a", "b"),
    }
    asked = AssumeRequest(ALICE, ACCOUNT, ROLE, "alice", context)
    assert allowed(allow(Condition=condition), asked) is expected


UNDECIDED = [
    *(
        {"NumericLessThan": {"aws:MultiFactorAuthAge": text}}
        for text in (
            "3_600",
            "\u0663\u0666\u0660\u0660",
            " 3600",
            "3600\n",
            "+3600",
            "3.6e3",
            "1e400",
            "Infinity",
            "nan",
            "3600.",
            "0xE10",
        )
    ),
    {"NumericLessThan": {"aws:MultiFactorAuthAge": float("inf")}},
    {"NumericGreaterThan": {"aws:MultiFactorAuthAge": ".5"}},
    *(
        {"DateLessThan": {"aws:CurrentTime": text}}
        for text in (
            *("2026-W23-1", "2026-06", "2026-06-01 00:00:00Z", "2026-06-01T00:00:00", "2026-06-01T00Z"),
            *("2026-06-01T00:00:00,5Z", "2026-06-01T00:00:00+00:00:01", "2026-06-01T00:00:00z", "2026-06-31T00:00:00Z"),
            *("\u0662026-06-01", "1_780_272_000", "9999999999999999999999999999999999999999999", "2026-06-01t00:00Z"),
        )
    ),
    *(
        {"IpAddress": {"aws:SourceIp": text}}
        for text in (
            *("192.0.2.0/255.255.255.0", "192.0.2.0/0.0.0.255", "192.0.2.0/024", "192.0.2.0/2\u0664", " 192.0.2.0/24"),
            *("::ffff:192.0.2.0/120", "fe80::%eth0/64", "192.0.2.0/", "192.0.2"),
        )
    ),
    {"Bool": {"aws:MultiFactorAuthPresent": " true"}},
    {"Bool": {"aws:MultiFactorAuthPresent": 1}},
    {"StringEqualsIgnoreCase": {"aws:PrincipalTag/street": "STRASSE"}},
    {"StringEqualsIgnoreCase": {"aws:PrincipalTag/key": "\u212aey"}},
    {"StringLi\u212ae": {"aws:PrincipalTag/key": "key"}},
    {"StringEquals": {"aws:PrincipalTag/key": "key", "aws:principaltag/KEY": "key"}},
    {"StringEquals": {"aws:PrincipalTag/key": "key"}, "stringequals": {"aws:PrincipalTag/key": "key"}},
    {"StringEquals": {7: "key"}},
]


@pytest.mark.parametrize("condition", UNDECIDED, ids=ascii)
def test_operands_that_aws_does_not_document_allow_nothing_and_deny(condition: dict[str, Any]) -> None:
    context = {
        "aws:MultiFactorAuthPresent": "true",
        "aws:MultiFactorAuthAge": "300",
        "aws:CurrentTime": "2026-01-02T03:04:05Z",
        "aws:SourceIp": "192.0.2.7",
        "aws:PrincipalTag/street": "stra\u00dfe",
        "aws:PrincipalTag/key": "key",
    }
    asked = AssumeRequest(ALICE, ACCOUNT, ROLE, "alice", context)
    assert not allowed(allow(Condition=condition), asked)
    assert not evaluate_trust(trust(allow(), deny(Condition=condition)), asked).allowed


def test_numbers_are_compared_exactly() -> None:
    large = "9007199254740993"
    condition = {"NumericEquals": {"aws:MultiFactorAuthAge": "9007199254740992"}}
    assert not allowed(allow(Condition=condition), request(aws_MultiFactorAuthAge=large))
    assert allowed(
        allow(Condition={"NumericEquals": {"aws:MultiFactorAuthAge": "1.50"}}), request(aws_MultiFactorAuthAge="1.5")
    )


@pytest.mark.parametrize("name", ["\u017fhop", "\u0130", "x"])
def test_case_folding_beyond_ascii_never_opens_a_negated_comparison(name: str) -> None:
    asked = request(aws_PrincipalTag__team={"\u017fhop": "SHOP", "\u0130": "i\u0307", "x": "X"}[name])
    condition = {"StringNotEqualsIgnoreCase": {"aws:PrincipalTag/team": name}}
    assert not allowed(allow(Condition=condition), asked)


@pytest.mark.parametrize(
    "text",
    [
        '{"Version": "2012-10-17", "Statement": [STATEMENT], "Statement": [STATEMENT]}',
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Effect": "Allow", "Action": "*", "Principal": "*"}]}',
        '{"Statement": [STATEMENT], "Id": NaN}',
        '{"Statement": [STATEMENT], "Id": -Infinity}',
        '{"Statement": [STATEMENT], "statement": [STATEMENT]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Principal": "*", "condition": {"Bool": {"a:b": true}}}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Principal": "*", "Conditions": {}}]}',
        "[" * 100_000,
        '{"Statement": ' + "[" * 100_000,
        '{"Statement": [STATEMENT], "Id": ' + "9" * 5_000 + "}",
        '\ufeff{"Statement": [STATEMENT]}',
    ],
    ids=range(11),
)
def test_a_document_that_iam_would_refuse_allows_nothing(text: str) -> None:
    assert not evaluate_trust(text.replace("STATEMENT", json.dumps(allow())), request()).allowed


@pytest.mark.parametrize(
    ("value", "session_name", "expected"),
    [
        ("${aws:username}", "alice", True),
        ("${aws:UserName}", "alice", True),
        ("${aws:username}", "bob", False),
        ("${aws:PrincipalTag/team}-${aws:username}", "shop-alice", True),
        ("${aws:PrincipalTag/absent}", "shop", False),
        ("${aws:PrincipalTag/absent, 'shop'}", "shop", True),
        ("${aws:PrincipalTag/team, 'other'}", "shop", True),
        ("${aws:userid}", "AIDAEXAMPLE", True),
        ("a${*}b", "a*b", True),
        ("a${?}b${$}", "a?b$", True),
        ("${aws:username", "alice", False),
        ("*${aws:username", "x${aws:username", False),
        ("${\u00a0aws:username}", "alice", False),
        ("${aws:PrincipalTag/\u212aey}", "key", False),
    ],
)
def test_policy_variables(value: str, session_name: str, expected: bool) -> None:
    asked = request(
        session_name=session_name, aws_PrincipalTag__team="shop", aws_PrincipalTag__key="key", aws_userid="AIDAEXAMPLE"
    )
    for operator in ("StringEquals", "StringLike"):
        assert allowed(allow(Condition={operator: {"sts:RoleSessionName": value}}), asked) is expected


def test_a_wildcard_that_comes_in_through_a_variable_is_literal() -> None:
    asked = request(session_name="root", aws_PrincipalTag__team="*")
    assert not allowed(allow(Condition={"StringLike": {"sts:RoleSessionName": "${aws:PrincipalTag/team}"}}), asked)


def test_the_old_policy_version_knows_no_variables() -> None:
    document = trust(allow(Condition=OUR_CONDITION), version="2008-10-17")
    assert not evaluate_trust(document, request()).allowed
    assert not evaluate_trust({"Statement": document["Statement"]}, request()).allowed


def test_a_role_session_has_no_user_name() -> None:
    statement = allow(Condition=OUR_CONDITION)
    assert not allowed(statement, request(CI_SESSION, session_name="run-7"))
    assert not allowed(statement, request(CI_SESSION, session_name="${aws:username}"))
    assert not allowed(
        allow(Condition={"StringNotEquals": {"sts:RoleSessionName": "${aws:username}"}}), request(CI_SESSION)
    )


def test_the_session_name_of_the_request_cannot_be_replaced_by_its_context() -> None:
    asked = AssumeRequest(ALICE, ACCOUNT, ROLE, "bob", {"sts:RoleSessionName": "alice"})
    assert not allowed(allow(Condition=OUR_CONDITION), asked)


def test_an_explicit_deny_wins_wherever_it_stands() -> None:
    for statements in ([allow(), deny()], [deny(), allow()]):
        decision = evaluate_trust(trust(*statements), request())
        assert not decision.allowed
        assert "denies" in decision.reason


def test_the_decision_names_its_statement() -> None:
    decision = evaluate_trust(trust(allow("arn:aws:iam::1:x"), allow(Sid="Own")), request())
    assert (decision.allowed, decision.statement, decision.sid) == (True, 1, "Own")
    assert "Own" in decision.reason
    assert evaluate_trust(trust(), request()).reason == "no statement allows"


def test_a_deny_that_cannot_be_decided_denies() -> None:
    for odd in (
        {"Condition": {"StringMatches": {"sts:RoleSessionName": "zed"}}},
        {"Condition": {"NumericEquals": {"sts:RoleSessionName": "7"}}},
        {"Condition": {"StringNotEquals": {"sts:RoleSessionName": ["alice", {}]}}},
        {"Principal": {"Somebody": "x"}},
        {"Action": None},
    ):
        assert not evaluate_trust(trust(allow(), {**deny(), **odd}), request()).allowed


@pytest.mark.parametrize(
    "document",
    [None, 7, "", "{", "[]", {}, {"Statement": "x"}, {"Statement": [{"Effect": "allow"}]}, {"Statement": [None]}],
)
def test_a_malformed_document_allows_nothing(document: object) -> None:
    assert not evaluate_trust(document, request()).allowed
    other = {"Version": "2011-01-01", "Statement": [allow()]}
    assert not evaluate_trust(other, request()).allowed


def test_a_document_may_come_as_text() -> None:
    assert evaluate_trust(json.dumps(trust(allow(Condition=OUR_CONDITION))), request()).allowed


NAMES = st.text("ab*?$", min_size=1, max_size=6)
CONDITIONS = st.dictionaries(
    st.sampled_from(
        [
            *("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringLikeIfExists", "Null", "Bool"),
            *("ForAllValues:StringLike", "ForAnyValue:StringEquals", "NumericEquals", "ArnLike", "IpAddress", "Odd"),
        ]
    ),
    st.dictionaries(
        st.sampled_from(["sts:RoleSessionName", "aws:username", "aws:TagKeys", "aws:absent"]),
        st.one_of(
            NAMES, st.lists(NAMES, max_size=3), st.just("${aws:username}"), st.just("${aws:absent}"), st.booleans()
        ),
        min_size=1,
        max_size=2,
    ),
    max_size=2,
)
PRINCIPALS = st.sampled_from(
    ["*", {"AWS": ACCOUNT}, {"AWS": ALICE}, {"AWS": CI_SESSION}, {"AWS": "x"}, {"Service": "x"}]
)
STATEMENTS = st.builds(
    lambda effect, principal, condition: {
        "Effect": effect, "Action": "sts:*", "Principal": principal, "Condition": condition,
    },
    st.sampled_from(["Allow", "Deny"]),
    PRINCIPALS,
    CONDITIONS,
)  # fmt: skip
REQUESTS = st.builds(
    lambda caller, name, tags: AssumeRequest(caller, ACCOUNT, ROLE, name, {"aws:TagKeys": tags}),
    st.sampled_from([ALICE, CI_SESSION]),
    NAMES,
    st.lists(NAMES, max_size=2).map(tuple),
)


@given(st.lists(STATEMENTS, max_size=3), STATEMENTS, REQUESTS)
def test_adding_a_deny_never_allows_more(before: list[Any], extra: Any, asked: AssumeRequest) -> None:
    after = [*before, {**extra, "Effect": "Deny"}]
    assert evaluate_trust(trust(*before), asked).allowed or not evaluate_trust(trust(*after), asked).allowed


@given(st.lists(STATEMENTS, min_size=1, max_size=3), REQUESTS)
def test_adding_a_condition_that_does_not_hold_never_allows_more(before: list[Any], asked: AssumeRequest) -> None:
    unmet = {"StringEquals": {"aws:nowhere": "x"}}
    after = [s if s["Effect"] == "Deny" else {**s, "Condition": {**s["Condition"], **unmet}} for s in before]
    assert not evaluate_trust(trust(*after), asked).allowed


@given(NAMES, NAMES, REQUESTS)
def test_a_variable_without_a_value_never_matches(head: str, tail: str, asked: AssumeRequest) -> None:
    text = f"{head}${{aws:absent}}{tail}"
    assert expand(text, asked.keys(), wild=True) is None
    for operator in ("StringEquals", "StringLike", "StringNotEquals", "ArnLike", "ForAnyValue:StringLike"):
        assert not allowed(allow("*", Condition={operator: {"sts:RoleSessionName": text}}), asked)


@given(st.text("ab?*", max_size=8), st.text("ab", max_size=8))
def test_wildcards_match_as_their_definition_says(pattern: str, value: str) -> None:
    def slow(rest: str, left: str) -> bool:
        if not rest:
            return not left
        if rest[0] == "*":
            return slow(rest[1:], left) or (bool(left) and slow(rest, left[1:]))
        return bool(left) and (rest[0] in ("?", left[0])) and slow(rest[1:], left[1:])

    assert matches(wildcards(pattern), value) is slow(pattern, value)


def test_a_pattern_of_many_wildcards_stays_cheap() -> None:
    assert not matches(ANY.join("a" * 200), "a" * 199)
