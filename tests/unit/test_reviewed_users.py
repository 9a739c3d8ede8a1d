"""Questions to kube-apiserver's authorizers: the user of a question is one that the denial covers, and no other."""

from __future__ import annotations

import pytest

from kube_iam.core.identity import rebuild_identity
from kube_iam.core.token_review import User
from kube_iam.denylist.denial import NO_END, Denial, DenialTable, denial_of
from kube_iam.denylist.reviewed_users import reviewed_user

ROLE = "arn:aws:iam::123456789012:role/prod-admin"
OTHER = denial_of("zoe", until=NO_END)


def is_covered(user: User, denial: Denial) -> bool:
    """Return whether the server finds the denial for the identity in the user's `extra`."""
    arn, user_id, session, key = (user.extra[name][0] for name in ("arn", "principalId", "sessionName", "accessKeyId"))
    return DenialTable([denial, OTHER]).find(rebuild_identity(arn, user_id, session, key), 0.0) is denial


@pytest.mark.parametrize(
    "text",
    [
        "alice",
        "arn:aws:iam::123456789012:user/team/alice",
        "arn:aws-cn:iam::123456789012:role/path/prod-admin",
        "arn:aws:sts::123456789012:assumed-role/prod-admin/alice",
        "arn:aws:sts::123456789012:federated-user/alice",
        "arn:aws:iam::123456789012:root",
        "AIDAEXAMPLEEXAMPLE001",
        "AROAEXAMPLEEXAMPLE001",
        "AROAEXAMPLEEXAMPLE001:alice",
        "AKIAEXAMPLEEXAMPLE01",
        "ASIAEXAMPLEEXAMPLE01",
    ],
)
def test_denial_of_each_kind_covers_the_user_that_is_asked_about(text: str) -> None:
    denial = denial_of(text, until=NO_END)
    user = reviewed_user(denial, ("kube-iam:admin",))
    assert user is not None
    assert user.groups == ("kube-iam:admin",)
    assert is_covered(user, denial)


def test_denial_of_one_level_covers_a_session_of_its_role() -> None:
    denial = denial_of("alice", role=ROLE, until=NO_END)
    user = reviewed_user(denial)
    assert user is not None
    assert is_covered(user, denial)
    assert user.extra["canonicalArn"] == (ROLE,)


def test_denial_by_group_is_asked_about_by_name_and_kubernetes_groups() -> None:
    user = reviewed_user(Denial("d", "userName", "alice", iam_group="prod-admin"), ("kube-iam:admin",))
    assert user is not None
    assert (user.username, user.groups, dict(user.extra)) == ("awsiam:alice", ("kube-iam:admin",), {})
    assert user.uid.startswith("aws-iam-authenticator:")


@pytest.mark.parametrize(
    "denial", [Denial("d", "", "alice"), Denial("d", "userId", "AGPAEXAMPLE"), Denial("d", "arn", "x")]
)
def test_denial_that_names_no_single_principal_is_asked_about_by_nobody(denial: Denial) -> None:
    assert reviewed_user(denial) is None
