"""`kube-iam completion bash|zsh|fish`: click's completion script, for the name under which we were started."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from kube_iam.cli.options import global_options
from kube_iam.cli.root import completion_variable
from kube_iam.cli.terminal import page

EPILOG = """\b
Examples:
  source <(kube-iam completion bash)
  kube-iam completion zsh > "${fpath[1]}/_kube-iam"
  kube-iam completion fish > ~/.config/fish/completions/kube-iam.fish
"""


@click.command("completion", epilog=EPILOG)
@global_options
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--name", help="The command to complete.  [default: the one that was run]")
@click.pass_context
def command(context: click.Context, shell: str, name: str | None) -> None:
    """Print the completion script of a shell."""
    root = context.find_root()
    name = name or executable_name(root.info_name or "kube-iam")
    shell_class = get_completion_class(shell)
    assert shell_class is not None
    page(shell_class(root.command, {}, name, completion_variable(name)).source())


def executable_name(program: str) -> str:
    """The file that a shell starts for a program's name: `kubectl iam` is kubectl-iam."""
    return program.replace(" ", "-")
