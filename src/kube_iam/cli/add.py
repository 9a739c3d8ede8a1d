"""`add user` and `add role`: add an entry to the ConfigMap aws-auth, with the reference's flags."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from kube_iam.cli.changes import changes_made
from kube_iam.cli.root import CommandGroup
from kube_iam.cli.session import session_of
from kube_iam.cli.shared_options import global_options
from kube_iam.cli.terminal import page
from kube_iam.cli.token_run import go_boolean
from kube_iam.errors import UsageError

if TYPE_CHECKING:
    from kube_iam.kube.aws_auth import NewEntry

_LONGEST_ANSWER = 1024  # characters
# The reference's flag package takes them before the subcommand's name and after it.
_SHARED = ("prompt", "master_url", "kubeconfig", "kubeconfig_context", "dry_run")


class _GoBooleans(click.Command):
    """A command that takes `--prompt=false`, as the reference does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments with the flag in the spelling of click."""
        return super().parse_args(ctx, [_plain(argument) for argument in args])


class _Group(_GoBooleans, CommandGroup):
    """A group that takes the same flags before the subcommand's name."""


def _plain(argument: str) -> str:
    form, equals, word = argument.partition("=")
    answer = go_boolean(word) if equals and form == "--prompt" else None
    return argument if answer is None else ("--prompt" if answer else "--no-prompt")


def _shared_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--dry-run", is_flag=True, default=None, help="Show what would be added, and change nothing."),
        click.option(
            "--prompt/--no-prompt", default=None, help="Ask first.  [default: true; --prompt=false does not ask]"
        ),
        click.option("--master-url", metavar="URL", help="The API server's address.  [default: the context's]"),
        click.option("--kubeconfig-context", metavar="NAME", help="kubeconfig context.  [default: the current one]"),
        click.option("--kubeconfig", metavar="FILE", help="kubeconfig to work with.  [default: as kubectl]"),
    ):
        function = option(function)
    return function


def _entry_options(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option(
        "--groups", metavar="NAME,…", multiple=True, help="Kubernetes groups, separated by commas or repeated."
    )(function)
    return click.option("--username", metavar="NAME", default="", help="Kubernetes username; templates are known.")(
        function
    )


@click.group("add", cls=_Group, no_args_is_help=True)
@global_options
@_shared_options
@click.pass_context
def command(context: click.Context, /, **shared: Any) -> None:
    """Add an IAM user or role to the ConfigMap kube-system/aws-auth.

    Existing entries stay as they are. For access levels that are kept in a file, see `plan` and `apply`.
    """
    context.meta["add"] = shared


@command.command("user", cls=_GoBooleans)
@click.option("--userarn", metavar="ARN", default="", help="ARN of the IAM user.")
@_entry_options
@global_options
@_shared_options
@click.pass_context
def user_command(context: click.Context, /, userarn: str, username: str, groups: tuple[str, ...], **shared: Any) -> int:
    """Add an IAM user."""
    from kube_iam.kube.aws_auth import new_user

    names = _words(groups)
    _require({"--userarn": userarn, "--username": username, "--groups": names})
    return _add(new_user(userarn, username, names), context, shared)


@command.command("role", cls=_GoBooleans)
@click.option("--rolearn", metavar="ARN", default="", help="ARN of the IAM role.")
@click.option(
    "--sso",
    metavar="KEY=VALUE,…",
    multiple=True,
    help="A permission set of IAM Identity Center instead: permissionSetName, accountID and perhaps partition.",
)
@_entry_options
@global_options
@_shared_options
@click.pass_context
def role_command(
    context: click.Context,
    /,
    rolearn: str,
    sso: tuple[str, ...],
    username: str,
    groups: tuple[str, ...],
    **shared: Any,
) -> int:
    """Add an IAM role, or the role of a permission set."""
    from kube_iam.kube.aws_auth import new_role, new_sso_role

    names, settings = _words(groups), _settings(sso)
    if rolearn and settings:
        raise UsageError("only one of --rolearn and --sso can be given")
    _require({"--rolearn or --sso": rolearn or settings, "--username": username, "--groups": names})
    entry = new_sso_role(settings, username, names) if settings else new_role(rolearn, username, names)
    return _add(entry, context, shared)


def _add(entry: NewEntry, context: click.Context, shared: dict[str, Any]) -> int:
    from kube_iam.kube.aws_auth import add

    before: dict[str, Any] = context.meta["add"]
    given = {name: before[name] if shared[name] is None else shared[name] for name in _SHARED}
    session = session_of(context, {"kubeconfig": given["kubeconfig"], "context": given["kubeconfig_context"]})
    api = session.kube.at(given["master_url"] or "")
    dry_run = bool(given["dry_run"])
    if not dry_run and given["prompt"] is not False:
        click.echo(f"{entry.key} of ConfigMap kube-system/aws-auth at {api.server} would get:", err=True)
        page(entry.text(), err=True)
        if not _is_confirmed():
            click.echo("Nothing was changed.", err=True)
            return 0
    with nullcontext() if dry_run else changes_made().making(f"add an entry to {entry.key} of kube-system/aws-auth"):
        added = add(api, entry, dry_run=dry_run)
    click.echo(f"{'would be added' if dry_run else 'added'} to {entry.key} of {added.where}:")
    page(entry.text())
    for warning in added.warnings:
        click.echo(f"warning: {warning}", err=True)
    return 0


def _is_confirmed() -> bool:
    """Ask, and return whether the next line of standard input is `y` or `yes`, as the reference does: `echo y |` answers too.

    Raises UsageError where there is no line.
    """
    click.echo("Add it? [y/N]: ", nl=False, err=True)
    try:
        line = sys.stdin.readline(_LONGEST_ANSWER) if sys.stdin is not None else ""
    except ValueError:  # closed, or no text
        line = ""
    if not line:
        click.echo(err=True)
        raise UsageError(
            "no answer came on standard input, so nothing was changed",
            "answer y, or add --prompt=false where you are sure",
        )
    return line.strip().lower() in ("y", "yes")


def _require(given: dict[str, object]) -> None:
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise UsageError(f"{', '.join(missing)} must be given", "see `add user --help` and `add role --help`")


def _words(values: tuple[str, ...]) -> list[str]:
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def _settings(values: tuple[str, ...]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for word in _words(values):
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"--sso takes KEY=VALUE pairs, and {word!r} is none")
        settings[name.strip()] = value.strip()
    return settings
