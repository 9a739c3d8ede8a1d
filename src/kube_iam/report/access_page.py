"""The access report as one HTML page without anything outside of it: no requests, no script but the filter.

Every value goes through `escaped` and Jinja2's autoescape. The template, the style and the script are files of this package.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from textwrap import dedent
from typing import TYPE_CHECKING

from kube_iam.access.audit_checks import CheckState, Severity
from kube_iam.access.drift import Difference
from kube_iam.access.permissions import Privilege
from kube_iam.core.printable import escaped, escaped_lines
from kube_iam.core.utc import rfc3339
from kube_iam.report.access_report import AccessReport
from kube_iam.report.access_report_data import bind_texts, role_of
from kube_iam.report.drift_text import difference_lines
from kube_iam.report.members_text import left

if TYPE_CHECKING:
    from markupsafe import Markup

HEAD = '<!doctype html>\n<html lang="en" data-report="kube-iam">'
"""The beginning of every page."""
_SYMBOLS = {Severity.CRITICAL: "▲", Severity.HIGH: "◆", Severity.MEDIUM: "■", Severity.LOW: "●"}


def access_page(report: AccessReport, facts: Mapping[str, str]) -> str:
    """Return the page. `facts` are names and values of its head, such as the API server; empty values are left out."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("kube_iam.report") / "page"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_visible, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((folder / "report.html").read_text(encoding="utf-8"))
    severities = report.by_severity()
    rows = report.rows or ()
    return template.render(
        head=Markup(HEAD),  # noqa: S704  (a constant)
        policy=_content_security_policy(style, script),
        style=_own(style),
        script=_own(script),
        report=report,
        facts={name: value for name, value in facts.items() if value},
        time=rfc3339(report.now),
        severities=severities,
        counts={severity: sum(len(each.findings) for each in checks) for severity, checks in severities.items()},
        symbols=_SYMBOLS,
        people=len({row.who for row in rows if row.candidate.person}),
        others=len({row.who for row in rows if not row.candidate.person}),
        names=sorted({row.candidate.level for row in rows} - {""}, key=str.casefold),
        unread=[(source.value, texts) for source, texts in report.unread.items() if texts],
        complete=CheckState.COMPLETE,
        bind_texts=bind_texts,
        role_of=role_of,
        privileges=[each.value for each in Privilege],
        difference=_difference,
        left=left,
    )


def _difference(each: Difference) -> tuple[str, list[str]]:
    """Return the line of a difference, and the lines of the documents that differ, without what all are indented by."""
    first, *rest = difference_lines(each)
    return first, dedent("\n".join(escaped_lines(rest))).splitlines()


def _own(text: str) -> Markup:
    """Return the text of a file of this package for the inside of <style> or <script>, which HTML does not unescape."""
    from markupsafe import Markup

    assert "</" not in text
    return Markup(text)  # noqa: S704


def _content_security_policy(style: str, script: str) -> str:
    """Return a policy that allows the page's own style and script, by their hashes, and nothing else."""
    allowed = "; ".join(f"{kind}-src {_hash(text)}" for kind, text in (("style", style), ("script", script)))
    return f"default-src 'none'; {allowed}; img-src data:; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _visible(value: object) -> object:
    """Return a value of the template with everything escaped that a reader would not see. Text of the page itself stays."""
    from markupsafe import Markup

    return escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value
