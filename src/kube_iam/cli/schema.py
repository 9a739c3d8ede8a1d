"""`schema`: the JSON Schema of access.yaml, for editors."""

from __future__ import annotations

import click

from kube_iam.cli.shared_options import global_options
from kube_iam.cli.terminal import page


@click.command("schema")
@global_options
def command() -> int:
    """Print the JSON Schema of the access file, for editors."""
    from kube_iam.config.schema import ACCESS_SCHEMA
    from kube_iam.report.data import as_json

    page(as_json(ACCESS_SCHEMA))
    return 0
