"""Identities of AWS principals, as the server reads them from answers of STS."""

from __future__ import annotations

from kube_iam.core.identity import Identity

ACCOUNT = "111122223333"
STS_HOST = "sts.eu-west-1.amazonaws.com"


def role_session(
    name: str = "alice",
    role: str = "Admin",
    *,
    account: str = ACCOUNT,
    user_id: str = "AROAEXAMPLE",
    key: str = "ASIAEXAMPLE",
    host: str = STS_HOST,
) -> Identity:
    """Return a session of a role. `role` is the role's name without its path, `key` the access key id that signed."""
    arn = f"arn:aws:sts::{account}:assumed-role/{role}/{name}"
    return Identity(arn, f"arn:aws:iam::{account}:role/{role}", account, user_id, name, key, host)


def iam_user(
    name: str = "bob",
    *,
    path: str = "/",
    account: str = ACCOUNT,
    user_id: str = "AIDAEXAMPLE",
    key: str = "AKIAEXAMPLE",
    host: str = STS_HOST,
) -> Identity:
    """Return an IAM user."""
    return principal(f"arn:aws:iam::{account}:user{path}{name}", user_id=user_id, key=key, host=host)


def principal(
    arn: str,
    canonical: str = "",
    *,
    user_id: str = "AROAEXAMPLE",
    session_name: str = "",
    key: str = "ASIAEXAMPLE",
    host: str = STS_HOST,
) -> Identity:
    """Return the principal with this ARN in the ARN's account. Its canonical ARN is the ARN itself unless given."""
    return Identity(arn, canonical or arn, arn.split(":")[4], user_id, session_name, key, host)
