"""Forms that a principal can have, and the reasons and remedies for all other texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.principals import arn_key, explain_invalid, fits, guess_principals, kind_of
from kube_iam.denylist.denial import NotAPrincipal, denial_of

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sandbox-developer"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/sandbox-developer"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("alice", "userName"),
        ("a", "userName"),
        ("x" * 64, "userName"),
        ("alice@example.com", "userName"),
        ("smith,john", "userName"),
        ("a+b=c._-", "userName"),
        ("ANNABELLASMITHJONES", "userName"),
        (ROLE, "arn"),
        (ROLE.replace("role/", "role/team/a/"), "arn"),
        (ROLE.upper(), "arn"),
        (f"arn:aws-cn:iam::{ACCOUNT}:user/alice", "arn"),
        (f"arn:aws-us-gov:iam::{ACCOUNT}:user/team/alice", "arn"),
        (f"arn:aws:iam::{ACCOUNT}:root", "arn"),
        (f"{SESSION}/alice", "arn"),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/bob", "arn"),
        ("AKIA0000000000000001", "accessKeyId"),
        ("ASIA0000000000000001", "accessKeyId"),
        ("AIDA0000000000000001", "userId"),
        ("AROA0000000000000001", "userId"),
        ("AROA0000000000000001:alice", "userId"),
    ],
)
def test_what_a_principal_can_have_is_told_by_its_kind(text: str, kind: str) -> None:
    assert kind_of(text) == kind
    assert denial_of(text, until=9.0).kind == kind


NOBODY = [
    "",
    " ",
    "*",
    "alice*",
    "al?ce",
    "user/*",
    "role/sandbox-*",
    "user/alice;",
    "alice;",
    "alice, bob",
    "alice bob",
    " alice",
    "alice\n",
    "ａｌｉｃｅ",
    "alicé",
    "alice\u200b",
    "\u212aim",  # the Kelvin sign
    f"arn:aws:iam::{ACCOUNT}:user/\u212aim",
    f"arn:aws:iam::{ACCOUNT}:role/\u017fandbox",
    "'alice'",
    '"alice"',
    "awsiam:alice",
    "iam:alice",
    "team/alice",
    "x" * 65,
    f"arn:aws:iam::{ACCOUNT}:user/*",
    f"arn:aws:iam::{ACCOUNT}:role/sandbox-*",
    f"arn:aws:iam::{ACCOUNT}:role/*",
    f"arn:aws:iam::{ACCOUNT}:user/alice;",
    f"arn:aws:iam::{ACCOUNT}:user/alice, bob",
    f"arn:aws:iam::{ACCOUNT}:user/",
    f"arn:aws:iam::{ACCOUNT}:user",
    f"arn:aws:iam::{ACCOUNT}:role/admin/",
    f"arn:aws:iam::{ACCOUNT}:role/te*m/admin",
    f"arn:aws:iam::{ACCOUNT}:root/x",
    f"arn:aws:iam::{ACCOUNT}:group/admins",
    f"arn:aws:iam::{ACCOUNT}:policy/x",
    f"arn:aws:iam::{ACCOUNT}:instance-profile/x",
    f"arn:aws:iam::{ACCOUNT}:saml-provider/x",
    f"arn:aws:iam::{ACCOUNT}:user/alice,arn:aws:iam::{ACCOUNT}:user/bob",
    f"{SESSION}/*",
    f"{SESSION}/",
    SESSION,
    f"{SESSION}/a",
    f"arn:aws:sts::{ACCOUNT}:assumed-role/*/alice",
    f"arn:aws:sts::{ACCOUNT}:federated-user/",
    f"arn:aws:sts::{ACCOUNT}:user/alice",
    f"arn:aws:iam::{ACCOUNT}:assumed-role/x/alice",
    f"arn:aws-moon:iam::{ACCOUNT}:user/alice",
    "arn:aws:iam::1111:user/alice",
    "arn:aws:iam::１１１１２２２２３３３３:user/alice",
    "arn:aws:iam::*:user/alice",
    "arn:aws:iam:::user/alice",
    f"arn:aws:iam:us-east-1:{ACCOUNT}:user/alice",
    "arn:aws:s3:::bucket",
    "arn:",
    "AGPA0000000000000001",
    "AIPA0000000000000001",
    "ANPA0000000000000001",
    "ASCA0000000000000001",
    "AIDA0000000000000001:alice",
    "AROA0000000000000001:",
    "AROA0000000000000001:*",
    "AROA0000000000000001:a",
]


@pytest.mark.parametrize("text", NOBODY)
def test_what_no_principal_can_have_is_refused_with_a_remedy(text: str) -> None:
    assert kind_of(text) == ""
    with pytest.raises(NotAPrincipal) as raised:
        denial_of(text, until=9.0)
    assert raised.value.message
    assert raised.value.hint
    assert str(raised.value) == raised.value.message


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        (f"{SESSION}/*", "no name in IAM holds * or ?", f"did you mean {ROLE}?"),
        (
            f"arn:aws:iam::{ACCOUNT}:role/sandbox-*",
            "wildcards are not expanded",
            "a role (arn:aws:iam::ACCOUNT:role/NAME)",
        ),
        (
            f"arn:aws:iam::{ACCOUNT}:user/alice;",
            "is not the ARN of",
            f"did you mean arn:aws:iam::{ACCOUNT}:user/alice?",
        ),
        ("alice, bob", "letters, digits and _+=,.@-", "did you mean alice bob?"),
        ("ａｌｉｃｅ", "letters, digits and _+=,.@-", "did you mean alice?"),
        ("awsiam:alice", "letters, digits and _+=,.@-", "did you mean alice?"),
        ("x" * 65, "at most 64", "name a user"),
        ("AGPA0000000000000001", "is the id of an IAM group", "revoke USER LEVEL --now"),
        (f"arn:aws:iam::{ACCOUNT}:group/admins", "is no user, role or session", "revoke USER LEVEL --now"),
        ("akiaiosfodnn7example", "in capitals", "did you mean AKIAIOSFODNN7EXAMPLE?"),
        ("agpajqabltzs4a3qdu576", "is the id of an IAM group", "revoke USER LEVEL --now"),
        ("alice/", "letters, digits and _+=,.@-", "did you mean alice?"),
        ("alice/bob", "letters, digits and _+=,.@-", "did you mean bob alice?"),
        ("AIDA0000000000000001:alice", "only the id of a role", "did you mean AIDA0000000000000001?"),
        (f"{SESSION}/", "is not the ARN of", f"did you mean {ROLE}?"),
        ("arn:aws:iam::1111:user/alice", "is not the ARN of", "such as arn:aws:iam::ACCOUNT:user/NAME"),
    ],
)
def test_the_reason_and_the_remedy_fit_the_mistake(text: str, said: str, remedy: str) -> None:
    message, hint = explain_invalid(text)
    assert said in message
    assert remedy in hint


@given(st.text(max_size=80))
def test_what_is_refused_has_a_remedy_and_what_is_meant_is_compared(text: str) -> None:
    if not kind_of(text):
        message, hint = explain_invalid(text)
        assert message
        assert hint
    for name in guess_principals(text):
        assert kind_of(name) or "*" in name or "?" in name


@given(st.from_regex(re.compile(r"[\w+=,.@-]{1,64}", re.ASCII), fullmatch=True))
def test_every_name_that_iam_allows_is_a_user_name_or_an_id(name: str) -> None:
    assert fits("userName", name) or kind_of(name) in ("userId", "accessKeyId")


@pytest.mark.parametrize(
    ("arn", "key"),
    [
        (ROLE, f"{ACCOUNT}:role/sandbox-developer"),
        (
            ROLE.replace("role/", "role/a/b/").replace("arn:aws:", "arn:aws-cn:").upper(),
            f"{ACCOUNT}:role/sandbox-developer",
        ),
        (f"arn:aws:iam::{ACCOUNT}:user/a/Alice", f"{ACCOUNT}:user/alice"),
        (f"{SESSION.replace('role/', 'role/a/')}/Alice", f"{ACCOUNT}:assumed-role/sandbox-developer/alice"),
        (f"arn:aws:iam::{ACCOUNT}:root", f"{ACCOUNT}:root"),
        ("Alice", "alice"),
    ],
)
def test_arns_are_compared_without_path_partition_and_letter_case(arn: str, key: str) -> None:
    assert arn_key(arn) == key
