"""Drift as text for people and as data: a line for each thing that is not as the file says, in the words of the plan."""

from __future__ import annotations

from collections.abc import Iterator

from kube_iam.access.changes import Field, Plan
from kube_iam.access.drift import Difference, State
from kube_iam.core.printable import escaped_lines
from kube_iam.report.plan_text import DOCUMENTS, document_diff, shown

_DUPLICATE = "duplicate."


def drift_text(plan: Plan, found: tuple[Difference, ...], *, place: str = "") -> str:
    """Return the differences of the plan and its warnings, as escaped lines. `place` names the API server, empty without one."""
    return "".join(f"{line}\n" for line in escaped_lines(list(_lines(plan, found, f" at {place}" if place else ""))))


def drift_data(plan: Plan, found: tuple[Difference, ...]) -> dict[str, object]:
    """Return the same for programs."""
    return {
        "cluster": plan.cluster,
        "mapping": plan.target,
        "drift": bool(found),
        "differences": [each.as_data() for each in found],
        "warnings": list(plan.warnings),
        "needsForce": list(plan.guards),
        "wouldFail": list(plan.failures),
    }


def _lines(plan: Plan, found: tuple[Difference, ...], place: str) -> Iterator[str]:
    cluster = f"cluster {plan.cluster}{place}, AWS account {plan.account}"
    if found:
        plural = "differences" if len(found) > 1 else "difference"
        yield f"Drift: {cluster}, mapping in {plan.target}: {len(found)} {plural} from the file"
        for each in found:
            yield from difference_lines(each)
    elif plan.failures:
        yield f"No drift that apply could end: {cluster}, is not as the file says, and apply would fail."
    else:
        yield f"No drift: {cluster}, is as the file says."
    yield from (f"warning: {each}" for each in plan.warnings)
    yield from (f"apply needs --force: {each}" for each in plan.guards)
    yield from (f"apply would fail: {each}" for each in plan.failures)


def difference_lines(each: Difference) -> Iterator[str]:
    """Yield a line for the difference, and those of the documents that differ. They are not escaped."""
    level = f" ({each.level})" if each.level else ""
    thing = f"{each.kind.value} {each.name}{level}"
    documents = [part for part in each.fields if part.name in DOCUMENTS] if each.state is State.DIFFERENT else []
    yield f"{thing}: {_sentence(each)}"
    for part in documents:
        yield f"    {part.name}, - is there, + is in the file:"
        yield from (f"      {line}" for line in document_diff(part.before, part.after))


def _sentence(each: Difference) -> str:
    if each.state is State.MISSING:
        return "missing"
    if each.state is State.EXTRA:
        return "not in the file"
    if each.state is State.EXPIRED:
        until = next((part.before for part in each.fields if part.name == "until"), None)
        return f"ended at {shown(until)}, and was not removed"
    return "; ".join(map(_field, each.fields)) or "apply makes it anew"


def _field(part: Field) -> str:
    if part.name in DOCUMENTS:
        return f"{part.name} is not the file's"
    if part.name.startswith(_DUPLICATE):
        return f"duplicate at {part.name.removeprefix(_DUPLICATE)} ({shown(part.before)})"
    if part.name == "notation":
        return f"notation: {shown(part.before)}"
    return f"{part.name} {shown(part.before)}, file says {shown(part.after)}"
