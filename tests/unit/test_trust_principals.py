"""Principals of trust policies."""

from __future__ import annotations

import pytest

from kube_iam.core.trust_principals import trusted_principals

ROOT = "arn:aws:iam::123456789012:root"
EVERYBODY_OF_ACCOUNT = "users and roles of account 123456789012 that IAM allows sts:AssumeRole"


def allow(principal: object, action: object = "sts:AssumeRole", **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, **more}


def found(*statements: object) -> list[tuple[str, bool]]:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return [(str(each), each.conditional) for each in trusted_principals(document)]


def test_each_kind_of_principal_is_named() -> None:
    alice = "arn:aws:iam::123456789012:user/alice"
    statement = allow({"AWS": [ROOT, alice], "Service": "ec2.amazonaws.com", "Federated": "x"}, ["sts:*"])
    assert [each for each, _ in found(statement)] == [
        EVERYBODY_OF_ACCOUNT,
        alice,
        "service ec2.amazonaws.com",
        "identity provider x",
    ]
    assert found(allow({"AWS": "123456789012"})) == [(EVERYBODY_OF_ACCOUNT, False)]
    assert found(allow({"AWS": "*"})) == found(allow("*")) == [("anybody in AWS", False)]


def test_conditions_and_denials_make_a_principal_conditional() -> None:
    condition = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    assert found(allow({"AWS": ROOT}, Condition=condition)) == [(EVERYBODY_OF_ACCOUNT, True)]
    assert found(allow({"AWS": ROOT}, Condition=condition), allow({"AWS": ROOT})) == [(EVERYBODY_OF_ACCOUNT, False)]
    assert found({"Effect": "Deny", "Principal": "*"}, allow({"AWS": ROOT})) == [(EVERYBODY_OF_ACCOUNT, True)]


def test_statements_that_give_no_session_and_deleted_principals_are_left_out() -> None:
    assert found(allow({"AWS": ROOT}, "sts:TagSession")) == []
    assert found(allow({"AWS": "AIDAEXAMPLEEXAMPLE12"})) == []
    assert found(allow({"AWS": ROOT}, "sts:Assume*")) == [(EVERYBODY_OF_ACCOUNT, False)]


def test_exclusions_count_as_anybody() -> None:
    assert found({"Effect": "Allow", "NotPrincipal": {"AWS": ROOT}, "Action": "sts:AssumeRole"}) == [
        ("anybody in AWS", False)
    ]
    assert found({"Effect": "Allow", "Principal": {"AWS": ROOT}, "NotAction": "sts:TagSession"})


@pytest.mark.parametrize("document", [None, {}, {"Statement": "x"}, {"Statement": [{"Effect": "allow"}]}, "text"])
def test_a_policy_that_is_not_understood_is_an_error(document: object) -> None:
    with pytest.raises(ValueError, match="not understood"):
        trusted_principals(document)


def test_a_principal_that_is_not_understood_is_an_error() -> None:
    with pytest.raises(ValueError, match="not understood"):
        found(allow(["x"]))
