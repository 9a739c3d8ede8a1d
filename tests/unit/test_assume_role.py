"""Policies about sts:AssumeRole with three values: what is decided agrees with the evaluator of the sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from kube_iam.core.assume_role import AssumeCall, PolicyResult, identity_result, trust_result
from kube_iam.core.utc import rfc3339
from kube_iam.sandbox.iam_policy.evaluate import AssumeRequest, evaluate_trust

ACCOUNT = "111122223333"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/team/alice"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/prod/developer"
NOW = 1_800_000_000.0
ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
OWN_NAME = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}
MFA = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
SOURCE = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}


def call(*, session_name: str = "alice", mfa: bool = False) -> AssumeCall:
    return AssumeCall(ALICE, "AIDAALICE00000000", ROLE, session_name, NOW, mfa)


def document(*statements: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    return {"Version": version, "Statement": list(statements)}


def statement(effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "sts:AssumeRole", **more}


def until(now: float) -> dict[str, Any]:
    return {"DateLessThan": {"aws:CurrentTime": rfc3339(now)}}


@pytest.mark.parametrize(
    ("statements", "allows"),
    [
        ([statement(Resource=ROLE)], True),
        ([statement(Resource="*")], True),
        ([statement(Resource=f"arn:aws:iam::{ACCOUNT}:role/prod/*")], True),
        ([statement(Resource=["arn:aws:iam::*:role/other", ROLE])], True),
        ([statement(Resource=ROLE.upper())], False),
        ([statement(Resource=f"arn:aws:iam::{ACCOUNT}:role/developer")], False),
        ([statement(NotResource=ROLE)], False),
        ([statement(NotResource="arn:aws:iam::*:role/other")], True),
        ([statement(Resource="*", Condition=until(NOW + 1))], True),
        ([statement(Resource="*", Condition=until(NOW))], False),
        ([statement(Resource="*", Condition=MFA)], False),
        ([statement(Resource="*", Condition=SOURCE)], None),
        ([statement(Resource="*"), statement("Deny", Resource=ROLE)], False),
        ([statement(Resource="*"), statement("Deny", Resource=ROLE, Condition=SOURCE)], None),
        ([statement(Resource="*"), statement("Deny", Resource=ROLE, Condition=until(NOW))], True),
        ([statement(Resource=f"arn:aws:iam::{ACCOUNT}:role/prod/${{aws:PrincipalTag/team}}")], None),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], True),
        ([{"Effect": "Allow", "NotAction": "sts:*", "Resource": "*"}], False),
        ([{"Effect": "Allow", "Action": "STS:Assume*", "Resource": "*"}], True),
        ([{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}], False),
        ([statement(Resource="*", condition=MFA)], None),
        ([], False),
    ],
)
def test_identity_policy_allows_denies_or_is_undecided(statements: list[dict[str, Any]], allows: bool | None) -> None:
    assert identity_result(document(*statements), call()).allows is allows


@pytest.mark.parametrize("odd", [None, "text", {}, {"Statement": "x"}, {"Statement": [{"Effect": "allow"}]}, []])
def test_document_that_is_not_understood_is_undecided(odd: object) -> None:
    assert identity_result(odd, call()) == PolicyResult(None, None)
    assert trust_result(odd, call()) == PolicyResult(None, None)


def test_code_of_an_mfa_device_fulfils_the_condition_that_asks_for_it() -> None:
    asking = document(statement(Principal=ROOT, Condition={**OWN_NAME, **MFA}))
    without, code = trust_result(asking, call()), trust_result(asking, call(mfa=True))
    assert (without.allows, code.allows) == (False, True)
    assert without.statements[0].unmet == ("Bool aws:MultiFactorAuthPresent true",)


@pytest.mark.parametrize(
    ("principal", "direct"),
    [(ROOT, False), ({"AWS": ACCOUNT}, False), ({"AWS": ALICE}, True), ({"AWS": [ACCOUNT, ALICE]}, True), ("*", False)],
)
def test_trust_policy_names_the_account_or_the_user(principal: object, direct: bool) -> None:
    result = trust_result(document(statement(Principal=principal, Sid="Sid1")), call())
    assert result.allows is True
    assert [(each.name, each.direct) for each in result.statements] == [('"Sid1"', direct)]


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": "444455556666"},
        {"AWS": f"arn:aws-cn:iam::{ACCOUNT}:root"},
        {"AWS": "AIDAALICE00000000"},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:user/alice"},
        {"Service": "ec2.amazonaws.com"},
        {"Federated": "cognito-identity.amazonaws.com"},
    ],
)
def test_trust_policy_for_others_does_not_allow(principal: object) -> None:
    assert trust_result(document(statement(Principal=principal)), call()).allows is False


KEYS = {
    "sts:RoleSessionName": ["alice", "bob", "a*", "${aws:username}"],
    "aws:username": ["alice", "Alice", "bob"],
    "aws:PrincipalArn": [ALICE, f"arn:aws:iam::{ACCOUNT}:user/*", "arn:aws:iam::*:role/*"],
    "aws:PrincipalAccount": [ACCOUNT, "444455556666"],
    "aws:PrincipalType": ["User", "AssumedRole"],
    "aws:MultiFactorAuthPresent": ["true", "false"],
    "aws:userid": ["AIDAALICE00000000", "AIDAOTHER"],
    "sts:ExternalId": ["x", "y"],
    "aws:SourceIp": ["192.0.2.0/24"],
    "aws:CurrentTime": [rfc3339(NOW - 60), rfc3339(NOW + 60)],
    "aws:PrincipalTag/team": ["shop"],
}
OPERATORS = [
    *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike"),
    *("StringNotLike", "ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike", "Bool", "Null", "IpAddress"),
    *("DateLessThan", "DateGreaterThan", "DateLessThanEquals", "NumericEquals", "ForAnyValue:StringEquals"),
]
CONDITIONS = st.dictionaries(
    st.builds("{}{}".format, st.sampled_from(OPERATORS), st.sampled_from(["", "IfExists"])).filter(
        lambda operator: operator != "NullIfExists"
    ),
    st.sampled_from(sorted(KEYS)).flatmap(
        lambda key: st.fixed_dictionaries({key: st.lists(st.sampled_from(KEYS[key]), min_size=1, max_size=2)})
    ),
    max_size=2,
)
PRINCIPALS = st.sampled_from(
    [
        "*",
        ROOT,
        {"AWS": ACCOUNT},
        {"AWS": ALICE},
        {"AWS": "444455556666"},
        {"AWS": [ALICE.replace("alice", "bob"), ACCOUNT]},
    ]
)
STATEMENTS = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Allow", "Deny"]), "Principal": PRINCIPALS},
    optional={"Condition": CONDITIONS, "Sid": st.just("Sid")},
).flatmap(
    lambda made: st.sampled_from(
        [
            {**made, "Action": "sts:AssumeRole"},
            {**made, "Action": ["sts:TagSession", "sts:Assume*"]},
            {**made, "Action": "s3:*"},
            {**made, "NotAction": "s3:*"},
        ]
    )
)


@settings(max_examples=examples(500), deadline=None)
@given(
    st.lists(STATEMENTS, min_size=1, max_size=3),
    st.sampled_from(["2012-10-17", "2008-10-17"]),
    st.booleans(),
    st.sampled_from(["alice", "bob"]),
    st.fixed_dictionaries(
        {},
        optional={
            "sts:externalid": st.just("x"),
            "aws:sourceip": st.just("192.0.2.7"),
            "aws:principaltag/team": st.just("shop"),
        },
    ),
)
def test_decided_trust_policy_is_decided_as_by_the_sandbox(
    statements: list[dict[str, Any]], version: str, mfa: bool, session_name: str, unknown: dict[str, str]
) -> None:
    trust = document(*statements, version=version)
    asked = call(session_name=session_name, mfa=mfa)
    context = {
        "aws:currenttime": rfc3339(NOW),
        "aws:userid": "AIDAALICE00000000",
        "aws:securetransport": "true",
        **({"aws:multifactorauthpresent": "true"} if mfa else {}),
        **unknown,
    }
    real = evaluate_trust(trust, AssumeRequest(ALICE, ACCOUNT, ROLE, session_name, context)).allowed
    result = trust_result(trust, asked)
    if result.allows is not None:
        assert result.allows is real
    if result.denies:
        assert not real
