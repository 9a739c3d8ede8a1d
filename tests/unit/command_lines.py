"""Command lines as they stand in help texts and documents, parsed as the program parses them."""

from __future__ import annotations

import re
import shlex

import click

from kube_iam.cli.root import make_root


def parse_line(line: str) -> click.Context:
    """Return the context of the command that a line calls, which may be redirected, piped or followed by a comment.

    Raises click's errors and UsageError for a line that the program does not take.
    """
    words = re.split(r"\s{2,}| #", line.removeprefix("source <(").removesuffix(")"))[0]
    arguments = shlex.split(re.split(r" [<>|] ", words)[0])[1:]
    parsed = make_root("kube-iam").make_context("kube-iam", list(arguments))
    while isinstance(parsed.command, click.Group):
        _, inner, rest = parsed.command.resolve_command(parsed, [*parsed._protected_args, *parsed.args])
        assert inner is not None
        parsed = inner.make_context(inner.name, rest, parent=parsed)
    return parsed
