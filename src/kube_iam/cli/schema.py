"""`schema`: the JSON Schema of access.yaml, for editors."""

from __future__ import annotations

import click

from kube_iam.cli.options import global_options


@click.command("schema")
@global_options
def command() -> int:
    """Print the JSON Schema of the access file, for editors."""
    from kube_iam.config.schema import ACCESS_SCHEMA
    from kube_iam.report.data import as_json

    click.echo(as_json(ACCESS_SCHEMA), nl=False)
    return 0
