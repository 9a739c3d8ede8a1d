"""SimulatePrincipalPolicy of the emulated IAM for users, with the evaluator that the emulated account authorizes calls with.

The emulator's own leaves out permissions boundaries, paths of users, context keys and the statements that matched.
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from importlib import import_module
from typing import Any

from kube_iam.sandbox.account_answers import Answer, error
from kube_iam.sandbox.account_names import Parameters, text_of

_DECISIONS = {"Allow": "allowed", "Deny": "explicitDeny"}


def simulate(parameters: Parameters) -> Answer:
    """Return the simulation of each action on each resource, for a user of the account."""
    iam, evaluator = import_module("ministack.services.iam"), import_module("ministack.core.iam_evaluator")
    source = text_of(parameters, "PolicySourceArn")
    user = next((each for each in iam._users.values() if each["Arn"] == source), None)
    if user is None:
        return error(404, "NoSuchEntity", f"The user with ARN {source} cannot be found; roles are not simulated here.")
    account = source.split(":")[4]
    named = list(_policies(iam, evaluator, user, account))
    limits = evaluator._permissions_boundary(iam._users, user["UserName"], account)
    context = {key.lower(): value for key, value in _context(parameters)}
    results = ""
    for action in _members(parameters, "ActionNames"):
        for resource in _members(parameters, "ResourceArns") or ["*"]:
            asked = evaluator.EvalContext(
                principal_arn=source,
                principal_type="User",
                principal_account=account,
                action=action,
                resource_arn=resource,
                region="us-east-1",
                principal_keys={"aws:username": user["UserName"], "aws:userid": user["UserId"], **context},
            )
            results += _result(evaluator, asked, named, limits)
    body = (
        "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult>"
        f"<EvaluationResults>{results}</EvaluationResults><IsTruncated>false</IsTruncated>"
        "</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    )
    return 200, {"Content-Type": "text/xml"}, body.encode()


def _result(evaluator: Any, asked: Any, named: list[tuple[str, Any]], limits: list[Any]) -> str:
    """Return the XML of one result, with the names of the policies whose statements matched."""
    policies = [statements for _, statements in named]
    decision = _DECISIONS.get(evaluator.evaluate(asked, policies, *limits).decision, "implicitDeny")
    effect = "Deny" if decision == "explicitDeny" else "Allow"
    matched = [name for name, statements in named if evaluator._first_match(asked, statements, effect)]
    keys = sorted({key for _, statements in named for key in _keys(statements)})
    missing = [key for key in keys if evaluator._resolve_condition_key(key, asked) is None]
    boundary = ""
    if limits:
        allowed = all(evaluator.evaluate(asked, statements).decision == "Allow" for statements in limits)
        detail = f"<AllowedByPermissionsBoundary>{str(allowed).lower()}</AllowedByPermissionsBoundary>"
        boundary = f"<PermissionsBoundaryDecisionDetail>{detail}</PermissionsBoundaryDecisionDetail>"
    statements = "".join(f"<member><SourcePolicyId>{escape(name)}</SourcePolicyId></member>" for name in matched)
    return (
        f"<member><EvalActionName>{escape(asked.action)}</EvalActionName>"
        f"<EvalResourceName>{escape(asked.resource_arn)}</EvalResourceName><EvalDecision>{decision}</EvalDecision>"
        f"<MatchedStatements>{statements}</MatchedStatements>"
        f"<MissingContextValues>{''.join(f'<member>{escape(key)}</member>' for key in missing)}</MissingContextValues>"
        f"{boundary}</member>"
    )


def _policies(iam: Any, evaluator: Any, user: Mapping[str, Any], account: str) -> Iterator[tuple[str, Any]]:
    """Yield the name and statements of each policy of the user and of its groups."""
    name = user["UserName"]
    holders = [(iam._user_inline_policies.get(name), user)]
    holders += [
        (iam._group_inline_policies.get(group), state)
        for group, state in iam._groups.items()
        if name in state.get("Users", [])
    ]
    for inline, holder in holders:
        for policy, document in (inline or {}).items():
            yield policy, evaluator.parse_policy_document(document)
        for arn in holder.get("AttachedPolicies", []):
            document = evaluator._resolve_managed_policy_document(arn, account)
            yield arn.rpartition("/")[2], evaluator.parse_policy_document(document) if document else []


def _keys(statements: Any) -> Iterator[str]:
    for statement in statements:
        for keys in (statement.conditions or {}).values():
            yield from keys if isinstance(keys, dict) else ()


def _members(parameters: Parameters, name: str) -> list[str]:
    found: list[str] = []
    while text := text_of(parameters, f"{name}.member.{len(found) + 1}"):
        found.append(text)
    return found


def _context(parameters: Parameters) -> Iterator[tuple[str, str]]:
    """Yield the condition keys of the request, each with its first value."""
    number = 1
    while key := text_of(parameters, f"ContextEntries.member.{number}.ContextKeyName"):
        yield key, text_of(parameters, f"ContextEntries.member.{number}.ContextKeyValues.member.1")
        number += 1
