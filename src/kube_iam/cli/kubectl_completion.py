"""Completion for `kubectl iam …`: the program `kubectl_complete-iam`, which kubectl runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from click.shell_completion import ShellComplete

from kube_iam.cli.root import make_root
from kube_iam.cli.terminal import guarded, page
from kube_iam.errors import KubeIamError

# Values of ShellCompDirective in cobra: kubectl passes them to the shell.
_FILES, _ERROR, _NO_FILES = 0, 1, 4


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
