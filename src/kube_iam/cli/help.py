"""`help`: the same as `--help`, as the reference has it."""

from __future__ import annotations

import click

from kube_iam.cli.shared_options import global_options
from kube_iam.cli.terminal import page


@click.command("help")
@global_options
@click.argument("words", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def command(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command, or of all."""
    shown = context.parent
    assert shown is not None
    for word in words:
        if not isinstance(shown.command, click.Group):
            break
        name, found, _ = shown.command.resolve_command(shown, [word])
        assert found is not None
        shown = click.Context(found, info_name=name, parent=shown)
    page(shown.get_help())
