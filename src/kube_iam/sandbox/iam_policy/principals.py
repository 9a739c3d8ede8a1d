"""The `Principal` and `NotPrincipal` elements of a trust policy.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

import re

from kube_iam.sandbox.iam_policy.values import Answer

_ACCOUNT = re.compile(r"[0-9]{12}")
_ARN = re.compile(r"arn:([a-z0-9-]+):(iam|sts)::([0-9]{12}):(.+)")
_UNIQUE_ID = re.compile(r"A(?:ID|RO|GP)A[A-Z0-9]{12,}")
_OTHER_KINDS = frozenset({"Service", "Federated", "CanonicalUser"})


def names_principal(principal: object, caller: str, account: str) -> Answer:
    """Return whether a `Principal` element names the caller or the caller's account, or None where it is malformed."""
    if principal == "*":
        return True
    entries = _aws_entries(principal)
    if entries is None:
        return None
    answers = [_names(entry, caller, account) for entry in entries]
    if True in answers:
        return True
    return None if None in answers else False


def exempts_principal(not_principal: object, caller: str, account: str) -> Answer:
    """Return whether the `NotPrincipal` of a Deny exempts the caller: it must name both the caller and the caller's account.

    Return None where it is malformed.
    """
    entries = _aws_entries(not_principal)
    if entries is None:
        return None
    by_account = any(_account_of(entry, caller) == account for entry in entries)
    by_name = any(_account_of(entry, caller) is None and _names(entry, caller, account) is True for entry in entries)
    return by_account and by_name


def _aws_entries(principal: object) -> list[str] | None:
    """Return the `AWS` entries, or None where the element is malformed. Principals of other kinds never call with AWS keys."""
    if not isinstance(principal, dict) or not principal or not set(principal) <= {"AWS", *_OTHER_KINDS}:
        return None
    entries = principal.get("AWS", [])
    entries = [entries] if isinstance(entries, str) else entries
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        return None
    return entries


def _account_of(entry: str, caller: str) -> str | None:
    """Return the account of an entry that names a whole account in the caller's partition, else None."""
    if _ACCOUNT.fullmatch(entry):
        return entry
    arn = _ARN.fullmatch(entry)
    if arn and arn[2] == "iam" and arn[4] == "root" and caller.startswith(f"arn:{arn[1]}:"):
        return arn[3]
    return None


def _names(entry: str, caller: str, account: str) -> Answer:
    if entry == "*":
        return True
    whole = _account_of(entry, caller)
    if whole is not None:
        return whole == account
    # IAM shows a deleted user or role by its unique id. A new one of the same name is another principal.
    if _UNIQUE_ID.fullmatch(entry):
        return False
    arn = _ARN.fullmatch(entry)
    if arn is None or "*" in entry or "?" in entry:
        return None  # IAM accepts no wildcard within a principal
    if entry == caller:
        return True
    ours = _ARN.fullmatch(caller)
    if ours is None or arn[2] != "iam" or not arn[4].startswith("role/") or not ours[4].startswith("assumed-role/"):
        return False
    same_role = arn[4].rsplit("/", 1)[1] == ours[4].split("/")[1]
    return same_role and (arn[1], arn[3]) == (ours[1], ours[3])
