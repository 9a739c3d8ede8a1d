"""Completions of arguments and options: levels, users, denials, contexts, profiles, file names.

A completion never fails, asks or writes to the terminal: a source that cannot be read offers nothing. Users cost a call of AWS,
denials one of the cluster; both calls are abandoned after `CALL_SECONDS`.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from configparser import Error as ConfigParserError
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from kube_iam.cli.shared_options import FILE_VARIABLE
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from kube_iam.cli.session import AdminSession

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Words = Callable[[click.Context], Iterable[str]]

CALL_SECONDS = 2.0
"""Seconds after which a completion that calls AWS or the cluster offers nothing."""


def complete_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Leave the word to the shell, which completes file names."""
    return [CompletionItem(incomplete, type="file")]


def complete_mapping_sources(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the places of a mapping, and file names."""
    from kube_iam.cli.import_mapping import SOURCES

    words = [CompletionItem(word) for word in SOURCES if word.startswith(incomplete)]
    return [*words, *complete_files(context, parameter, incomplete)]


def _offering(words: Words) -> Complete:
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
        try:
            found = sorted({word for word in words(context) if word.startswith(incomplete)})
        except (KubeIamError, OSError, ValueError):
            return []
        return [CompletionItem(word) for word in found]

    return complete


def _bounded(words: Words) -> Words:
    """Return the same words out of a thread that is abandoned after `CALL_SECONDS`. Any error in it offers nothing."""

    def bounded(context: click.Context) -> list[str]:
        answers: queue.Queue[list[str]] = queue.Queue(1)

        def ask() -> None:
            try:
                answers.put(list(words(context)))
            except BaseException:  # a completion prints no error
                answers.put([])

        with _without_terminal():
            threading.Thread(target=ask, daemon=True).start()
            try:
                return answers.get(timeout=CALL_SECONDS)
            except queue.Empty:
                return []

    return bounded


@contextmanager
def _without_terminal() -> Iterator[None]:
    """Give exec plugins and credential tools that start inside /dev/null as stdin and stderr."""
    saved: list[tuple[int, int]] = []
    null = os.open(os.devnull, os.O_RDWR)
    try:
        for number in (0, 2):
            try:
                saved.append((number, os.dup(number)))
            except OSError:  # it is closed
                continue
            os.dup2(null, number)
        yield
    finally:
        for number, copy in saved:
            os.dup2(copy, number)
            os.close(copy)
        os.close(null)


def _option(context: click.Context, name: str) -> str:
    return str(context.params.get(name) or "")


def _session(context: click.Context) -> AdminSession | None:
    """Return the session of the words so far; None where the access file is standard input, which here is the terminal."""
    from kube_iam.cli.session import STANDARD_INPUT, session_of

    values = {**context.params, "file": _file(context)}
    return session_of(context, values) if values["file"] != STANDARD_INPUT else None


def _file(context: click.Context) -> str:
    return _option(context, "file") or os.environ.get(FILE_VARIABLE) or "access.yaml"


def _levels(context: click.Context) -> list[str]:
    session = _session(context)
    return [level.name for level in session.access.levels] if session is not None else []


def _users(context: click.Context) -> list[str]:
    session = _session(context)
    return [user.name for user in session.iam_without_prompts.users()] if session is not None else []


def _denials(context: click.Context) -> list[str]:
    """Return the principals and the names of the denials in force in the cluster of the context."""
    from kube_iam.cli.session import DENY_LIST, session_of

    session = session_of(context, dict(context.params))
    denials = session.deny_list(_option(context, "deny_list") or DENY_LIST).denials()
    now = time.time()
    return [name for denial in denials if denial.until > now for name in (denial.value, denial.name)]


def _cached_levels(context: click.Context) -> Iterable[str]:
    """Return the levels of the access file with a role, and the users and contexts of the kubeconfig that sign in with one."""
    from kube_iam.cli.logout import roles_by_name
    from kube_iam.cli.session import STANDARD_INPUT

    file = _file(context)
    return roles_by_name("" if file == STANDARD_INPUT else file, os.environ)


def _contexts(context: click.Context) -> list[str]:
    from kube_iam.kube.kubeconfig_merge import entries_in_use

    entries = entries_in_use(os.environ, _option(context, "kubeconfig"))
    return [name for section, name in entries if section == "contexts"]


def _profiles(context: click.Context) -> list[str]:  # noqa: ARG001
    """Return the profiles of ~/.aws/config and ~/.aws/credentials."""
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


def _sandbox_users(context: click.Context) -> Iterable[str]:
    """Return the IAM users of the sandbox in `--dir`, but not that of its server."""
    from kube_iam.sandbox.state import AUTHENTICATOR

    state = context.params["home"].load() if "home" in context.params else None
    return [name for name in state.keys if name != AUTHENTICATOR] if state is not None else []


def _sandbox_levels(context: click.Context) -> list[str]:
    from kube_iam.config.access import load_access

    home = context.params.get("home")
    return [level.name for level in load_access(home.access).levels] if home is not None else []


complete_levels = _offering(_levels)
complete_sandbox_users = _offering(_sandbox_users)
complete_sandbox_levels = _offering(_sandbox_levels)
complete_users = _offering(_bounded(_users))
complete_denials = _offering(_bounded(_denials))
complete_cached_levels = _offering(_cached_levels)
complete_contexts = _offering(_contexts)
complete_profiles = _offering(_profiles)


def complete_users_then_levels(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer users, and behind a first word levels as well: the last word is the level."""
    levels = any(context.params.get(name) for name in ("users", "level"))
    offers = (complete_users, complete_levels) if levels else (complete_users,)
    return [item for offer in offers for item in offer(context, parameter, incomplete)]


def complete_doctor_words(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer levels and users for the first word, and levels behind it."""
    offers = (complete_levels,) if context.params.get("words") else (complete_cached_levels, complete_users)
    return [item for offer in offers for item in offer(context, parameter, incomplete)]
