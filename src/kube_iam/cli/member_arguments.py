"""The arguments USER... LEVEL of `grant` and `revoke`, with the words that are missing named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from kube_iam.cli.completions import complete_levels, complete_users_then_levels
from kube_iam.cli.session import AdminSession
from kube_iam.errors import KubeIamError, UsageError

F = TypeVar("F", bound=Callable[..., Any])


def member_arguments(function: F) -> F:
    """Add the arguments, passed as `users` and `level`. Either may be missing: see `require_words`."""
    function = click.argument("level", metavar="LEVEL", required=False, shell_complete=complete_levels)(function)
    return click.argument("users", nargs=-1, metavar="USER...", shell_complete=complete_users_then_levels)(function)


def require_words(command: str, session: AdminSession, users: Sequence[str], level: str | None) -> str:
    """Return the level. Raises UsageError that says which of the words is missing: a single word is a user or a level of the file."""
    if level and users:
        return level
    try:
        levels = [each.name for each in session.access.levels]
    except KubeIamError:
        levels = []
    listed = f"; levels: {', '.join(levels)}" if levels else ""
    if not level:
        raise UsageError(f"{command}: the USER and the LEVEL are missing", f"{command} USER... LEVEL{listed}")
    if level in levels:
        raise UsageError(f"{command} {level}: the USER is missing", f"{command} USER... {level}")
    raise UsageError(f"{command} {level}: the LEVEL is missing", f"{command} {level} LEVEL{listed}")
