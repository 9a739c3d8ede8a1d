"""The options that every command takes, before the command's name or after it, with the reference's names and variables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import click

from kube_iam.cli.token_flags import CLUSTER_ID

F = TypeVar("F", bound=Callable[..., Any])

CLUSTER_ID_VARIABLE = "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"
VERBOSITY_VARIABLE = "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY"
_META = "kube_iam.cli.options"
VERBOSITIES = ("panic", "fatal", "error", "warning", "warn", "info", "debug", "trace")


@dataclass(slots=True)
class GlobalOptions:
    """The global options' values: the flag where given (the one nearest to the end wins), else the environment, else empty.

    `cluster_id_given` tells an empty `-i ""` from no flag at all: what was given is never replaced by the config file's value.
    """

    config: str = ""
    cluster_id: str = ""
    log_format: str = "text"
    log_verbosity: str = "info"
    feature_gates: str = ""
    cluster_id_given: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> GlobalOptions:
        """The settings before any flag. An empty variable counts as not set."""
        return cls(
            cluster_id=environ.get(CLUSTER_ID_VARIABLE, ""),
            log_verbosity=environ.get(VERBOSITY_VARIABLE, "").lower() or "info",
        )


def global_options_of(context: click.Context) -> GlobalOptions:
    """The settings that the commands of this invocation share; made from the environment where there are none yet."""
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
    """Add the global options to a command. Their values are not passed as arguments: see `pass_global_options`.

    They are accepted everywhere, but only the main help speaks of them.
    """
    return _add(function, shown=())


def authenticator_options(function: F) -> F:
    """The global options for a command that reads the authenticator's configuration: its help names the file and the id."""
    return _add(function, shown=("--config", "--cluster-id"))


def root_options(function: F) -> F:
    """The global options for the command line as a whole, all of them in the help."""
    return _add(function, shown=("--config", "--cluster-id", "--log-format", "--log-verbosity", "--feature-gates"))


def _keeping_options(function: F, call: Any) -> F:
    """Options that decorators below have hung on the function stay with it."""
    if hasattr(function, "__click_params__"):
        call.__click_params__ = function.__click_params__
    return cast(F, call)


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None or parameter.name is None:
        return
    settings = global_options_of(context)
    setattr(settings, parameter.name, value)
    if parameter.name == "cluster_id":
        settings.cluster_id_given = True


def _complete_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    from kube_iam.cli.completions import complete_files  # the main help imports nothing but this module and its like

    return list(complete_files(context, parameter, incomplete))


def _add(function: F, *, shown: tuple[str, ...]) -> F:
    _, long, short, metavar, text = CLUSTER_ID
    options: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
        (
            ("-c", "--config"),
            {"metavar": "FILE", "help": "Read the configuration from this file.", "shell_complete": _complete_files},
        ),
        ((short, long), {"metavar": metavar, "help": text}),
        (
            ("-l", "--log-format"),
            {
                "metavar": "text|json",
                "help": "How log lines on stderr look.  [default: text]",
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
        function = click.option(*names, expose_value=False, callback=_remember, hidden=hidden, **rest)(function)
    return function
