"""Decides whether a role's trust policy allows a principal to assume the role.

An explicit Deny overrides every Allow, and what no Allow names is denied. What cannot be decided fails closed: an Allow with an
unknown operator or a malformed part does not apply, such a Deny does. A document that IAM would not store allows nothing.
Permission boundaries and service control policies are not evaluated.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.strict_json import InvalidJson, read_json
from kube_iam.sandbox.iam_policy.conditions import all_of, conditions_hold
from kube_iam.sandbox.iam_policy.principals import exempts_principal, names_principal
from kube_iam.sandbox.iam_policy.values import Answer, Context, matches, wildcards

ASSUME_ROLE = "sts:AssumeRole"
_WITH_VARIABLES = "2012-10-17"
_VERSIONS = (_WITH_VARIABLES, "2008-10-17")
# IAM refuses a document with any other element. Skipping one ("condition") would drop a restriction.
_DOCUMENT = frozenset({"Version", "Id", "Statement"})
_STATEMENT = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_ACTION = re.compile(r"\*|\*:\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")


@dataclass(frozen=True, slots=True)
class AssumeRequest:
    """One call of sts:AssumeRole. `principal` is the caller's ARN as STS shows it, `role` is the role's ARN with its path.

    `context` holds the other condition keys of the request (`aws:PrincipalTag/team`, `aws:MultiFactorAuthPresent`, `aws:userid`,
    `sts:ExternalId`, …). Keys are compared without regard to case. A tuple holds the values of a key with several values.
    """

    principal: str
    account: str
    role: str
    session_name: str
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    action: str = ASSUME_ROLE

    def keys(self) -> Context:
        """Return all condition keys of the request: `context`, and those that follow from the other fields."""
        keys: dict[str, str | tuple[str, ...]] = {
            "aws:principalarn": _principal_arn(self.principal),
            "aws:principalaccount": self.account,
            "aws:principaltype": _principal_type(self.principal),
        }
        if ":user/" in self.principal:
            keys["aws:username"] = self.principal.rsplit("/", 1)[1]
        keys.update({ascii_lower(key): value for key, value in self.context.items()})
        keys["sts:rolesessionname"] = self.session_name
        return keys


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """The decision of a policy. `statement` is the index of the statement that decided, or None where no statement did."""

    allowed: bool
    reason: str
    statement: int | None = None
    sid: str = ""


def evaluate_trust(document: object, request: AssumeRequest) -> PolicyDecision:
    """Return whether a role's trust policy (parsed JSON, or its text) allows the request. Raises nothing."""
    keys = request.keys()
    statements, version = _statements(document)
    if statements is None:
        return PolicyDecision(False, "the policy document is malformed")
    allow: PolicyDecision | None = None
    for index, statement in enumerate(statements):
        applies = _applies(statement, request, keys, variables=version == _WITH_VARIABLES)
        sid = str(statement.get("Sid", ""))
        name = f'"{sid}"' if sid else f"number {index + 1}"
        if statement["Effect"] == "Deny" and applies is not False:
            certainty = "denies" if applies else "cannot be decided and so denies"
            return PolicyDecision(False, f"statement {name} {certainty}", index, sid)
        if statement["Effect"] == "Allow" and applies and allow is None:
            allow = PolicyDecision(True, f"statement {name} allows", index, sid)
    return allow or PolicyDecision(False, "no statement allows")


def _statements(document: object) -> tuple[list[dict[str, object]] | None, str]:
    if isinstance(document, str):
        try:
            document = read_json(document, parse_float=str)  # as a float, 0.1 would be another number
        except InvalidJson:
            return None, ""
    if not isinstance(document, dict) or not set(document) <= _DOCUMENT:
        return None, ""
    version = document.get("Version", "2008-10-17")
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    sound = version in _VERSIONS and isinstance(statements, list) and all(_is_statement(each) for each in statements)
    return (statements, str(version)) if sound else (None, "")


def _is_statement(value: object) -> bool:
    return isinstance(value, dict) and set(value) <= _STATEMENT and value.get("Effect") in ("Allow", "Deny")


def _applies(statement: dict[str, object], request: AssumeRequest, keys: Context, *, variables: bool) -> Answer:
    # IAM refuses a trust policy that names a resource.
    principal = None if "Resource" in statement or "NotResource" in statement else _principal(statement, request)
    conditions = conditions_hold(statement.get("Condition", {}), keys, variables=variables)
    return all_of([_action(statement, request.action), principal, conditions])


def _texts(value: object) -> list[str] | None:
    values: list[object] = value if isinstance(value, list) else [value]
    texts = [each for each in values if isinstance(each, str)]
    return texts if texts and len(texts) == len(values) else None


def _action(statement: dict[str, object], action: str) -> Answer:
    negated = "NotAction" in statement
    if negated is ("Action" in statement):
        return None
    patterns = _texts(statement["NotAction" if negated else "Action"])
    if patterns is None or not all(_ACTION.fullmatch(pattern) for pattern in patterns):
        return None
    wanted = ascii_lower(action)
    return any(matches(wildcards(ascii_lower(pattern)), wanted) for pattern in patterns) is not negated


def _principal(statement: dict[str, object], request: AssumeRequest) -> Answer:
    if "NotPrincipal" in statement:
        if statement["Effect"] == "Allow" or "Principal" in statement:
            return None
        exempt = exempts_principal(statement["NotPrincipal"], request.principal, request.account)
        return None if exempt is None else not exempt
    return names_principal(statement.get("Principal"), request.principal, request.account)


def _principal_arn(arn: str) -> str:
    """Return aws:PrincipalArn. That of a role session is the role's ARN, without its path, which the session's ARN does not hold."""
    parts = arn.split(":", 5)
    if len(parts) == 6 and parts[5].startswith("assumed-role/"):
        return f"arn:{parts[1]}:iam::{parts[4]}:role/{parts[5].split('/')[1]}"
    return arn


def _principal_type(arn: str) -> str:
    if ":assumed-role/" in arn:
        return "AssumedRole"
    if ":federated-user/" in arn:
        return "FederatedUser"
    return "Account" if arn.endswith(":root") else "User"
