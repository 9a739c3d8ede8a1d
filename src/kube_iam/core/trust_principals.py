"""Principals that a role's trust policy lets assume the role, as far as the policy tells. Pure.

Conditions and Deny statements are not evaluated: they make a principal `conditional`. Whether IAM allows a principal of the account to
call sts:AssumeRole is not in the trust policy.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kube_iam.core.arns import is_account_id, parse_arn
from kube_iam.core.policy_statements import Statement, listed_statements, names_action, texts
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

    @property
    def whole_account(self) -> str:
        """Return the id of the account, if the principal is all of its users and roles, else an empty text."""
        return whole_account(self.value) if self.kind == "AWS" else ""

    @property
    def account(self) -> str:
        """Return the id of the account that the principal is in, empty where it is in none."""
        arn = parse_arn(self.value) if self.kind == "AWS" else None
        return self.whole_account or (arn.account if arn is not None else "")

    def __str__(self) -> str:
        if self.kind == "*":
            return "anybody in AWS"
        if self.kind == "AWS":
            account = self.whole_account
            return f"users and roles of account {account} that IAM allows sts:AssumeRole" if account else self.value
        return f"{'service' if self.kind == 'Service' else 'identity provider'} {self.value}"


def trusted_principals(document: object) -> tuple[TrustedPrincipal, ...]:
    """Return the principals of a trust policy (parsed JSON), each once. Raises ValueError for a policy that is not understood."""
    try:
        return _listed(listed_statements(document))
    except ValueError:
        raise ValueError("its trust policy is not understood") from None


def _listed(listed: tuple[Statement, ...]) -> tuple[TrustedPrincipal, ...]:
    denies = any(each["Effect"] == "Deny" for each in listed)
    allowing = [each for each in listed if each["Effect"] == "Allow" and _lets_assume(each)]
    found: dict[tuple[str, str], bool] = {}
    for statement in allowing:
        conditional = denies or bool(statement.get("Condition"))
        for key in _principals(statement):
            found[key] = found.get(key, True) and conditional
    return tuple(TrustedPrincipal(*key, conditional) for key, conditional in found.items())


def _lets_assume(statement: Statement) -> bool:
    # Of NotAction, which means all but a few actions, it is not worked out which ones.
    return "NotAction" in statement or names_action(texts(statement.get("Action")), *_ASSUMING)


def _principals(statement: Statement) -> Iterator[tuple[str, str]]:
    principal = statement.get("Principal")
    if "NotPrincipal" in statement or principal == "*":
        yield ("*", "*")
        return
    if not isinstance(principal, dict):
        raise ValueError("a principal is not understood")
    for kind, values in principal.items():
        for value in texts(values):
            if value == "*":
                yield ("*", "*")
            elif not DELETED_PRINCIPAL.fullmatch(value):
                yield (str(kind), value)


def whole_account(value: str) -> str:
    """Return the account that a principal of a trust policy stands for as a whole, empty for one principal."""
    arn = parse_arn(value)
    if arn is not None and arn.resource == "root":
        return arn.account
    return value if is_account_id(value) else ""
