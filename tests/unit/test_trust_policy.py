"""When callers of a role may choose their session name, by the role's trust policy; and that the evaluator agrees."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kube_iam.core.trust_policy import unrestricted_session_name
from kube_iam.sandbox.iam_policy.evaluate import AssumeRequest, evaluate_trust

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/kube/admin"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
OWN_NAME = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}


def allow(condition: object = OWN_NAME, principal: object = None, **more: Any) -> dict[str, Any]:
    who = {"AWS": ROOT} if principal is None else principal
    statement = {"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole", "Condition": condition, **more}
    return {key: value for key, value in statement.items() if value is not None}


def trust(*statements: object, **more: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements), **more}


def problem(*statements: object, **more: Any) -> str:
    return unrestricted_session_name(trust(*statements, **more), ROLE)


@pytest.mark.parametrize(
    "statement",
    [
        allow(),
        allow({"stringequals": {"STS:RoleSessionName": ["${aws:username}"]}}),
        allow({**OWN_NAME, "Bool": {"aws:MultiFactorAuthPresent": "true"}}),
        allow({"StringEquals": {"sts:RoleSessionName": "${aws:username}", "aws:PrincipalTag/team": "shop"}}),
        allow(principal={"AWS": ACCOUNT}),
        allow(principal={"AWS": [ROOT, f"arn:aws:iam::{ACCOUNT}:user/alice", f"arn:aws:iam::{ACCOUNT}:role/ci"]}),
        allow(principal={"AWS": ["AIDAJQABLZS4A3QDU576Q", ROOT]}),
        allow(Action=["sts:AssumeRole", "sts:TagSession"]),
        allow(Action="sts:*"),
        allow(None, Action="sts:TagSession"),
        allow(None, Action=["STS:TagSession", "sts:SetSourceIdentity"]),
        {"Effect": "Deny", "Principal": "*", "Action": "*"},
        {"Effect": "Deny", "NotPrincipal": {"AWS": ROOT}, "NotAction": "sts:TagSession"},
    ],
)
def test_a_session_is_named_after_its_user(statement: dict[str, Any]) -> None:
    assert problem(statement) == ""
    assert unrestricted_session_name(json.dumps(trust(statement)), ROLE) == ""
    assert unrestricted_session_name({"Version": "2012-10-17", "Statement": statement}, ROLE) == ""


@pytest.mark.parametrize(
    "statement",
    [
        allow(None),
        allow({}),
        allow({"StringLike": {"sts:RoleSessionName": "${aws:username}"}}),
        allow({"StringLike": {"sts:RoleSessionName": "*"}}),
        allow({"StringEqualsIfExists": {"sts:RoleSessionName": "${aws:username}"}}),
        allow({"ForAnyValue:StringEquals": {"sts:RoleSessionName": "${aws:username}"}}),
        allow({"ForAllValues:StringEquals": {"sts:RoleSessionName": "${aws:username}"}}),
        allow({"StringEqualsIgnoreCase": {"sts:RoleSessionName": "${aws:username}"}}),
        allow({"StringNotEquals": {"sts:RoleSessionName": "${aws:username}"}}),
        allow({"StringEquals": {"sts:RoleSessionName": ["${aws:username}", "alice"]}}),
        allow({"StringEquals": {"sts:RoleSessionName": "${aws:username}", "sts:rolesessionname": "alice"}}),
        allow({**OWN_NAME, "stringequals": {"sts:RoleSessionName": "alice"}}),
        allow({"StringEquals": {"sts:RoleSessionName": "${aws:username, 'alice'}"}}),
        allow({"StringEquals": {"sts:RoleSessionName": "${aws:userid}"}}),
        allow({"StringEquals": {"sts:RoleSessionName": "${aws:PrincipalTag/name}"}}),
        allow({"StringEquals": {"sts:RoleSessionName": "x-${aws:username}"}}),
        allow({"StringEquals": {"aws:username": "${sts:RoleSessionName}"}}),
        allow({"StringEquals": "x"}),
        allow("x"),
        allow(principal="*"),
        allow(principal={"AWS": "*"}),
        allow(principal={"AWS": "arn:aws:iam::999900001111:root"}),
        allow(principal={"AWS": "999900001111"}),
        allow(principal={"AWS": f"arn:aws-cn:iam::{ACCOUNT}:root"}),
        allow(principal={"AWS": [ROOT, "arn:aws:iam::999900001111:user/alice"]}),
        allow(principal={"AWS": ROOT, "Service": "ec2.amazonaws.com"}),
        allow(principal={"Service": "ec2.amazonaws.com"}),
        allow(principal={"Federated": f"arn:aws:iam::{ACCOUNT}:saml-provider/x"}, Action="sts:AssumeRoleWithSAML"),
        allow(principal={"AWS": []}),
        allow(principal={"AWS": 1}),
        allow(principal={}),
        allow(None, Action="sts:AssumeRoleWithWebIdentity"),
        allow(None, Action="sts:Assume*"),
        allow(None, Action="sts:Tag*"),
        allow(None, Action=["sts:TagSession", "sts:AssumeRole"]),
        allow(None, Action=[]),
        allow(Action=None, NotAction="sts:TagSession"),
        allow(principal=None, NotPrincipal={"AWS": ROOT}),
        allow(effect="Allow"),
        allow(Resource="*"),
        {"Effect": "allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole", "Condition": OWN_NAME},
        {"Effect": "Deny", "effect": "Allow", "Principal": "*", "Action": "*"},
        {},
        "Allow",
        None,
    ],
)
def test_whatever_is_not_clearly_so_counts_as_open(statement: object) -> None:
    assert problem(statement).startswith("statement number 1 of the trust policy ")
    assert problem(allow(), statement).startswith("statement number 2 ")


def test_the_statement_is_named() -> None:
    assert problem(allow(), allow(None, Sid="Loose")) == (
        'statement "Loose" of the trust policy does not hold the session name to the caller\'s own'
        " (StringEquals sts:RoleSessionName ${aws:username})"
    )


@pytest.mark.parametrize(
    "document",
    [
        {**trust(allow()), "Version": "2008-10-17"},
        {"Statement": [allow()]},
        {**trust(allow()), "statement": [allow(None)]},
        "no json",
        "[" * 100_000,
        "[]",
        None,
        7,
        json.dumps(trust(allow())).replace('{"StringEquals"', '{"StringEquals": {"x": "y"}, "StringEquals"'),
        json.dumps(trust(allow())).replace('"Statement"', '"Statement": [], "Statement"'),
    ],
)
def test_a_document_that_is_not_understood_counts_as_open(document: object) -> None:
    assert unrestricted_session_name(document, ROLE) != ""


def test_allowed_principals_depend_on_the_account_of_the_role() -> None:
    assert unrestricted_session_name(trust(allow()), "arn:aws:iam::999900001111:role/x") != ""
    assert unrestricted_session_name(trust(allow()), "no arn") != ""


ALL_NAMES = ["alice", "bob", "ci", "", "${aws:username}", "*"]
NAMES = st.sampled_from(ALL_NAMES)
LOOSE_CONDITIONS = [
    {"StringLike": {"sts:RoleSessionName": "*"}},
    {"StringLike": {"sts:RoleSessionName": "${aws:username}"}},
    {"StringEquals": {"sts:RoleSessionName": "alice"}},
    {"StringEquals": {"sts:RoleSessionName": ["${aws:username}", "alice"]}},
    {"StringEqualsIfExists": {"sts:RoleSessionName": "${aws:username}"}},
]
OPERATORS = st.sampled_from(
    [
        "StringEquals",
        "stringequals",
        "StringLike",
        "StringEqualsIfExists",
        "ForAnyValue:StringEquals",
        "StringNotEquals",
        "Null",
    ]
)
KEYS = st.sampled_from(["sts:RoleSessionName", "STS:rolesessionname", "aws:username", "aws:PrincipalTag/team"])
VALUES = st.sampled_from(["${aws:username}", "alice", "*", "true", "${aws:username,'bob'}"])
CONDITIONS = st.dictionaries(
    OPERATORS, st.dictionaries(KEYS, VALUES | st.lists(VALUES, min_size=1, max_size=2), max_size=2), max_size=2
)
ALL_PRINCIPALS: list[object] = [
    "*",
    {"AWS": "*"},
    {"AWS": ROOT},
    {"AWS": ACCOUNT},
    {"AWS": [ROOT, "999900001111"]},
    {"AWS": f"arn:aws:iam::{ACCOUNT}:role/ci"},
    {"AWS": f"arn:aws:iam::{ACCOUNT}:user/alice"},
]
PRINCIPALS = st.sampled_from(ALL_PRINCIPALS)
STATEMENTS = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "Principal": PRINCIPALS,
        "Action": st.sampled_from(
            ["sts:AssumeRole", "sts:*", "sts:TagSession", ["sts:AssumeRole", "sts:TagSession"], "*"]
        ),
    },
    optional={"Condition": CONDITIONS | st.just(OWN_NAME)},
)
ALL_CALLERS = [
    f"arn:aws:iam::{ACCOUNT}:user/alice",
    f"arn:aws:iam::{ACCOUNT}:user/staff/bob",
    f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/alice",
    f"arn:aws:sts::{ACCOUNT}:federated-user/alice",
    "arn:aws:iam::999900001111:user/alice",
    "arn:aws:sts::999900001111:assumed-role/x/alice",
]
CALLERS = st.sampled_from(ALL_CALLERS)
CLOSED = st.fixed_dictionaries(
    {
        "Effect": st.just("Allow"),
        "Principal": st.sampled_from([{"AWS": ROOT}, {"AWS": ACCOUNT}, {"AWS": [ROOT, f"{ROOT[:-4]}user/alice"]}]),
        "Action": st.sampled_from(["sts:AssumeRole", "sts:*", ["sts:AssumeRole", "sts:TagSession"]]),
        "Condition": st.builds(lambda more: {**more, **OWN_NAME}, CONDITIONS),
    }
)


@given(st.lists(CLOSED | STATEMENTS, min_size=1, max_size=3), CALLERS, NAMES)
def test_closed_policies_with_more_statements_admit_own_names_only(
    statements: list[dict[str, Any]], caller: str, name: str
) -> None:
    assume(unrestricted_session_name(trust(*statements), ROLE) == "")
    if is_evaluated_as_allowed(statements, caller, name):
        assert caller.startswith(f"arn:aws:iam::{ACCOUNT}:user/")
        assert caller.rpartition("/")[2] == name


def test_every_closed_policy_admits_callers_by_their_own_name_only() -> None:
    """The same over all single statements, counted: neither side of the comparison may be empty."""
    conditions = [None, {}, OWN_NAME, {**OWN_NAME, "StringLike": {"aws:username": "*"}}, *LOOSE_CONDITIONS]
    closed = admitted = 0
    for principal, condition in product(ALL_PRINCIPALS, conditions):
        statements = [allow(condition, principal)]
        if unrestricted_session_name(trust(*statements), ROLE):
            continue
        closed += 1
        for caller, name in product(ALL_CALLERS, ALL_NAMES):
            if is_evaluated_as_allowed(statements, caller, name):
                admitted += 1
                assert (caller.split(":")[4], caller.split("/")[-1]) == (ACCOUNT, name)
                assert ":user/" in caller
    assert closed >= 6
    assert admitted >= 8


def is_evaluated_as_allowed(statements: list[dict[str, Any]], caller: str, name: str) -> bool:
    asked = AssumeRequest(caller, caller.split(":")[4], ROLE, name, {"aws:PrincipalTag/team": "alice"})
    return evaluate_trust(trust(*statements), asked).allowed


@given(st.lists(STATEMENTS, max_size=3))
def test_one_loose_statement_is_enough(statements: list[dict[str, Any]]) -> None:
    assert unrestricted_session_name(trust(*statements, allow(None)), ROLE) != ""
