"""Quotas of IAM that the emulator lacks: AWS's defaults, with AWS's error code LimitExceeded.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html. Quotas per account (300 groups, 5000 users) are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from kube_iam.sandbox.account_answers import Answer, error
from kube_iam.sandbox.account_names import Parameters, text_of

GROUPS_PER_USER = 10
ATTACHED_POLICIES = 10
ACCESS_KEYS_PER_USER = 2


def _exceeded(quota: str, limit: int) -> Answer:
    return error(409, "LimitExceeded", f"Cannot exceed quota for {quota}: {limit}")


def _group_membership(parameters: Parameters) -> Answer | None:
    user, group = text_of(parameters, "UserName"), text_of(parameters, "GroupName")
    member_of = [name for name, record in _iam()._groups.items() if user in record["Users"]]
    if group in member_of or len(member_of) < GROUPS_PER_USER:
        return None
    return _exceeded("GroupsPerUser", GROUPS_PER_USER)


def _attachment(entity: str, table: str) -> Callable[[Parameters], Answer | None]:
    def problem(parameters: Parameters) -> Answer | None:
        record = getattr(_iam(), table).get(text_of(parameters, f"{entity}Name")) or {}
        attached = record.get("AttachedPolicies", [])
        if text_of(parameters, "PolicyArn") in attached or len(attached) < ATTACHED_POLICIES:
            return None
        return _exceeded(f"PoliciesPer{entity}", ATTACHED_POLICIES)

    return problem


def _access_key(parameters: Parameters) -> Answer | None:
    user = text_of(parameters, "UserName")
    keys = [record for record in _iam()._access_keys.values() if user and record["UserName"] == user]
    return _exceeded("AccessKeysPerUser", ACCESS_KEYS_PER_USER) if len(keys) >= ACCESS_KEYS_PER_USER else None


def _inline(
    entity: str, limit: int, policies_of: Callable[[Any, str], Mapping[str, str]]
) -> Callable[..., Answer | None]:
    """Return the check of the size of all inline policies of one entity, in characters without white space."""

    def problem(parameters: Parameters) -> Answer | None:
        name = text_of(parameters, f"{entity}Name")
        changed = {text_of(parameters, "PolicyName"): text_of(parameters, "PolicyDocument")}
        documents = {**policies_of(_iam(), name), **changed}.values()
        if sum(len("".join(document.split())) for document in documents) <= limit:
            return None
        text = f"Maximum policy size of {limit} bytes exceeded for {entity.lower()} {name}"
        return error(409, "LimitExceeded", text)

    return problem


def _iam() -> Any:
    return import_module("ministack.services.iam")


QUOTA_PROBLEMS: Mapping[str, Callable[[Parameters], Answer | None]] = {
    "AddUserToGroup": _group_membership,
    "AttachUserPolicy": _attachment("User", "_users"),
    "AttachGroupPolicy": _attachment("Group", "_groups"),
    "AttachRolePolicy": _attachment("Role", "_roles"),
    "CreateAccessKey": _access_key,
    "PutUserPolicy": _inline("User", 2048, lambda iam, name: iam._user_inline_policies.get(name) or {}),
    "PutGroupPolicy": _inline("Group", 5120, lambda iam, name: iam._group_inline_policies.get(name) or {}),
    "PutRolePolicy": _inline("Role", 10240, lambda iam, name: (iam._roles.get(name) or {}).get("InlinePolicies") or {}),
}
"""Functions that return AWS's error where an action would exceed a quota, or None, by action."""
