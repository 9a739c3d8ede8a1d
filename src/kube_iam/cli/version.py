"""`version`: in the reference's format, which scripts parse."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version

import click

from kube_iam.cli.shared_options import global_options
from kube_iam.cli.terminal import page


@click.command("version")
@global_options
@click.option(
    *("-s", "--short"),
    type=click.BOOL,
    is_flag=False,
    flag_value="true",
    default=False,
    help="Print the version number alone.",
)
@click.option(
    "-o", "--output", type=click.Choice(["json", "yaml"]), default="json", show_default=True, help="The format."
)
def command(short: bool, output: str) -> None:
    """Print the version."""
    number = installed_version()
    if short:
        click.echo(number)
    elif output == "yaml":
        # The reference's keys differ from JSON's in YAML, and stand there without a value too.
        page(f'version: {number}\ncommit: ""\ndate: ""')
    else:
        click.echo(json.dumps({"Version": number}))


def installed_version() -> str:
    """Return the version of the installed distribution, `unknown` in a bare source tree."""
    try:
        return version("kube-iam")
    except PackageNotFoundError:
        return "unknown"
