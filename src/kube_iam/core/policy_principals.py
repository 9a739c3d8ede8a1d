"""Who a trust policy's `Principal` names. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

import re

_ACCOUNT = re.compile(r"[0-9]{12}")
_ARN = re.compile(r"arn:([a-z0-9-]+):(iam|sts)::([0-9]{12}):(.+)")
_UNIQUE_ID = re.compile(r"A(?:ID|RO|GP)A[A-Z0-9]{12,}")
_OTHER_KINDS = frozenset({"Service", "Federated", "CanonicalUser"})


def names_principal(principal: object, caller: str, account: str) -> bool | None:
    """Whether a `Principal` element names the caller, itself or through its account; None where it is malformed."""
    if principal == "*":
        return True
    entries = _aws_entries(principal)
    if entries is None:
        return None
    answers = [_names(entry, caller, account) for entry in entries]
    if True in answers:
        return True
    return None if None in answers else False


def spares_principal(not_principal: object, caller: str, account: str) -> bool | None:
    """Whether a Deny's `NotPrincipal` leaves the caller alone: it has to name the caller and the caller's account as well."""
    entries = _aws_entries(not_principal)
    if entries is None:
        return None
    by_account = any(_account_of(entry, caller) == account for entry in entries)
    by_name = any(_account_of(entry, caller) is None and _names(entry, caller, account) is True for entry in entries)
    return by_account and by_name


def _aws_entries(principal: object) -> list[str] | None:
    """The `AWS` entries; other kinds of principal never sign in with AWS keys, so they name nobody here."""
    if not isinstance(principal, dict) or not principal or not set(principal) <= {"AWS", *_OTHER_KINDS}:
        return None
    entries = principal.get("AWS", [])
    entries = [entries] if isinstance(entries, str) else entries
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        return None
    return entries


def _account_of(entry: str, caller: str) -> str | None:
    """The account that an entry means as a whole, in the caller's partition."""
    if _ACCOUNT.fullmatch(entry):
        return entry
    arn = _ARN.fullmatch(entry)
    if arn and arn[2] == "iam" and arn[4] == "root" and caller.startswith(f"arn:{arn[1]}:"):
        return arn[3]
    return None


def _names(entry: str, caller: str, account: str) -> bool | None:
    if entry == "*":
        return True
    whole = _account_of(entry, caller)
    if whole is not None:
        return whole == account
    # IAM shows a deleted user or role by its unique id: nobody, even where a namesake was created since.
    if _UNIQUE_ID.fullmatch(entry):
        return False
    arn = _ARN.fullmatch(entry)
    if arn is None or "*" in entry or "?" in entry:
        return None  # IAM takes no wildcard within a principal
    if entry == caller:
        return True
    ours = _ARN.fullmatch(caller)
    if ours is None or arn[2] != "iam" or not arn[4].startswith("role/") or not ours[4].startswith("assumed-role/"):
        return False
    same_role = arn[4].rsplit("/", 1)[1] == ours[4].split("/")[1]
    return same_role and (arn[1], arn[3]) == (ours[1], ours[3])
