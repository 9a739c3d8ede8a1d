"""Whether IAM policies let a principal assume a role: trust policies and identity policies, for sts:AssumeRole. Pure.

An explicit Deny wins over any Allow; nothing is allowed that no Allow names. What cannot be decided fails closed: an Allow with
an unknown operator or a malformed part does not apply, such a Deny does. A document that IAM would not have stored allows
nothing. Neither permission boundaries nor service control policies are looked at.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kube_iam.core.policy_conditions import all_of, any_of, conditions_hold
from kube_iam.core.policy_operands import Answer
from kube_iam.core.policy_principals import names_principal, spares_principal
from kube_iam.core.policy_values import ANY, Context, ascii_lower, expand, matches, wildcards

ASSUME_ROLE = "sts:AssumeRole"
_WITH_VARIABLES = "2012-10-17"
_VERSIONS = (_WITH_VARIABLES, "2008-10-17")
# IAM refuses a document with any other element. One that we skipped ("condition") would be a limit that does not limit.
_DOCUMENT = frozenset({"Version", "Id", "Statement"})
_STATEMENT = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_ACTION = re.compile(r"\*|\*:\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")


@dataclass(frozen=True, slots=True)
class AssumeRequest:
    """One call of sts:AssumeRole. `principal` is the caller's ARN as STS shows it, `role` the ARN of the role with its path.

    `context` holds the other condition keys of the request (`aws:PrincipalTag/team`, `aws:MultiFactorAuthPresent`, `aws:userid`,
    `sts:ExternalId`, …); keys are compared without regard to case. A tuple is a key with several values.
    """

    principal: str
    account: str
    role: str
    session_name: str
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    action: str = ASSUME_ROLE

    def keys(self) -> Context:
        """All condition keys in lower case: those that follow from the request itself, then `context`."""
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
    """Answer of the policies. `statement` is the index of the statement that decided, in the document `document`, else None."""

    allowed: bool
    why: str
    statement: int | None = None
    sid: str = ""
    document: int = 0
    explicit_deny: bool = False


def evaluate_trust(document: object, request: AssumeRequest) -> PolicyDecision:
    """Whether a role's trust policy (parsed JSON, or its text) lets the caller assume the role."""
    return _evaluate([document], request, trust=True)


def evaluate_identity(documents: Iterable[object], request: AssumeRequest) -> PolicyDecision:
    """Whether the policies attached to the caller and to the caller's groups allow the call on that role."""
    return _evaluate(list(documents), request, trust=False)


def _evaluate(documents: list[object], request: AssumeRequest, *, trust: bool) -> PolicyDecision:
    keys = request.keys()
    allow: PolicyDecision | None = None
    for number, document in enumerate(documents):
        statements, version = _statements(document)
        if statements is None:
            return PolicyDecision(False, "the policy document is malformed", document=number)
        for index, statement in enumerate(statements):
            applies = _applies(statement, request, keys, trust=trust, variables=version == _WITH_VARIABLES)
            sid = str(statement.get("Sid", ""))
            name = f'"{sid}"' if sid else f"number {index + 1}"
            if statement["Effect"] == "Deny" and applies is not False:
                certainty = "denies" if applies else "cannot be decided and so denies"
                return PolicyDecision(False, f"statement {name} {certainty}", index, sid, number, explicit_deny=True)
            if statement["Effect"] == "Allow" and applies and allow is None:
                allow = PolicyDecision(True, f"statement {name} allows", index, sid, number)
    return allow or PolicyDecision(False, "no statement allows")


def _statements(document: object) -> tuple[list[dict[str, object]] | None, str]:
    if isinstance(document, str):
        try:
            document = json.loads(
                document, object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_as_written
            )
        except (ValueError, RecursionError):
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


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(name: str) -> object:
    """Refuse NaN and Infinity, which Python's parser takes and JSON does not know."""
    raise ValueError(f"{name} is no JSON")


def _as_written(text: str) -> str:
    """Keep a fraction's digits: as a float, 0.1 would be another number."""
    return text


def _applies(
    statement: dict[str, object], request: AssumeRequest, keys: Context, *, trust: bool, variables: bool
) -> Answer:
    who = _principal(statement, request) if trust else _resource(statement, request.role, keys, variables)
    if not trust and ("Principal" in statement or "NotPrincipal" in statement):
        who = None
    if trust and ("Resource" in statement or "NotResource" in statement):
        who = None
    conditions = conditions_hold(statement.get("Condition", {}), keys, variables=variables)
    return all_of([_action(statement, request.action), who, conditions])


def _texts(value: object) -> list[str] | None:
    values: list[object] = value if isinstance(value, list) else [value]
    texts = [each for each in values if isinstance(each, str)]
    return texts if texts and len(texts) == len(values) else None


def _either(statement: dict[str, object], name: str) -> tuple[list[str] | None, bool]:
    """The values of `name` or of `Not…name`, and whether they are negated; None where there is not exactly one of the two."""
    negated = f"Not{name}" in statement
    if negated is (name in statement):
        return None, False
    return _texts(statement[f"Not{name}" if negated else name]), negated


def _action(statement: dict[str, object], action: str) -> Answer:
    patterns, negated = _either(statement, "Action")
    if patterns is None or not all(_ACTION.fullmatch(pattern) for pattern in patterns):
        return None
    wanted = ascii_lower(action)
    return any(matches(wildcards(ascii_lower(pattern)), wanted) for pattern in patterns) is not negated


def _resource(statement: dict[str, object], role: str, keys: Context, variables: bool) -> Answer:
    texts, negated = _either(statement, "Resource")
    if texts is None:
        return None
    answers: list[Answer] = []
    for text in texts:
        pattern = expand(text, keys, wild=True) if variables else wildcards(text)
        answers.append(_matches_arn(pattern, role) if pattern is not None else (None if negated else False))
    found = any_of(answers)
    return found if not negated or found is None else not found


def _matches_arn(pattern: str, arn: str) -> Answer:
    """Whether a resource pattern matches. One that matches only if a wildcard reaches across a colon is undecided."""
    if not matches(pattern, arn):
        return False
    parts = pattern.split(":", 5)
    apart = len(parts) == 6 and all(matches(*pair) for pair in zip(parts, arn.split(":", 5), strict=False))
    return True if apart or pattern.strip(ANY) == "" else None


def _principal(statement: dict[str, object], request: AssumeRequest) -> Answer:
    if "NotPrincipal" in statement:
        if statement["Effect"] == "Allow" or "Principal" in statement:
            return None
        spared = spares_principal(statement["NotPrincipal"], request.principal, request.account)
        return None if spared is None else not spared
    return names_principal(statement.get("Principal"), request.principal, request.account)


def _principal_arn(arn: str) -> str:
    """aws:PrincipalArn: an assumed role shows as its role (without the path, which a session's ARN does not tell)."""
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
