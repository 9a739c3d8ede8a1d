"""`validate`: check an access file. It calls neither AWS nor the cluster."""

from __future__ import annotations

from collections.abc import Sequence

import click

from kube_iam.access.levels import ClusterAccess
from kube_iam.cli.session import read_access
from kube_iam.cli.shared_options import file_option, global_options, output_option
from kube_iam.errors import ConfigError, Problem


@click.command("validate")
@global_options
@file_option
@output_option
def command(file: str, output: str) -> int:
    """Check an access file, and report all its problems at once."""
    from kube_iam.access.plan import access_warnings
    from kube_iam.aws.regions import doubt_about
    from kube_iam.cli.access_output import print_data

    try:
        access = read_access(file)
    except ConfigError as error:
        if output == "table":
            raise
        print_data(_data(error.path, None, error.problems), output)
        return error.exit_code
    warnings = [*access_warnings(access), *filter(None, [doubt_about(access.region, access.place("region"))])]
    if output != "table":
        print_data(_data(access.source, access, (), warnings), output)
        return 0
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    levels = ", ".join(level.name for level in access.levels)
    click.echo(f"{access.source} is valid: cluster {access.cluster_id}, levels {levels}")
    return 0


def _data(
    source: str, access: ClusterAccess | None, problems: Sequence[Problem], warnings: Sequence[str] = ()
) -> dict[str, object]:
    return {
        "file": source,
        "valid": access is not None,
        "cluster": access.cluster_id if access is not None else None,
        "levels": [level.name for level in access.levels] if access is not None else [],
        "problems": [
            {
                "file": each.file or source,
                "line": each.line,
                "key": each.key,
                "message": each.message,
                "hint": each.hint,
            }
            for each in problems
        ],
        "warnings": list(warnings),
    }
