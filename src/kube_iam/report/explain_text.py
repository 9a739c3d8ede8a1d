"""Text and data of `explain`: the answer first, then the chain step by step, and what was not checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kube_iam.access.explanation import Explanation, Status, Step, Verdict
from kube_iam.core.printable import escaped_lines
from kube_iam.report.members_text import table
from kube_iam.report.who_can_text import IGNORE_GROUP

_MAY_REFUSE = (
    "service control policies, session policies and policies of VPC endpoints, apart from what a simulation by IAM includes",
    "whether the user has an active access key or an MFA device",
    "denials of access keys",
    "what running servers have cached: reads of IAM that are late, suspended roles, user names that had another owner",
    "on EKS, access entries that are older than their role and match nobody, which `kube-iam plan` finds",
)
_MAY_ADMIT = (
    "other backends of the server, other authenticators, client certificates, and on EKS access entries and access policies",
    IGNORE_GROUP,
)
LIMITS = (*_MAY_REFUSE, *_MAY_ADMIT)
"""Facts that `explain` does not check: those that may refuse a principal who is admitted, and those that may admit one who is not."""

_TITLES = {
    "user": "IAM user",
    "method": "way to sign in",
    "group": "IAM group",
    "temporary": "temporary access",
    "policy": "IAM policy",
    "boundary": "permissions boundary",
    "role": "role",
    "trust": "trust policy",
    "mfa": "MFA",
    "simulation": "second opinion",
    "entry": "mapping entry",
    "membership": "membership",
    "deny_list": "deny list",
    "level": "level",
    "rbac": "RBAC",
}
_MARKS = {Status.OK: "ok", Status.MISSING: "MISSING", Status.UNKNOWN: "unknown", Status.NOTE: "-"}


def explanation_text(found: Explanation) -> str:
    """Return the answer, the remedy, and a line for each step, escaped."""
    lines = [_answer(found), *_remedy(found), ""]
    width = max(len(_TITLES[step.code]) for step in found.steps)
    lines += [
        f"{_TITLES[step.code].ljust(width)}  {_MARKS[step.status].ljust(7)}  {step.detail}" for step in found.steps
    ]
    return "".join(f"{line}\n" for line in escaped_lines([*lines, *_limits(found.verdict)]))


def summary_text(principal: str, found: Sequence[Explanation], verdict: Verdict) -> str:
    """Return the answer for all levels and entries together, and a line for each, escaped."""
    names = [_place(each) for each in found if each.verdict is Verdict.ADMITTED]
    head = {
        Verdict.ADMITTED: f"{principal} is admitted to {', '.join(names)}",
        Verdict.NOT_ADMITTED: f"{principal} is not admitted to any level, nor by another entry",
        Verdict.UNKNOWN: f"Whether {principal} is admitted cannot be told",
    }[verdict]
    rows = [
        (_place(each), _WORDS[each.verdict], each.username or "-", ", ".join(each.groups) or "-", _why(each))
        for each in found
    ]
    text = table(("LEVEL OR ENTRY", "ADMITTED", "AS", "GROUPS", "WHY"), rows)
    note = f"`kube-iam explain {principal} LEVEL` explains one level step by step."
    head_lines, tail = escaped_lines([head, ""]), escaped_lines(["", note, *_limits(verdict)])
    return "".join(f"{line}\n" for line in head_lines) + text + "".join(f"{line}\n" for line in tail)


_WORDS = {Verdict.ADMITTED: "yes", Verdict.NOT_ADMITTED: "no", Verdict.UNKNOWN: "unknown"}


def explanations_data(principal: str, found: Sequence[Explanation], verdict: Verdict) -> dict[str, object]:
    """Return the explanations for programs. Codes, reasons and statuses are stable, and texts are not."""
    return {
        "principal": principal,
        "admitted": _as_boolean(verdict),
        "explanations": [_data(each) for each in found],
        "notChecked": list(LIMITS),
    }


def _as_boolean(verdict: Verdict) -> bool | None:
    return {Verdict.ADMITTED: True, Verdict.NOT_ADMITTED: False}.get(verdict)


def _data(found: Explanation) -> dict[str, object]:
    cause = found.cause
    return {
        "principal": found.principal,
        "level": found.level or None,
        "entry": found.entry or None,
        "admitted": _as_boolean(found.verdict),
        "reason": cause.reason if cause is not None else None,
        "username": found.username or None,
        "groups": list(found.groups),
        "openVariables": list(found.open_variables),
        "steps": [_step(each) for each in found.steps],
    }


def _step(step: Step) -> dict[str, object]:
    return {
        "code": step.code,
        "status": step.status.value,
        "reason": step.reason or None,
        "detail": step.detail,
        "remedy": step.remedy or None,
    }


def _place(found: Explanation) -> str:
    return f"level {found.level}" if found.level else f"entry {found.entry}" if found.entry else "this cluster"


def _answer(found: Explanation) -> str:
    where = f"to {_place(found)}" if found.level or found.entry else "to this cluster"
    if found.verdict is Verdict.ADMITTED:
        mfa = " with an MFA code" if any(step.code == "mfa" for step in found.steps) else ""
        return f"{found.principal} is admitted {where}{mfa} as {found.username}, groups {', '.join(found.groups) or 'none'}"
    why = f": {found.cause.detail}" if found.cause is not None else ""
    if found.verdict is Verdict.NOT_ADMITTED:
        return f"{found.principal} is not admitted {where}{why}"
    return f"Whether {found.principal} is admitted {where} cannot be told{why}"


def _why(found: Explanation) -> str:
    if found.cause is not None:
        return f"{found.cause.reason}: {found.cause.detail}"
    by = [step.detail for step in found.steps if step.code in ("group", "temporary") and step.status is Status.OK]
    return "; ".join(by or [step.detail for step in found.steps if step.code == "entry"])


def _remedy(found: Explanation) -> Iterator[str]:
    if found.cause is not None and found.cause.remedy:
        yield f"remedy: {found.cause.remedy}"


def _limits(verdict: Verdict) -> Iterator[str]:
    """Yield what was not checked and could change this answer."""
    limits = {Verdict.ADMITTED: _MAY_REFUSE, Verdict.NOT_ADMITTED: _MAY_ADMIT}.get(verdict, LIMITS)
    yield ""
    yield "Not checked:"
    yield from (f"  {each}" for each in limits)
