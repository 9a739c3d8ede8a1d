"""The IAM documents of a level, and whether two documents say the same.

IAM hands documents back with lists and single values interchanged and keys in another order; that is no difference.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.core.utc import parse_rfc3339

VERSION = "2012-10-17"  # policy variables such as ${aws:username} need this version of the language


def role_arn(access: ClusterAccess, level: Level) -> str:
    """The role's ARN with its path, as IAM and `token -r` take it."""
    return f"arn:{access.partition}:iam::{access.account}:role{level.role_path}{level.role_name}"


def mapped_arn(access: ClusterAccess, level: Level) -> str:
    """The role's ARN without its path: what STS shows and the authenticator compares."""
    return f"arn:{access.partition}:iam::{access.account}:role/{level.role_name}"


def policy_arn(access: ClusterAccess, level: Level) -> str:
    """The ARN of the level's policy."""
    return f"arn:{access.partition}:iam::{access.account}:policy{level.path}{level.policy_name}"


def trust_document(access: ClusterAccess, level: Level) -> dict[str, object]:
    """The role's trust policy: IAM users of the account, each under the session name that is their own user name.

    For a caller that is no IAM user `${aws:username}` has no value, so that the condition never holds.
    """
    return _level_trust(access, mfa=level.mfa)


def is_level_trust(access: ClusterAccess, document: object) -> bool:
    """Return whether a trust policy is that of a level, with MFA or without."""
    return any(same_document(document, _level_trust(access, mfa=mfa)) for mfa in (False, True))


def _level_trust(access: ClusterAccess, *, mfa: bool) -> dict[str, object]:
    condition: dict[str, object] = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}
    if mfa:
        condition["Bool"] = {"aws:MultiFactorAuthPresent": "true"}
    statement = {
        "Sid": "AssumeRoleAsOwnUserName",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{access.partition}:iam::{access.account}:root"},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }
    return {"Version": VERSION, "Statement": [statement]}


def policy_document(access: ClusterAccess, level: Level) -> dict[str, object]:
    """The policy of the level's group: assume exactly this role.

    Without a role there is nothing to allow, but the policy is what carries the level's tags: it allows what nobody can be denied.
    """
    if level.method is Method.GROUP:
        nothing = {"Sid": "GroupMarker", "Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
        return {"Version": VERSION, "Statement": [nothing]}
    statement = {
        "Sid": "AssumeLevelRole",
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Resource": role_arn(access, level),
    }
    return {"Version": VERSION, "Statement": [statement]}


def group_arn(access: ClusterAccess, level: Level) -> str:
    """The ARN of the level's group."""
    return f"arn:{access.partition}:iam::{access.account}:group{level.path}{level.group_name}"


def user_policy_name(cluster_name: str, level_name: str) -> str:
    """The name of a user's own policy that lets the user assume the level's role for a time."""
    return f"kube-iam-{cluster_name}-{level_name}"


def temporary_document(access: ClusterAccess, level: Level, until: str) -> dict[str, object]:
    """A user's own policy: assume the level's role until then (RFC 3339, UTC)."""
    statement = {
        "Sid": "TemporaryAccess",
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Resource": role_arn(access, level),
        "Condition": {"DateLessThan": {"aws:CurrentTime": until}},
    }
    return {"Version": VERSION, "Statement": [statement]}


def end_of(document: object) -> float:
    """When such a policy ends, in unix seconds; never (infinity) for a document that says nothing of it."""
    try:
        until = document["Statement"][0]["Condition"]["DateLessThan"]["aws:CurrentTime"]  # type: ignore[index]
        return parse_rfc3339(until) or math.inf
    except (KeyError, IndexError, TypeError, AttributeError):
        return math.inf


def same_document(one: object, other: object) -> bool:
    """Return whether two parsed policy documents mean the same: neither the order of keys and lists nor a list of one counts.

    Everything else counts: every key, every value and its JSON type (`true` is neither `1` nor `"true"`).
    """
    return _canonical(one) == _canonical(other)


def assumed_roles(document: object) -> tuple[str, ...]:
    """The role ARNs that a policy of ours allows to assume: which role a level has, or had."""
    statements = document.get("Statement") if isinstance(document, dict) else None
    found: list[str] = []
    for statement in statements if isinstance(statements, list) else [statements]:
        resources = statement.get("Resource") if isinstance(statement, dict) else None
        for resource in resources if isinstance(resources, list) else [resources]:
            if isinstance(resource, str) and ":role/" in resource and not set("*?") & set(resource):
                found.append(resource)
    return tuple(found)


def _canonical(value: object) -> str:
    """Return JSON text that is equal for documents that mean the same. Python's own comparison takes `1` for `true`."""
    if isinstance(value, Mapping):
        pairs = sorted(f"{json.dumps(str(key))}:{_canonical(item)}" for key, item in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list | tuple):
        items = sorted({_canonical(item) for item in value})
        return items[0] if len(items) == 1 else f"[{','.join(items)}]"
    return json.dumps(value)
