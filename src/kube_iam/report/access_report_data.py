"""The access report for programs: as data for JSON, and as tables for CSV. Times are RFC 3339 in UTC."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from kube_iam.access.audit_checks import CheckResult, Finding
from kube_iam.access.desired import mapped_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.core.printable import escaped
from kube_iam.core.utc import rfc3339
from kube_iam.denylist.denial import Denial
from kube_iam.report.access_report import AccessReport, AccessRow, LevelRow
from kube_iam.report.drift_text import drift_data
from kube_iam.report.members_data import levels_data

_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""Characters with which spreadsheets begin a formula, also the full-width ones that some take for them."""
Where = Mapping[str, object]
_NOWHERE: Where = MappingProxyType({})


def report_data(report: AccessReport, where: Where = _NOWHERE) -> dict[str, object]:
    """Return the report for programs. Parts that were not read are null. `where` adds the API server and the account."""
    found = {severity.value: sum(map(_count, checks)) for severity, checks in report.by_severity().items()}
    return {
        "kind": "KubeIamAccessReport",
        "cluster": report.access.cluster_id,
        "time": rfc3339(report.now),
        "mapping": report.access.mapping.describe(),
        "accessFile": report.access.source,
        **where,
        "complete": report.is_complete,
        "notRead": {source.value: list(texts) for source, texts in report.unread.items() if texts},
        "notCovered": list(report.not_seen),
        "severities": found,
        "checks": [_check_data(check) for check in report.checks],
        "findings": [_finding_data(finding) for finding in report.findings],
        "people": None if report.rows is None else [_row_data(row) for row in report.rows],
        "levels": [_level_data(report, row) for row in report.levels],
        "temporary": None
        if report.temporary is None
        else [
            {"user": each.grant.user_name, "level": each.level or None, "until": each.grant.until}
            | {"reason": each.grant.reason, "state": each.state}
            for each in report.temporary
        ],
        "denials": None if report.denials is None else list(map(_denial_data, report.denials)),
        "drift": None if report.plan is None or report.drift is None else drift_data(report.plan, report.drift),
    }


def _count(check: CheckResult) -> int:
    return len(check.findings)


def _check_data(check: CheckResult) -> dict[str, object]:
    return {
        "code": check.check.value.code,
        "title": check.check.value.title,
        "state": check.state.value,
        "notRead": [source.value for source in check.missing],
        "findings": len(check.findings),
    }


def _finding_data(finding: Finding) -> dict[str, object]:
    return {
        "severity": finding.severity.value,
        "code": finding.check.value.code,
        "object": finding.item,
        "detail": finding.detail,
        "why": finding.check.value.why,
        "remedy": finding.remedy,
    }


def _row_data(row: AccessRow) -> dict[str, object]:
    candidate = row.candidate
    return {
        "person": candidate.person or None,
        "principal": candidate.principal,
        "level": candidate.level or None,
        "through": candidate.through,
        "role": row.role or None,
        "entry": candidate.entry.where or candidate.entry.name,
        "username": row.username or None,
        "groups": list(row.groups),
        "permissions": None if row.permissions is None else list(row.permission_texts),
        "privileges": [each.value for each in row.privileges],
        "denied": None if row.denial is None else _denial_data(row.denial),
    }


def _level_data(report: AccessReport, row: LevelRow) -> dict[str, object]:
    level = row.level
    facts: dict[str, object] = {
        "method": level.method.value,
        "groups": list(level.groups),
        "username": level.username,
        "bind": bind_texts(level),
        "role": role_of(report.access, level) or None,
        "mfa": level.mfa,
        "read": row.members is not None,
    }
    if row.members is None:
        return {"level": level.name, **facts}
    return {**levels_data((row.members,), report.now)[0], **facts}


def _denial_data(denial: Denial) -> dict[str, object]:
    return {
        "denial": denial.name,
        "of": denial.value,
        "until": None if denial.until == float("inf") else denial.end,
        "reason": denial.reason,
        "actor": denial.actor,
    }


def bind_texts(level: Level) -> list[str]:
    """Return the RBAC roles that a level binds, with their namespaces."""
    return [
        f"{each.cluster_role or each.role} {'in ' + ', '.join(each.namespaces) if each.namespaces else 'in the whole cluster'}"
        for each in level.bind
    ]


def role_of(access: ClusterAccess, level: Level) -> str:
    """Return the role or permission set of a level, empty for one without."""
    if level.method is Method.ROLE:
        return mapped_arn(access, level)
    return level.mapped_role or level.permission_set


def people_csv(report: AccessReport) -> str:
    """Return a line per person and way, for spreadsheets."""
    head = (
        "person",
        "principal",
        "level",
        "through",
        "role",
        "username",
        "groups",
        "permissions",
        "privileges",
        "denied until",
    )
    return _csv(head, map(_people_cells, report.rows or ()))


def _people_cells(row: AccessRow) -> Iterator[str]:
    candidate = row.candidate
    yield from (candidate.person, candidate.principal, candidate.level, candidate.through, row.role, row.username)
    yield "; ".join(row.groups)
    yield "not read" if row.permissions is None and not row.is_master else "; ".join(row.permission_texts)
    yield (
        "not read"
        if row.permissions is None and not row.is_master
        else "; ".join(each.value for each in row.privileges)
    )
    yield row.denial.end if row.denial else ""


def findings_csv(report: AccessReport) -> str:
    """Return a line per finding, and a line per check that did not see everything, for spreadsheets."""
    rows = [
        (each.severity.value, each.check.value.code, each.item, each.detail, each.check.value.why, each.remedy)
        for checks in report.by_severity().values()
        for check in checks
        for each in check.findings
    ]
    rows += [
        (
            each.state.value,
            each.check.value.code,
            "",
            f"not read: {', '.join(one.value for one in each.missing)}",
            "",
            "",
        )
        for each in report.not_checked()
    ]
    return _csv(("severity", "code", "object", "detail", "why", "remedy"), rows)


CSV_TABLES: Mapping[str, Callable[[AccessReport], str]] = {"people": people_csv, "findings": findings_csv}
"""The tables that CSV can hold, one at a time, by name."""


def _csv(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(list(head))
    writer.writerows([csv_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def csv_cell(text: str) -> str:
    """Return the cell for a spreadsheet: never a formula, and with everything escaped that is not visible.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return ("'" if text.startswith(_FORMULA) else "") + escaped(text)
