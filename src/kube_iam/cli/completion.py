"""`completion`, which prints click's script for a shell, and `kubectl_complete-iam`, which kubectl runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from click.shell_completion import ShellComplete, get_completion_class

from kube_iam.cli.root import completion_variable, make_root
from kube_iam.cli.shared_options import global_options
from kube_iam.cli.terminal import guarded, page
from kube_iam.errors import KubeIamError

# Values of ShellCompDirective in cobra: kubectl passes them to the shell.
_FILES, _ERROR, _NO_FILES = 0, 1, 4

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
    """Return the file that a shell starts for a program's name: kubectl-iam for `kubectl iam`."""
    return program.replace(" ", "-")


def kubectl_lines(words: Sequence[str]) -> list[str]:
    """Return what `kubectl_complete-iam` prints for `kubectl iam WORDS`, of which the last is to be completed.

    kubectl expects a completion a line, with its description behind a tab, and cobra's directive in the end.
    https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/#add-completion-support
    """
    *before, incomplete = words or [""]
    try:
        found = ShellComplete(make_root("kubectl iam"), {}, "kubectl-iam", "").get_completions(before, incomplete)
    except (KubeIamError, click.ClickException):
        return [f":{_ERROR}"]
    plain = [item for item in found if item.type == "plain"]
    lines = [f"{item.value}\t{item.help}" if item.help else str(item.value) for item in plain]
    return [*lines, f":{_NO_FILES if len(plain) == len(found) else _FILES}"]


def complete_for_kubectl() -> int:
    """Complete for kubectl; the program `kubectl_complete-iam` runs this."""
    with guarded():
        page("\n".join(kubectl_lines(sys.argv[1:])))
    return 0
