"""A plan as people read it: one block per change in the order in which it will happen, then what deserves a look, then counts."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping

from kube_iam.access.changes import Change, Field, Plan, Verb
from kube_iam.core.printable import escaped

MARKS = {Verb.CREATE: "+", Verb.UPDATE: "~", Verb.ADOPT: "^", Verb.DELETE: "-"}
COLOURS = {Verb.CREATE: "green", Verb.UPDATE: "yellow", Verb.ADOPT: "cyan", Verb.DELETE: "red"}
_EMPTY: tuple[object, ...] = (None, "", (), [], {})
DOCUMENTS = frozenset({"document", "trust"})

Paint = Callable[[str, str], str]
"""Colours a text: (text, colour name) -> text."""


def plain(text: str, colour: str) -> str:  # noqa: ARG001
    """No colour."""
    return text


def plan_text(plan: Plan, paint: Paint = plain) -> str:
    """The plan as text, ending in a newline."""
    if not plan.changes:
        lines = [escaped(f"Nothing to change: {plan.cluster} is as the file says.")]
    else:
        lines = [escaped(f"Cluster {plan.cluster}, AWS account {plan.account}, mapping in {plan.target}"), ""]
        for change in plan.changes:
            lines += _change(change, paint)
        lines += ["", counts(plan)]
    lines += [paint(escaped(f"warning: {warning}"), "yellow") for warning in plan.warnings]
    lines += [paint(escaped(f"left alone: {found}"), "yellow") for found in plan.left_alone]
    lines += [paint(escaped(f"needs --force: {guard}"), "red") for guard in plan.guards]
    lines += [paint(escaped(f"would fail: {failure}"), "red") for failure in plan.failures]
    return "\n".join(lines) + "\n"


def counts(plan: Plan) -> str:
    """`Plan: 6 to create, 1 to update, 2 to delete.` Adoptions are counted where there are any."""
    parts = [f"{plan.count(verb)} to {verb.value}" for verb in Verb if verb is not Verb.ADOPT or plan.count(verb)]
    return f"Plan: {', '.join(parts)}."


def headline(change: Change) -> str:
    """The change in one line: `+ role prod-admin (admin)`."""
    level = f" ({change.level})" if change.level else ""
    return escaped(f"{MARKS[change.verb]} {change.kind.value} {change.name}{level}")


def _change(change: Change, paint: Paint) -> Iterator[str]:
    yield paint(headline(change), COLOURS[change.verb])
    for part in change.fields if change.verb is not Verb.DELETE else ():
        if part.before is None and part.after in _EMPTY:
            continue
        yield from (escaped(line) for line in _field(part))


def _field(part: Field) -> Iterator[str]:
    if part.name in DOCUMENTS and part.before is not None:
        yield f"    {part.name}:"
        before, after = (
            json.dumps(value, indent=2, sort_keys=True).splitlines() for value in (part.before, part.after)
        )
        changed = difflib.unified_diff(before, after, lineterm="", n=1)
        yield from (f"      {line}" for line in changed if not line.startswith(("---", "+++", "@@")))
    elif part.name in DOCUMENTS:
        yield from (f"    {sentence}" for sentence in document_sentences(part.after))
    elif part.before is None:
        yield f"    {part.name}: {shown(part.after)}"
    else:
        yield f"    {part.name}: {shown(part.before)} -> {shown(part.after)}"


def document_sentences(document: object) -> Iterator[str]:
    """An IAM document in a line per statement: `allows sts:AssumeRole by arn:… when sts:RoleSessionName = ${aws:username}`."""
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
    """A field's value in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={shown(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or "none"
    return "none" if value is None or value == "" else str(value)
