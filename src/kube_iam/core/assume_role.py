"""Policies about one call of sts:AssumeRole by an IAM user, as far as their text tells. Pure.

Each statement applies, does not apply, or is not decided (None): conditions on keys whose value is not known here, operators and
variables that are not evaluated, and forms that are not understood. Callers treat what is not decided as unknown, never as allowed.

Not evaluated: service control policies, session policies, and policies of AWS services.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from kube_iam.core.arns import parse_arn, user_name
from kube_iam.core.policy_statements import Statement, listed_statements, matches_pattern, names_action, texts
from kube_iam.core.trust_policy import DELETED_PRINCIPAL
from kube_iam.core.trust_principals import whole_account
from kube_iam.core.utc import parse_rfc3339

ASSUME_ROLE = "sts:assumerole"
MFA = "aws:multifactorauthpresent"
_WITH_VARIABLES = "2012-10-17"
_IDENTITY_KEYS = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"})
_TRUST_KEYS = frozenset({"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Condition"})
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
Answer = bool | None


@dataclass(frozen=True, slots=True)
class AssumeCall:
    """A call of sts:AssumeRole with the access key of an IAM user. ARNs have their paths. `now` is Unix seconds.

    `mfa`: the call has the code of an MFA device.
    """

    user_arn: str
    user_id: str
    role_arn: str
    session_name: str
    now: float
    mfa: bool = False
    keys: Mapping[str, str | None] = field(init=False, repr=False, compare=False)
    """The condition keys that are known, in lower case. None: the call does not have the key."""

    def __post_init__(self) -> None:
        arn = parse_arn(self.user_arn)
        keys = {
            "aws:principalaccount": arn.account if arn is not None else "",
            "aws:principalarn": self.user_arn,
            "aws:principaltype": "User",
            "aws:securetransport": "true",
            "aws:userid": self.user_id,
            "aws:username": user_name(self.user_arn),
            "sts:rolesessionname": self.session_name,
            # Access keys of a user have no such key, which for a condition is not the same as false.
            MFA: "true" if self.mfa else None,
        }
        object.__setattr__(self, "keys", keys)


@dataclass(frozen=True, slots=True)
class StatementResult:
    """A statement that is about the call. `applies` is None where that is not decided.

    `name` is its Sid in quotes, or its number. `conditions` are its conditions as texts, and `undecided` those that decide nothing
    here. `direct`: it names the user itself, and no policy of the user is needed.
    """

    name: str
    allows: bool
    applies: Answer
    conditions: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    direct: bool = False


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """The result of one document: True where it allows, False where it does not or denies, None where that is not decided.

    `denies` is True for an explicit Deny, None where a Deny may apply. `statements` are those about the call.
    """

    allows: Answer
    denies: Answer
    statements: tuple[StatementResult, ...] = ()

    def deciding(self, *, allows: bool) -> Iterator[StatementResult]:
        """Yield the statements that allow (or deny), or may do so."""
        return (each for each in self.statements if each.allows is allows and each.applies is not False)


NOT_UNDERSTOOD = PolicyResult(None, None)


def identity_result(document: object, call: AssumeCall) -> PolicyResult:
    """Return what an identity policy, or a permissions boundary, says of the call."""
    return _result(document, call, _IDENTITY_KEYS, _resource)


def trust_result(document: object, call: AssumeCall) -> PolicyResult:
    """Return what the role's trust policy says of the call."""
    return _result(document, call, _TRUST_KEYS, _principal)


def _result(
    document: object, call: AssumeCall, known: frozenset[str], target: Callable[[Statement, AssumeCall, bool], Answer]
) -> PolicyResult:
    try:
        statements = listed_statements(document)
    except ValueError:
        return NOT_UNDERSTOOD
    variables = isinstance(document, dict) and document.get("Version") == _WITH_VARIABLES
    found: list[StatementResult] = []
    for number, statement in enumerate(statements, 1):
        try:
            about = _all((_action(statement), target(statement, call, variables)))
            result = _statement(statement, number, about, call, variables=variables)
        except ValueError:
            result = StatementResult(_name(statement, number), statement["Effect"] == "Allow", None)
        if not set(statement) <= known:
            result = StatementResult(result.name, result.allows, None)
        if result.applies is not False or result.unmet:
            found.append(result)
    denies = _any(each.applies for each in found if not each.allows)
    allows = _all((_any(each.applies for each in found if each.allows), None if denies is None else not denies))
    return PolicyResult(allows, denies, tuple(found))


def _statement(
    statement: Statement, number: int, about: Answer, call: AssumeCall, *, variables: bool
) -> StatementResult:
    name, allows = _name(statement, number), statement["Effect"] == "Allow"
    if about is False:
        return StatementResult(name, allows, False)
    conditions = [
        (f"{operator} {key} {' or '.join(values)}", _holds(operator, key, values, call, variables=variables))
        for operator, key, values in _conditions(statement.get("Condition"))
    ]
    return StatementResult(
        name,
        allows,
        _all((about, *(holds for _, holds in conditions))),
        tuple(text for text, _ in conditions),
        tuple(text for text, holds in conditions if holds is False),
        tuple(text for text, holds in conditions if holds is None),
        _names_user(statement.get("Principal"), call),
    )


def _name(statement: Statement, number: int) -> str:
    sid = statement.get("Sid")
    return f'"{sid}"' if isinstance(sid, str) and sid else f"number {number}"


def _action(statement: Statement) -> Answer:
    if ("Action" in statement) is ("NotAction" in statement):
        return None
    if "NotAction" in statement:
        return not names_action(texts(statement["NotAction"]), ASSUME_ROLE)
    return names_action(texts(statement["Action"]), ASSUME_ROLE)


