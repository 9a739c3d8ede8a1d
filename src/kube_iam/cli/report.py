"""`report`: who has access to the cluster, as one page for an auditor, or as data."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kube_iam.cli.revocation import deny_list_option
from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import aws_options, cluster_options, completing, file_option, global_options
from kube_iam.cli.terminal import note, page
from kube_iam.errors import KubeIamError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kube_iam.denylist.denial import Denial
    from kube_iam.report.access_report import AccessReport

INCOMPLETE = 3
_MODE = 0o600  # it lists people
_HEADS = (
    b'<!doctype html>\n<html lang="en" data-report="kube-iam"',
    b'{\n  "kind": "KubeIamAccessReport"',
    b"kind: KubeIamAccessReport",
    b"person,principal,level,through,",
    b"severity,code,object,detail,",
)


@click.command("report")
@global_options
@file_option
@click.option(
    "-o",
    "--output",
    type=click.Choice(["html", "json", "yaml", "csv"], case_sensitive=False),
    default="html",
    help="The format: a page for people, data for programs, or a table for spreadsheets.  [default: html]",
)
@click.option(
    "--table",
    type=click.Choice(["people", "findings"], case_sensitive=False),
    default=None,
    help="The table of -o csv.  [default: people]",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=None,
    shell_complete=completing("complete_files"),
    help="Write to this file, which only you may read.  [default: standard output]",
)
@deny_list_option
@aws_options
@cluster_options
@pass_session
def command(session: AdminSession, output: str, table: str | None, out: Path | None, deny_list: str) -> int:
    """Report who has access to the cluster, and what an auditor should look at. Changes nothing.

    The page has people with their groups, roles and permissions, levels and members, temporary access, denials, drift, and findings by
    severity with a remedy each. It opens in any browser, without a network.

    Exits with 3 where something could not be read: the report then says what.
    """
    from kube_iam.access.inventory import check_caller
    from kube_iam.access.plan import plan_apply
    from kube_iam.kube.rbac import EVERY_NAMESPACE
    from kube_iam.report.access_report import ReportReader, Sources

    if table is not None and output != "csv":
        raise UsageError("--table chooses a table of -o csv", "add -o csv")
    if out is None and output == "html" and sys.stdout.isatty():
        raise UsageError("a page of HTML is not for a terminal", "write it to a file: --out report.html")
    if out is not None:
        _check_replaceable(out)
    access, now = session.access, time.time()
    session.warn_of_regions()
    check_caller(access, session.iam)
    sources = Sources(
        session.iam,
        lambda: session.mapping_store,
        lambda: session.rbac.read(EVERY_NAMESPACE),
        lambda: plan_apply(access, session.ports, now=now, dry_run=False),
        lambda: _denials(session, deny_list),
    )
    report = ReportReader(access, sources, now).read()
    text = _text(session, report, output, table or "people")
    if out is None:
        page(text)
    else:
        _write(out, text)
    note(_result(report, out))
    return 0 if report.is_complete else INCOMPLETE


def _denials(session: AdminSession, name: str) -> Sequence[Denial]:
    session.check_server()
    return session.deny_list(name).denials()


def _text(session: AdminSession, report: AccessReport, output: str, table: str) -> str:
    from kube_iam.cli.version import installed_version
    from kube_iam.core.utc import rfc3339
    from kube_iam.report.access_page import access_page
    from kube_iam.report.access_report_data import CSV_TABLES, report_data
    from kube_iam.report.data import as_json, as_yaml

    if output == "csv":
        return CSV_TABLES[table](report)
    place = session.destination
    if output != "html":
        data = report_data(report, place.as_data())
        return as_json(data) if output == "json" else as_yaml(data)
    facts = {
        "Time": rfc3339(report.now).replace("T", " ").replace("Z", " UTC"),
        "AWS account": place.account,
        "API server": place.api_server,
        "kubeconfig context": place.context,
        "Mapping": report.access.mapping.describe(),
        "Access file": report.access.source,
        "Made by": f"kube-iam {installed_version()}",
    }
    return access_page(report, facts)


def _check_replaceable(path: Path) -> None:
    """Raise UsageError if there is anything at the path but an earlier report."""
    from kube_iam.config.regular_file import read_regular_file

    try:
        present = read_regular_file(path, max(map(len, _HEADS)))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path} cannot be replaced: {error.strerror or error}", "name another file") from error
    if not present.startswith(_HEADS):
        raise UsageError(f"{path} exists and is no report of kube-iam", "name another file")


def _write(path: Path, text: str) -> None:
    from kube_iam.files import write_file

    try:
        write_file(path, text.encode(), _MODE)
    except OSError as error:
        raise KubeIamError(f"cannot write {path}: {error.strerror or error}") from error


def _result(report: AccessReport, out: Path | None) -> str:
    """Return the line for people: where the report is, the number of findings, and whether it is complete."""
    counts = {severity: sum(len(each.findings) for each in checks) for severity, checks in report.by_severity().items()}
    found = ", ".join(f"{count} {severity.value}" for severity, count in counts.items() if count)
    where = f"wrote {out}: " if out is not None else ""
    if report.is_complete:
        return f"{where}findings: {found or 'none'}"
    unread = ", ".join(source.value for source, texts in report.unread.items() if texts)
    return f"{where}findings in what was read: {found or 'none'}; incomplete, not read: {unread} (the report says what)"
