"""`doctor`: the checks of a sign-in, and the first fault with its remedy."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from kube_iam.cli.completion_values import complete_cached_levels
from kube_iam.cli.session import AdminSession, access_exists, on_terminal, pass_session
from kube_iam.cli.shared_options import cluster_options, file_option, global_options, output_option
from kube_iam.cli.terminal import page

if TYPE_CHECKING:
    from kube_iam.access.levels import ClusterAccess
    from kube_iam.aws.token_cache import TokenRequest


@click.command("doctor")
@click.argument("level", required=False, metavar="[LEVEL]", shell_complete=complete_cached_levels)
@global_options
@file_option
@output_option
@cluster_options
@pass_session
def command(session: AdminSession, level: str | None, output: str) -> int:
    """Check your own sign-in step by step, and name the first fault with its remedy.

    Checks the kubeconfig and its exec plugin, your AWS credentials and clock, the role, the token, the API server, and what RBAC
    allows you. No special rights are needed: what cannot be checked is skipped, and the missing right is named. The exit code is 1
    where a check fails.

    LEVEL chooses the kubeconfig context of that level, else the current context counts. An access file is compared where there is
    one. The role is assumed once more, and the exec plugin runs as kubectl runs it. Nothing is changed but what
    `token` caches.
    """
    from kube_iam.cli.access_output import print_data
    from kube_iam.doctor.outcomes import first_failure, run_checks
    from kube_iam.doctor.report import results_data, results_text
    from kube_iam.doctor.sign_in import Machine, SignIn
    from kube_iam.doctor.user_checks import USER_CHECKS

    machine = Machine(
        environ=os.environ,
        clock=time.time,
        use_environment=use_environment,
        read_arguments=read_arguments,
        find_program=lambda name: shutil.which(name) or "",
        interactive=on_terminal(),
        kubeconfig=session.connection.kubeconfig,
        context=session.connection.context,
        level=level or "",
        access=_access(session),
    )
    results = list(run_checks(USER_CHECKS, SignIn(machine)))
    if output == "table":
        page(results_text(results))
    else:
        print_data(results_data(results), output)
    return 1 if first_failure(results) is not None else 0


def use_environment(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Set the variables of the exec entry in this process, as kubectl does for its plugin. Return all variables."""
    from kube_iam.aws.environment import normalize

    os.environ.update(variables)
    normalize(os.environ)
    return os.environ


def read_arguments(arguments: Sequence[str], environ: Mapping[str, str]) -> TokenRequest:
    """Return the request of the arguments behind `token`. Raises the errors of our tree, UsageError for a mistake."""
    from kube_iam.cli.shared_options import global_options_of
    from kube_iam.cli.token import command as token
    from kube_iam.cli.token import read_settings
    from kube_iam.cli.token_run import parse, request_of
    from kube_iam.errors import UsageError

    flags = parse(arguments)
    if flags is not None:
        return request_of(flags, {}, environ)
    try:
        context = token.make_context("token", list(arguments))
    except click.exceptions.Exit as error:
        raise UsageError("they ask for help") from error
    except click.UsageError as error:
        raise UsageError(error.format_message()) from error
    given = {name: value for name, value in context.params.items() if value is not None}
    options = global_options_of(context)
    return request_of(given, read_settings(options.config) if options.config else {}, environ)


def _access(session: AdminSession) -> ClusterAccess | None:
    """Return the access file, None where there is none. Raises ConfigError."""
    return session.access if access_exists(session.file) else None