def _resource(statement: Statement, call: AssumeCall, variables: bool) -> Answer:
    negated = "NotResource" in statement
    if negated is ("Resource" in statement):
        return None
    patterns = texts(statement["NotResource" if negated else "Resource"])
    found = _any(_like(call.role_arn, pattern, call, variables=variables) for pattern in patterns)
    return None if found is None else found is not negated


def _principal(statement: Statement, call: AssumeCall, variables: bool) -> Answer:  # noqa: ARG001
    """Return whether the statement is for the user. Of NotPrincipal that is not decided."""
    principal = statement.get("Principal")
    if principal == "*":
        return True
    if "NotPrincipal" in statement or not isinstance(principal, dict):
        return None
    return any(_is_for(value, call) for value in texts(principal.get("AWS", [])))


def _is_for(value: str, call: AssumeCall) -> bool:
    if value in ("*", call.user_arn):
        return True
    # IAM shows the id of a deleted user: it is nobody, even if a user of that name was created since.
    if DELETED_PRINCIPAL.fullmatch(value):
        return False
    arn, own = parse_arn(value), parse_arn(call.user_arn)
    same_partition = arn is None or (own is not None and arn.partition == own.partition)
    return same_partition and whole_account(value) == call.keys["aws:principalaccount"]


def _names_user(principal: object, call: AssumeCall) -> bool:
    return isinstance(principal, dict) and call.user_arn in texts(principal.get("AWS", []))


def _conditions(condition: object) -> Iterator[tuple[str, str, list[str]]]:
    """Yield operator, key and values. Raises ValueError for a form that is not understood."""
    if condition is None:
        return
    if not isinstance(condition, dict):
        raise ValueError("the condition is not understood")
    for operator, keys in condition.items():
        if not isinstance(keys, dict):
            raise ValueError("the condition is not understood")
        for key, value in keys.items():
            values = value if isinstance(value, list) else [value]
            yield operator, key, [str(each).lower() if isinstance(each, bool) else str(each) for each in values]


def _holds(operator: str, key: str, values: list[str], call: AssumeCall, *, variables: bool) -> Answer:
    """Return whether one condition holds; None for a key whose value is not known, or an operator that is not evaluated."""
    name, lowered = operator.lower(), key.lower()
    optional = name.endswith("ifexists")
    compare = name.removesuffix("ifexists")
    if lowered == "aws:currenttime":
        return _any(_date(compare, call.now, value) for value in values)
    if lowered not in call.keys:
        return None
    value = call.keys[lowered]
    if compare == "null":
        wanted = [each.lower() for each in values]
        return (value is None) is (wanted == ["true"]) if wanted in (["true"], ["false"]) and not optional else None
    negated = "not" in compare
    test = _COMPARISONS.get(compare.replace("not", ""))
    if test is None:
        return None
    if value is None:
        return optional or negated  # without the key a negated operator holds, and every other one does not
    found = _any(test(value, each, call, variables) for each in values)
    return None if found is None else found is not negated


def _date(compare: str, now: float, text: str) -> Answer:
    value = parse_rfc3339(text)
    if value is None:
        return None
    match compare:
        case "datelessthan":
            return now < value
        case "datelessthanequals":
            return now <= value
        case "dategreaterthan":
            return now > value
        case "dategreaterthanequals":
            return now >= value
    return None


def _equals(value: str, wanted: str, call: AssumeCall, variables: bool) -> Answer:
    expected = _filled(wanted, call) if variables else wanted
    return None if expected is None else value == expected


def _equals_ignoring_case(value: str, wanted: str, call: AssumeCall, variables: bool) -> Answer:
    return _equals(value.lower(), wanted.lower(), call, variables)


def _is_like(value: str, wanted: str, call: AssumeCall, variables: bool) -> Answer:
    return _like(value, wanted, call, variables=variables)


def _is_arn_like(value: str, wanted: str, call: AssumeCall, variables: bool) -> Answer:
    """Compare two ARNs part by part, as IAM does: no wildcard covers a colon of the first five."""
    parts, patterns = value.split(":", 5), wanted.split(":", 5)
    if len(parts) != 6 or len(patterns) != 6:
        return None
    found = (_like(part, pattern, call, variables=variables) for part, pattern in zip(parts, patterns, strict=True))
    return _all(tuple(found))


def _bool(value: str, wanted: str, call: AssumeCall, variables: bool) -> Answer:  # noqa: ARG001
    both = (value.lower(), wanted.lower())
    return both[0] == both[1] if set(both) <= {"true", "false"} else None


_COMPARISONS: Mapping[str, Callable[[str, str, AssumeCall, bool], Answer]] = {
    "stringequals": _equals,
    "stringequalsignorecase": _equals_ignoring_case,
    "stringlike": _is_like,
    "arnequals": _is_arn_like,  # as ArnLike, by the reference of IAM
    "arnlike": _is_arn_like,
    "bool": _bool,
}


def _like(value: str, pattern: str, call: AssumeCall, *, variables: bool) -> Answer:
    expected = _filled(pattern, call) if variables else pattern
    return None if expected is None else matches_pattern(value, expected)


def _filled(text: str, call: AssumeCall) -> str | None:
    """Return the text with the values of its policy variables, None where one is not known or the call does not have it."""
    values = [call.keys.get(name.lower()) for name in _VARIABLE.findall(text)]
    if None in values:
        return None
    remaining = iter(values)
    return _VARIABLE.sub(lambda _: str(next(remaining)), text)


def _all(answers: tuple[Answer, ...]) -> Answer:
    if False in answers:
        return False
    return None if None in answers else True


def _any(answers: Iterator[Answer]) -> Answer:
    found = tuple(answers)
    if True in found:
        return True
    return None if None in found else False
