"""The `Condition` block of an IAM policy statement.

Every answer is True, False or None. None means that the condition cannot be decided: an unknown operator, a malformed value, or a
negated comparison with a variable without a value. An Allow then does not apply, a Deny does.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

from kube_iam.core.letter_case import ascii_lower
from kube_iam.sandbox.iam_policy.values import (
    Answer,
    Context,
    boolean,
    expand,
    in_network,
    matches,
    moment,
    number,
    same_boolean,
    same_letters,
)

Compare = Callable[[str, str], Answer]


def conditions_hold(block: object, context: Context, *, variables: bool) -> Answer:
    """Return whether every condition holds. Policy variables (`${…}`) are replaced only with `variables`."""
    if not isinstance(block, dict):
        return None
    answers: list[Answer] = []
    if _repeats(block):
        return None
    for operator, keys in block.items():
        if not isinstance(keys, dict) or _repeats(keys):
            return None
        for key, expected in keys.items():
            actual = context.get(ascii_lower(key))
            answers.append(_condition(ascii_lower(operator), actual, _strings(expected), context, variables))
    return all_of(answers)


def _repeats(block: dict[object, object]) -> bool:
    """Return whether a key is not a text or appears twice. Operators and condition keys are compared without regard to case."""
    names = [ascii_lower(name) for name in block if isinstance(name, str)]
    return len(set(names)) != len(block)


def all_of(answers: list[Answer]) -> Answer:
    """Return False where any answer is False, else None where any is None, else True."""
    if False in answers:
        return False
    return None if None in answers else True


def any_of(answers: list[Answer]) -> Answer:
    """Return True where any answer is True, else None where any is None, else False."""
    if True in answers:
        return True
    return None if None in answers else False


def _not(answer: Answer) -> Answer:
    return None if answer is None else not answer


def _strings(expected: object) -> list[str] | None:
    values = expected if isinstance(expected, list) else [expected]
    texts: list[str] = []
    for value in values:
        if isinstance(value, bool):
            texts.append("true" if value else "false")
        elif isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
            texts.append(str(value))
        else:
            return None
    return texts or None


def _condition(
    operator: str, actual: str | tuple[str, ...] | None, expected: list[str] | None, context: Context, variables: bool
) -> Answer:
    if expected is None:
        return None
    present = actual is not None and actual != ()
    if operator == "null":
        wanted = boolean(expected[0]) if len(expected) == 1 else None
        return None if wanted is None else present is not wanted
    if_exists = operator.endswith("ifexists")
    operator = operator.removesuffix("ifexists")
    quantifier, colon, base = operator.rpartition(":")
    if colon and quantifier not in ("forallvalues", "foranyvalue"):
        return None
    negated = base in _NEGATED
    compare = _OPERATORS.get(_NEGATED.get(base, base))
    if compare is None:
        return None
    if not present:
        return if_exists or quantifier == "forallvalues" or (negated and quantifier != "foranyvalue")
    values = actual if isinstance(actual, tuple) else (actual or "",)
    each = [_one(base, compare, value, expected, context, variables, negated) for value in values]
    if quantifier:
        return all_of(each) if quantifier == "forallvalues" else any_of(each)
    return each[0] if len(each) == 1 else None


def _one(
    base: str, compare: Compare, value: str, expected: list[str], context: Context, variables: bool, negated: bool
) -> Answer:
    """Return whether a value of the request matches any value of the policy; for a negated operator, whether it matches none."""
    answers: list[Answer] = []
    for text in expected:
        if not base.startswith(("string", "arn")):
            answers.append(compare(value, text))
            continue
        wild = "like" in base or base.startswith("arn")
        pattern = expand(text, context, wild=wild) if variables else _plain(text, wild)
        answers.append(compare(value, pattern) if pattern is not None else (None if negated else False))
    return _not(any_of(answers)) if negated else any_of(answers)


def _plain(text: str, wild: bool) -> str | None:
    """Return the pattern of a value in a policy version without variables."""
    return expand(text.replace("$", "${$}"), {}, wild=wild)


def _string(value: str, pattern: str) -> Answer:
    return matches(pattern, value)


def _arn(value: str, pattern: str) -> Answer:
    """Compare ARNs part by part: a wildcard does not match a colon, except in the resource, the sixth part."""
    ours, theirs = value.split(":", 5), pattern.split(":", 5)
    if len(theirs) != 6:
        return pattern.strip("\0") == "" and pattern != ""
    return len(ours) == 6 and all(matches(part, own) for part, own in zip(theirs, ours, strict=True))


def _ordered(parse: Callable[[str], Decimal | None], compare: Callable[[Decimal, Decimal], bool]) -> Compare:
    def answer(value: str, expected: str) -> Answer:
        ours, theirs = parse(value), parse(expected)
        return None if ours is None or theirs is None else compare(ours, theirs)

    return answer


_ORDERS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "equals": lambda ours, theirs: ours == theirs,
    "lessthan": lambda ours, theirs: ours < theirs,
    "lessthanequals": lambda ours, theirs: ours <= theirs,
    "greaterthan": lambda ours, theirs: ours > theirs,
    "greaterthanequals": lambda ours, theirs: ours >= theirs,
}
_OPERATORS: dict[str, Compare] = {
    "stringequals": _string,
    "stringequalsignorecase": same_letters,
    "stringlike": _string,
    "arnequals": _arn,
    "arnlike": _arn,
    "bool": same_boolean,
    "ipaddress": in_network,
    **{f"numeric{name}": _ordered(number, order) for name, order in _ORDERS.items()},
    **{f"date{name}": _ordered(moment, order) for name, order in _ORDERS.items()},
}
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
    "notipaddress": "ipaddress",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
}
