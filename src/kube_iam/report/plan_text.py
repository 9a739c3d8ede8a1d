"""A plan as text for people: one block a change, in the order in which they will be made, then counts, warnings and refusals."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from kube_iam.access.changes import Change, Field, Kind, Plan, Verb
from kube_iam.core.printable import escaped_lines

SYMBOLS = {Verb.CREATE: "+", Verb.UPDATE: "~", Verb.ADOPT: "^", Verb.DELETE: "-"}
COLOURS = {Verb.CREATE: "green", Verb.UPDATE: "yellow", Verb.ADOPT: "cyan", Verb.DELETE: "red"}
_EMPTY: tuple[object, ...] = (None, "", (), [], {})
_IN_HEADLINE = ("userName", "iamGroup")
DOCUMENTS = frozenset({"document", "trust"})

Marks = Mapping[str, tuple[str, str]]
"""Text before and after a coloured line, by the name of the colour."""
_NO_MARKS = ("", "")
_Line = tuple[str, str]  # text with values as they are, and the name of its colour, empty for none


def plan_text(plan: Plan, marks: Marks = MappingProxyType({}), *, place: str = "") -> str:
    """Return the plan as text that ends in a newline. Values are escaped; lines with a colour stand between its `marks`.

    `place` names the API server, empty for a plan without one.
    """
    lines = list(_lines(plan, f" at {place}" if place else ""))
    shown = escaped_lines([text for text, _ in lines])
    around = (marks.get(colour, _NO_MARKS) for _, colour in lines)
    return "".join(f"{before}{text}{after}\n" for text, (before, after) in zip(shown, around, strict=True))


def _lines(plan: Plan, place: str) -> Iterator[_Line]:
    if plan.changes:
        yield f"Cluster {plan.cluster}{place}, AWS account {plan.account}, mapping in {plan.target}", ""
        yield "", ""
        for change in plan.changes:
            yield _headline(change), COLOURS[change.verb]
            yield from ((line, "") for line in _fields(change))
        yield "", ""
        yield counts(plan), ""
    else:
        state = "is not as the file says, and apply would fail" if plan.failures else "is as the file says"
        yield f"Nothing to change: cluster {plan.cluster}{place}, AWS account {plan.account}, {state}.", ""
    yield from ((f"warning: {each}", "yellow") for each in plan.warnings)
    yield from ((f"left alone: {each}", "yellow") for each in plan.left_alone)
    yield from ((f"needs --force: {each}", "red") for each in plan.guards)
    yield from ((f"would fail: {each}", "red") for each in plan.failures)


def counts(plan: Plan) -> str:
    """Return `Plan: 6 to create, 1 to update, 2 to delete.` Adoptions are counted if there are any."""
    verbs = [change.verb for change in plan.changes]
    parts = [f"{verbs.count(verb)} to {verb.value}" for verb in Verb if verb is not Verb.ADOPT or verb in verbs]
    return f"Plan: {', '.join(parts)}."


def headlines(plan: Plan) -> list[str]:
    """Return each change in one line, escaped: `+ role prod-admin (admin)`."""
    return escaped_lines([_headline(change) for change in plan.changes])


def _headline(change: Change) -> str:
    level = f" ({change.level})" if change.level else ""
    return f"{SYMBOLS[change.verb]} {change.kind.value} {change.name}{level}"


def _fields(change: Change) -> Iterator[str]:
    for part in change.fields if change.verb is not Verb.DELETE else ():
        if change.kind is Kind.MEMBER and part.name in _IN_HEADLINE:
            continue
        if part.before is not None or part.after not in _EMPTY:
            yield from _field(part)


def _field(part: Field) -> Iterator[str]:
    if part.name in DOCUMENTS and part.before is not None:
        yield f"    {part.name}:"
        yield from (f"      {line}" for line in document_diff(part.before, part.after))
    elif part.name in DOCUMENTS:
        yield from (f"    {sentence}" for sentence in document_sentences(part.after))
    elif part.before is None:
        yield f"    {part.name}: {shown(part.after)}"
    else:
        yield f"    {part.name}: {shown(part.before)} -> {shown(part.after)}"


def document_diff(before: object, after: object) -> Iterator[str]:
    """Yield the lines of a unified diff of two IAM documents, without its headings."""
    old, new = (json.dumps(value, indent=2, sort_keys=True).splitlines() for value in (before, after))
    changed = difflib.unified_diff(old, new, lineterm="", n=1)
    yield from (line for line in changed if not line.startswith(("---", "+++", "@@")))


def document_sentences(document: object) -> Iterator[str]:
    """Yield a line per statement of an IAM document: `allows sts:AssumeRole by arn:… when sts:RoleSessionName = ${aws:username}`."""
    statements = document.get("Statement") if isinstance(document, dict) else None
    for statement in statements if isinstance(statements, list) else []:
        principal, resource = statement.get("Principal"), statement.get("Resource")
        who = f" by {shown(principal)}" if principal else ""
        where = f" on {shown(resource)}" if resource else ""
        verb = "allows" if statement.get("Effect") == "Allow" else "denies"
        yield f"{verb} {shown(statement.get('Action'))}{who}{where}{_conditions(statement)}"


def _conditions(statement: Mapping[str, object]) -> str:
    conditions = statement.get("Condition")
    found = [
        f"{key} {'=' if operator in ('StringEquals', 'Bool') else operator} {shown(value)}"
        for operator, pairs in (conditions.items() if isinstance(conditions, dict) else ())
        for key, value in pairs.items()
    ]
    return f" when {' and '.join(found)}" if found else ""


def shown(value: object) -> str:
    """Return the value of a field in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={shown(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or "none"
    return "none" if value is None or value == "" else str(value)
