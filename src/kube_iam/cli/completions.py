"""Words that a shell is offered for arguments and options: levels, users, contexts, profiles, file names.

A completion never fails and never asks: what cannot be read offers nothing. Only users cost a call to AWS.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from configparser import Error as ConfigParserError
from configparser import RawConfigParser
from pathlib import Path

import click
from click.shell_completion import CompletionItem, ShellComplete

from kube_iam.errors import KubeIamError

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

# What cobra calls ShellCompDirective: kubectl hands it on to the shell.
_FILES, _ERROR, _NO_FILES = 0, 1, 4


def complete_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Leave the word to the shell, which completes file names."""
    return [CompletionItem(incomplete, type="file")]


def _offering(words: Callable[[click.Context], Iterable[str]]) -> Complete:
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
        try:
            found = sorted({word for word in words(context) if word.startswith(incomplete)})
        except (KubeIamError, OSError, ValueError):
            return []
        return [CompletionItem(word) for word in found]

    return complete


def _option(context: click.Context, name: str) -> str:
    return str(context.params.get(name) or "")


def _levels(context: click.Context) -> list[str]:
    from kube_iam.cli import access_session
    from kube_iam.cli.access_options import FILE_VARIABLE

    file = _option(context, "file") or os.environ.get(FILE_VARIABLE) or "access.yaml"
    if file == access_session.STANDARD_INPUT:
        return []
    return [level.name for level in access_session.open_access(file).levels]


def _users(context: click.Context) -> list[str]:
    from kube_iam.cli import access_session
    from kube_iam.cli.access_options import FILE_VARIABLE

    file = _option(context, "file") or os.environ.get(FILE_VARIABLE) or "access.yaml"
    if file == access_session.STANDARD_INPUT:
        return []
    where = access_session.Where(_option(context, "profile"), _option(context, "region"))
    directory = access_session.open_directory(access_session.open_access(file), where, lambda _: None, may_ask=False)
    return [user.name for user in directory.users()]


def _contexts(context: click.Context) -> list[str]:
    from kube_iam.kube.context import kubeconfig_files
    from kube_iam.kube.files import read_text
    from kube_iam.kube.kubeconfig_merge import read_entries

    named = _option(context, "kubeconfig")
    files = [Path(named).expanduser()] if named else kubeconfig_files(os.environ)
    entries = read_entries({path: read_text(path) or "" for path in files if path.is_file()})
    return [name for section, name in entries if section == "contexts"]


def _profiles(context: click.Context) -> list[str]:  # noqa: ARG001
    """The profiles of ~/.aws/config and ~/.aws/credentials."""
    found: list[str] = []
    for variable, default in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        path = Path(os.environ.get(variable) or f"~/.aws/{default}").expanduser()
        if not path.is_file():
            continue
        parser = RawConfigParser(strict=False, allow_no_value=True)
        try:
            parser.read_string(path.read_text("utf-8-sig"))
        except ConfigParserError:
            continue
        for header in parser.sections():
            kind, _, name = header.partition(" ")
            if default == "credentials" or header == "default":
                found.append(header)
            elif kind == "profile":
                found.append(name.strip().strip("'\""))
    return found


complete_levels = _offering(_levels)
complete_users = _offering(_users)
complete_contexts = _offering(_contexts)
complete_profiles = _offering(_profiles)


def complete_users_then_levels(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer users, and behind a first word levels as well: the last word is the level."""
    levels = any(context.params.get(name) for name in ("users", "level"))
    offers = (complete_users, complete_levels) if levels else (complete_users,)
    return [item for offer in offers for item in offer(context, parameter, incomplete)]


def kubectl_lines(words: Sequence[str]) -> list[str]:
    """Return what `kubectl_complete-iam` prints for `kubectl iam WORDS`, of which the last is to be completed.

    kubectl expects a completion a line, with its description behind a tab, and cobra's directive in the end.
    https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/#add-completion-support
    """
    from kube_iam.cli.root import make_root

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
    from kube_iam.cli.terminal import guarded, page

    with guarded():
        page("\n".join(kubectl_lines(sys.argv[1:])))
    return 0
