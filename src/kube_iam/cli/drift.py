"""`drift`: the plan as a check, for CI, cron and monitoring."""

from __future__ import annotations

import time
from pathlib import Path

import click

from kube_iam.cli.plan import CHANGES
from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import (
    aws_options,
    cluster_options,
    completing,
    file_option,
    global_options,
    output_option,
)
from kube_iam.cli.terminal import page


@click.command("drift")
@global_options
@file_option
@click.option(
    "--textfile",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=None,
    shell_complete=completing("complete_files"),
    help="Write the numbers for node_exporter's textfile collector, which reads files named *.prom.",
)
@output_option
@aws_options
@cluster_options
@pass_session
def command(session: AdminSession, textfile: Path | None, output: str) -> int:
    """Check that IAM, the cluster and the mapping are as the access file says. Asks nothing and changes nothing.

    Exits with 0 without drift, with 2 if there is drift, and with 1 after an error, or where nothing differs but what apply could not
    carry out. It computes the plan of `apply`, makes no dry run, and needs rights to read alone.
    """
    from kube_iam.access.drift import differences
    from kube_iam.access.plan import plan_apply
    from kube_iam.cli.access_output import print_data
    from kube_iam.cli.apply import refuse_failing
    from kube_iam.cli.drift_textfile import check_replaceable, drift_metrics, write_textfile
    from kube_iam.report.drift_text import drift_data, drift_text

    if textfile is not None:
        check_replaceable(textfile)
    access, now = session.access, time.time()
    session.warn_of_regions()
    plan = plan_apply(access, session.ports, now=now, dry_run=False)
    found = differences(plan.changes)
    is_known = bool(found) or not plan.failures  # else it ends with an error, after which the textfile stays as it was
    if textfile is not None and is_known:
        levels = (level.name for level in access.levels)
        write_textfile(textfile, drift_metrics(plan.cluster, levels, found, now))
    if output == "table":
        page(drift_text(plan, found, place=session.destination.place))
    else:
        print_data({**drift_data(plan, found), **session.destination.as_data()}, output)
    if not is_known:
        refuse_failing(plan)
    return CHANGES if found else 0
