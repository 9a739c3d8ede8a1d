"""Check of a role's trust policy: may callers choose their session name? Pure.

A session name identifies a user only if sts:AssumeRole takes nothing but the caller's own user name. So every Allow by which anybody
could assume the role must demand that itself, in the one form with one meaning: StringEquals, sts:RoleSessionName, ${aws:username}.
For a caller that is no IAM user the variable has no value, and the condition never holds. A policy in another form, or with parts that
are not known here, counts as unrestricted. A Deny elsewhere is never relied on.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#ck_rolesessionname
"""

from __future__ import annotations

import re

from kube_iam.core.arns import parse_arn
from kube_iam.core.strict_json import InvalidJson, read_json

SESSION_NAME, OWN_NAME = "sts:rolesessionname", "${aws:username}"
ACCOUNT_ACCESS = "account-access.amazonaws.com"
_VERSION = "2012-10-17"  # of the policy language: an older one takes ${…} literally
_DOCUMENT = frozenset({"Version", "Id", "Statement"})
_STATEMENT = frozenset({"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Condition"})
# Actions of a trust policy that by themselves give nobody a session.
_NO_SESSION = frozenset({"sts:tagsession", "sts:setsourceidentity", "sts:setcontext"})
DELETED_PRINCIPAL = re.compile(r"A(?:ID|RO)A[A-Z0-9]{12,}", re.ASCII)
"""What IAM shows in place of a deleted principal. It is nobody, even if a principal of the same name was created since."""


def unrestricted_session_name(document: object, role_arn: str) -> str:
    """Return why a caller may choose the session name, with the statement's Sid or number; empty where no caller may.

    `document` is the trust policy as parsed JSON, or better its text, in which a key that stands twice is seen. `role_arn` tells the
    account (and partition) that the callers must be of.
    """
    try:
        policy = read_json(document) if isinstance(document, str) else document
    except InvalidJson:
        return "the trust policy is no JSON, or a key stands twice in it"
    if not isinstance(policy, dict) or not set(policy) <= _DOCUMENT:
        return "the trust policy has parts that are not known"
    if policy.get("Version") != _VERSION:
        return f"the trust policy's Version is not {_VERSION}, without which {OWN_NAME} is no variable"
    statements = policy.get("Statement")
    for number, statement in enumerate(statements if isinstance(statements, list) else [statements], 1):
        problem = _problem(statement, role_arn)
        if problem:
            sid = statement.get("Sid") if isinstance(statement, dict) else None
            name = f'"{sid}"' if isinstance(sid, str) and sid else f"number {number}"
            return f"statement {name} of the trust policy {problem}"
    return ""


def allows_chosen_session_names(document: object) -> bool:
    """Return whether a trust policy (parsed JSON) allows the account access manager, whose users choose their session name."""
    statements = document.get("Statement") if isinstance(document, dict) else None
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal") if isinstance(statement, dict) else None
        services = _texts(principal.get("Service")) if isinstance(principal, dict) else []
        if (
            isinstance(statement, dict)
            and statement.get("Effect") == "Allow"
            and ACCOUNT_ACCESS in map(str.lower, services)
        ):
            return True
    return False


def deleted_principals(document: object) -> tuple[str, ...]:
    """Return the unique ids that a trust policy (parsed JSON) shows in place of principals that were deleted, each once."""
    statements = document.get("Statement") if isinstance(document, dict) else None
    found: list[str] = []
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal") if isinstance(statement, dict) else None
        found += _texts(principal.get("AWS")) if isinstance(principal, dict) else []
    return tuple(dict.fromkeys(each for each in found if DELETED_PRINCIPAL.fullmatch(each)))


def _problem(statement: object, role_arn: str) -> str:
    if not isinstance(statement, dict) or not set(statement) <= _STATEMENT:
        return "has parts that are not known"
    if statement.get("Effect") == "Deny":
        return ""
    if statement.get("Effect") != "Allow":
        return "neither allows nor denies"
    if "NotPrincipal" in statement or "NotAction" in statement:
        return "allows by exclusion (NotPrincipal, NotAction)"
    actions = _texts(statement.get("Action"))
    if actions and all(action.lower() in _NO_SESSION for action in actions):
        return ""
    return _principal_problem(statement.get("Principal"), role_arn) or _condition_problem(statement.get("Condition"))


def _principal_problem(principal: object, role_arn: str) -> str:
    role = parse_arn(role_arn)
    entries = _texts(principal.get("AWS")) if isinstance(principal, dict) and set(principal) == {"AWS"} else []
    if role is None or not entries:
        return "allows others than IAM principals of the role's own account"
    for entry in entries:
        arn = parse_arn(entry)
        own = arn is not None and (arn.partition, arn.account) == (role.partition, role.account)
        if not own and entry != role.account and not DELETED_PRINCIPAL.fullmatch(entry):
            return f"allows {entry!r}, which is not of the role's own account"
    return ""


def _condition_problem(condition: object) -> str:
    open_name = f"does not hold the session name to the caller's own (StringEquals sts:RoleSessionName {OWN_NAME})"
    if not isinstance(condition, dict):
        return open_name
    for operator, keys in condition.items():
        if not isinstance(keys, dict) or len({key.lower() for key in keys}) != len(keys):
            return "has a condition that is not understood"
        if operator.lower() == "stringequals":
            wanted = [value for key, value in keys.items() if key.lower() == SESSION_NAME]
            if wanted and _texts(wanted[0]) == [OWN_NAME]:
                open_name = ""
    if len({operator.lower() for operator in condition}) != len(condition):
        return "has a condition operator twice"
    return open_name


def _texts(value: object) -> list[str]:
    """Return one text or a list of texts as a list; empty for anything else."""
    values: list[object] = value if isinstance(value, list) else [value]
    texts = [each for each in values if isinstance(each, str)]
    return texts if len(texts) == len(values) else []
