"""The click command of `token`: for its help, for mistakes, and for `-c`. Ordinary calls take the way around click."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from kube_iam.cli.global_options import GlobalOptions
from kube_iam.cli.shared_options import authenticator_options, pass_global_options
from kube_iam.cli.token_run import TOKEN_FLAGS, go_boolean, normalized
from kube_iam.errors import ConfigError, Problem

# The reference's configuration reader knows each flag under such a key; a later row goes before an earlier one.
_FILE_KEYS: tuple[tuple[str, str, type[str] | type[bool]], ...] = (
    ("clusterID", "cluster_id", str),
    ("defaultRole", "role", str),
    ("role", "role", str),
    ("externalID", "external_id", str),
    ("sessionName", "session_name", str),
    ("forwardSessionName", "forward_session_name", bool),
    ("region", "region", str),
    ("tokenOnly", "token_only", bool),
    ("cache", "cache", bool),
)

EPILOG = """\b
Examples:
  kube-iam token -i my-cluster
  kube-iam token -i my-cluster -r arn:aws:iam::123456789012:role/my-cluster-admin
  kube-iam token -i my-cluster --token-only

Settings are taken from the flags, else the environment, else the file that -c names."""


class _GoSpellings(click.Command):
    """Understands `--cache=true` and `-i=ID`, as the reference does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Click's own, over the normalized arguments."""
        return super().parse_args(ctx, normalized(args))


def _token_options(function: Any) -> Any:
    for name, long, short, metavar, text in reversed(TOKEN_FLAGS):
        forms = [form for form in (short, long) if form]
        shape: dict[str, Any] = {"metavar": metavar} if metavar else {"is_flag": True, "default": None}
        function = click.option(*forms, name, help=text, **shape)(function)
    return function


@click.command("token", cls=_GoSpellings, epilog=EPILOG)
@authenticator_options
@_token_options
@pass_global_options
@click.pass_context
def command(context: click.Context, options: GlobalOptions, /, **values: Any) -> int:
    """Print a token for a cluster, as kubectl wants it from an exec plugin.

    Nothing is printed on stdout unless there is a token.
    """
    from kube_iam.cli.token_run import run

    flags = {name: value for name, value in values.items() if value is not None}
    if options.cluster_id_given:
        flags["cluster_id"] = options.cluster_id
    file_settings = read_settings(options.config) if options.config else {}
    return run(flags, context.find_root().info_name or "kube-iam", file_settings)


def read_settings(path: str) -> Mapping[str, str | bool]:
    """Return the settings of a configuration file that `token` has flags for, by the flags' names. Keys are in any letter case.

    Raises ConfigError for a file that cannot be used.
    """
    from pathlib import Path

    from kube_iam.config.yaml_file import read_yaml
    from kube_iam.core.letter_case import ascii_lower

    file = read_yaml(Path(path))
    document = file.data
    if file.problems:
        raise ConfigError(path, file.problems)
    if not isinstance(document, dict):
        raise ConfigError(path, [Problem("", "is not a mapping of settings")])
    given = {ascii_lower(str(key)): value for key, value in document.items() if value is not None}
    found: dict[str, str | bool] = {}
    problems: list[Problem] = []
    for key, flag, kind in _FILE_KEYS:
        value = given.get(ascii_lower(key))
        if value is None:
            continue
        if kind is bool and isinstance(value, str):
            value = go_boolean(value)
        if isinstance(value, kind):
            found[flag] = value
        else:
            remedy = "put it in quotes" if kind is str else ""
            problems.append(Problem(key, "is not a text" if kind is str else "is not true or false", remedy))
    if problems:
        raise ConfigError(path, problems)
    return found
