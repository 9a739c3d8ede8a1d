"""Options and arguments that several commands take.

Every command takes the global options, before its name or after it, with the reference's names and variables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from kube_iam.cli.global_options import VERBOSITIES, VERBOSITY_VARIABLE, GlobalOptions
from kube_iam.cli.token_run import CLUSTER_ID
from kube_iam.errors import KubeIamError, UsageError

if TYPE_CHECKING:
    from kube_iam.cli.session import AdminSession

F = TypeVar("F", bound=Callable[..., Any])

FILE_VARIABLE = "KUBE_IAM_ACCESS"
"""The environment variable that names the access file where `-f` does not."""
_META = "kube_iam.cli.shared_options"


_GLOBAL_NAMES = ("config", "cluster_id", "log_format", "log_verbosity", "feature_gates")


def global_options_of(context: click.Context) -> GlobalOptions:
    """Return the global options of this invocation, from the environment where no flag was read yet."""
    found = context.meta.get(_META)
    if not isinstance(found, GlobalOptions):
        found = context.meta[_META] = GlobalOptions.from_environment()
    return found


def pass_global_options(function: F) -> F:
    """Give the command the `GlobalOptions` as its first argument. Put it below `@global_options`."""

    @click.pass_context
    def call(context: click.Context, /, *arguments: Any, **values: Any) -> Any:
        return context.invoke(function, global_options_of(context), *arguments, **values)

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return _keeping_options(function, call)


def global_options(function: F) -> F:
    """Add the global options to a command. `cli.root` keeps their values from its arguments: see `pass_global_options`.

    They are accepted everywhere. Only the main help shows them.
    """
    return _add(function, shown=())


def authenticator_options(function: F) -> F:
    """Add the global options to a command that reads the authenticator's configuration: its help shows the file and the id."""
    return _add(function, shown=("--config", "--cluster-id"))


def root_options(function: F) -> F:
    """Add the global options to the command line as a whole, whose help shows all of them."""
    return _add(function, shown=("--config", "--cluster-id", "--log-format", "--log-verbosity", "--feature-gates"))


def _keeping_options(function: F, call: Any) -> F:
    """Return `call` with the options that decorators below have added to the function."""
    if hasattr(function, "__click_params__"):
        call.__click_params__ = function.__click_params__
    return cast(F, call)


def keep_global_options(context: click.Context, values: dict[str, Any]) -> None:
    """Move the global options out of the values of a command's parameters into those of this invocation."""
    kept = global_options_of(context)
    given = {name: value for name in _GLOBAL_NAMES if (value := values.pop(name, None)) is not None}
    for name, value in given.items():
        setattr(kept, name, value)
    kept.cluster_id_given = kept.cluster_id_given or "cluster_id" in given


def completing(name: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """Return the function of that name in `completion_values`.

    That module is imported by its name when a shell asks: help does without it, and it reads the options that stand here.
    """

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        values = import_module("kube_iam.cli.completion_values")
        return list(getattr(values, name)(context, parameter, incomplete))

    return complete


def _add(function: F, *, shown: tuple[str, ...]) -> F:
    _, long, short, metavar, text = CLUSTER_ID
    options: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
        (
            ("-c", "--config"),
            {
                "metavar": "FILE",
                "help": "Read the configuration from this file.",
                "shell_complete": completing("complete_files"),
            },
        ),
        ((short, long), {"metavar": metavar, "help": text}),
        (
            ("-l", "--log-format"),
            {
                "metavar": "text|json",
                "help": "The format of log lines on stderr.  [default: text]",
            },
        ),
        (
            ("-v", "--log-verbosity"),
            {
                "type": click.Choice(VERBOSITIES, case_sensitive=False),
                "metavar": "LEVEL",
                "help": f"How much to log: {', '.join(VERBOSITIES)}.  [default: info] [{VERBOSITY_VARIABLE}]",
            },
        ),
        (
            ("--feature-gates",),
            {"metavar": "NAME=BOOL,…", "help": "Switch features of the reference on or off."},
        ),
    )
    for names, rest in reversed(options):
        hidden = names[-1] not in shown
        function = click.option(*names, hidden=hidden, **rest)(function)
    return function


def file_option(function: F) -> F:
    """Add `-f/--file`, the access file, passed as `file`."""
    return click.option(
        "-f",
        "--file",
        "file",
        metavar="FILE",
        default="access.yaml",
        envvar=FILE_VARIABLE,
        shell_complete=completing("complete_files"),
        help=f"The access file, or a directory of several; - reads standard input.  [default: access.yaml] [{FILE_VARIABLE}]",
    )(function)


def output_option(function: F) -> F:
    """Add `-o/--output`, passed as `output`: table, json or yaml."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "yaml"], case_sensitive=False),
        default="table",
        help="The format: a table for people, or data for programs.  [default: table]",
    )(function)


def aws_options(function: F) -> F:
    """Add `--profile` and `--region` of the administrator's own AWS calls."""
    function = click.option(
        "--region", metavar="REGION", default="", help="Region of your own AWS calls.  [default: the file's]"
    )(function)
    return click.option(
        "--profile",
        metavar="NAME",
        default="",
        shell_complete=completing("complete_profiles"),
        help="AWS profile to work with.  [AWS_PROFILE]",
    )(function)


def cluster_options(function: F) -> F:
    """Add `--kubeconfig` and `--context`, by which the administrator reaches the cluster."""
    function = click.option(
        "--context",
        metavar="NAME",
        default="",
        shell_complete=completing("complete_contexts"),
        help="kubeconfig context to work with.  [default: the current one]",
    )(function)
    return click.option(
        "--kubeconfig",
        metavar="FILE",
        default="",
        shell_complete=completing("complete_files"),
        help="kubeconfig to work with.  [default: as kubectl]",
    )(function)


def yes_option(function: F) -> F:
    """Add `--yes`, which answers questions."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(function)


def force_option(function: F) -> F:
    """Add `--force`, which overrides the safety guards of a plan."""
    return click.option(
        "--force",
        is_flag=True,
        help="Carry out a plan that takes access from you, removes more than a third of the levels, or writes a mapping "
        "that no server of the cluster may read.",
    )(function)


def adopt_option(function: F) -> F:
    """Add `--adopt`, which takes over existing objects of the names that the levels need."""
    return click.option(
        "--adopt",
        is_flag=True,
        help="Take over roles, policies, groups, bindings and mappings that exist under these names and are not kube-iam's.",
    )(function)


def dry_run_option(function: F) -> F:
    """Add `--dry-run`, which shows changes and makes none."""
    return click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")(function)


def member_arguments(function: F) -> F:
    """Add the arguments, passed as `users` and `level`. Either may be missing: see `require_words`."""
    function = click.argument("level", metavar="LEVEL", required=False, shell_complete=completing("complete_levels"))(
        function
    )
    return click.argument(
        "users", nargs=-1, metavar="USER...", shell_complete=completing("complete_users_then_levels")
    )(function)


def require_words(command: str, session: AdminSession, users: Sequence[str], level: str | None) -> str:
    """Return the level. Raises UsageError where the user or the level is missing; a single word is compared with the file's levels."""
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
