"""The results of checks as text for people and as data for programs. Values from outside are escaped here."""

from __future__ import annotations

from collections.abc import Sequence

from kube_iam.core.printable import escaped
from kube_iam.doctor.outcomes import Failed, Passed, Result, first_failure

_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


def results_text(results: Sequence[Result]) -> str:
    """Return the first failure with its remedy, an empty line, and one line for each check."""
    lines = []
    failure = first_failure(results)
    if failure is not None:
        lines += [f"{failure.cause.code}: {failure.detail}", f"remedy: {failure.advice}", ""]
    width = max(len(result.title) for result in results)
    digits = max(len(str(result.step)) for result in results)
    for result in results:
        mark = _MARKS[_status(result)]
        lines.append(
            f"{result.step:>{digits}}  {result.title.ljust(width)}  {mark.ljust(7)}  {_detail(result)}".rstrip()
        )
    return "\n".join(escaped(line) for line in lines)


def results_data(results: Sequence[Result]) -> dict[str, object]:
    """Return the same for programs. `code` and `cause` are stable; texts may change."""
    failure = first_failure(results)
    return {
        "passed": failure is None,
        "cause": failure.cause.code if failure is not None else None,
        "checks": [_data(result) for result in results],
    }


def _data(result: Result) -> dict[str, object]:
    found: dict[str, object] = {
        "code": result.code,
        "step": result.step,
        "title": result.title,
        "status": _status(result),
        "detail": _detail(result, with_code=False),
    }
    if isinstance(result.outcome, Failed):
        found |= {"cause": result.outcome.cause.code, "remedy": result.outcome.advice}
    return found


def _status(result: Result) -> str:
    return type(result.outcome).__name__.lower()


def _detail(result: Result, *, with_code: bool = True) -> str:
    match result.outcome:
        case Passed(detail):
            return detail
        case Failed(cause, detail):
            return f"{cause.code}: {detail}" if with_code else detail
        case skipped:
            return skipped.reason
