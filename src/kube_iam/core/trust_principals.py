"""Principals that a role's trust policy lets assume the role, as far as the policy tells. Pure.

Conditions and Deny statements are not evaluated: they make a principal `conditional`. Whether IAM allows a principal of the account to
call sts:AssumeRole is not in the trust policy.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kube_iam.core.arns import is_account_id, parse_arn
from kube_iam.core.trust_policy import DELETED_PRINCIPAL

_ASSUMING = ("sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity")


@dataclass(frozen=True, slots=True)
class TrustedPrincipal:
    """A principal of a trust policy. `kind` is its key there (AWS, Service, Federated), or `*` for anybody.

    `conditional`: it can assume the role only where conditions hold that are not evaluated.
    """

    kind: str
    value: str
    conditional: bool

    def __str__(self) -> str:
        if self.kind == "*":
            return "anybody in AWS"
        if self.kind == "AWS":
            account = _whole_account(self.value)
            return f"users and roles of account {account} that IAM allows sts:AssumeRole" if account else self.value
        return f"{'service' if self.kind == 'Service' else 'identity provider'} {self.value}"


def trusted_principals(document: object) -> tuple[TrustedPrincipal, ...]:
    """Return the principals of a trust policy (parsed JSON), each once. Raises ValueError for a policy that is not understood."""
    statements = document.get("Statement") if isinstance(document, dict) else None
    given = statements if isinstance(statements, list) else [statements]
    listed = [each for each in given if isinstance(each, dict) and each.get("Effect") in ("Allow", "Deny")]
    if len(listed) != len(given):
        raise ValueError("its trust policy is not understood")
    denies = any(each["Effect"] == "Deny" for each in listed)
    allowing = [each for each in listed if each["Effect"] == "Allow" and _lets_assume(each)]
    found: dict[tuple[str, str], bool] = {}
    for statement in allowing:
        conditional = denies or bool(statement.get("Condition"))
        for key in _principals(statement):
            found[key] = found.get(key, True) and conditional
    return tuple(TrustedPrincipal(*key, conditional) for key, conditional in found.items())


def _lets_assume(statement: dict[str, object]) -> bool:
    if "NotAction" in statement:
        return True  # all but a few actions; which ones is not worked out
    patterns = [action.lower() for action in _texts(statement.get("Action"))]
    return any(fnmatchcase(action, pattern.replace("[", "[[]")) for action in _ASSUMING for pattern in patterns)


def _principals(statement: dict[str, object]) -> Iterator[tuple[str, str]]:
    principal = statement.get("Principal")
    if "NotPrincipal" in statement or principal == "*":
        yield ("*", "*")
        return
    if not isinstance(principal, dict):
        raise ValueError("its trust policy is not understood")
    for kind, values in principal.items():
        for value in _texts(values):
            if value == "*":
                yield ("*", "*")
            elif not DELETED_PRINCIPAL.fullmatch(value):
                yield (str(kind), value)


def _whole_account(value: str) -> str:
    arn = parse_arn(value)
    if arn is not None and arn.resource == "root":
        return arn.account
    return value if is_account_id(value) else ""


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in values):
        raise ValueError("its trust policy is not understood")
    return [str(each) for each in values]
