"""Words that a shell is offered for arguments and options: levels, users, contexts, profiles, file names.

A completion never fails and never asks: what cannot be read offers nothing. Only users cost a call to AWS.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from configparser import Error as ConfigParserError
from configparser import RawConfigParser
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from kube_iam.errors import KubeIamError

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

FILE_VARIABLE = "KUBE_IAM_ACCESS"
"""The environment variable that names the access file where `-f` does not."""


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

    file = _option(context, "file") or os.environ.get(FILE_VARIABLE) or "access.yaml"
    if file == access_session.STANDARD_INPUT:
        return []
    return [level.name for level in access_session.open_access(file).levels]


def _users(context: click.Context) -> list[str]:
    from kube_iam.cli import access_session

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
