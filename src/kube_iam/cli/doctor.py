"""`doctor`: the checks of a sign-in, and the first fault with its remedy."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from kube_iam.cli.revocation import ConfigMapName
from kube_iam.cli.session import DENY_LIST, AdminSession, access_exists, needs_cluster, on_terminal, pass_session
from kube_iam.cli.shared_options import (
    aws_options,
    cluster_options,
    completing,
    file_option,
    global_options,
    output_option,
)
from kube_iam.cli.terminal import note, page
from kube_iam.errors import UsageError

if TYPE_CHECKING:
    from kube_iam.access.levels import ClusterAccess
    from kube_iam.aws.token_cache import TokenRequest
    from kube_iam.doctor.outcomes import Result


@click.command("doctor")
@click.argument("words", nargs=-1, metavar="[[USER] LEVEL]", shell_complete=completing("complete_doctor_words"))
@global_options
@file_option
@click.option(
    "--deny-list",
    metavar="NAMESPACE/NAME",
    type=ConfigMapName(),
    help=f"With USER: the deny list.  [default: {DENY_LIST}]",
)
@output_option
@aws_options
@cluster_options
@pass_session
def command(session: AdminSession, words: tuple[str, ...], deny_list: str | None, output: str) -> int:
    """Check a sign-in step by step, and name the first fault with its remedy. The exit code is 1 where a check fails.

    Without USER it is your own sign-in: kubeconfig and exec plugin, AWS credentials and clock, role, token, API server, and what RBAC
    allows. No special rights are needed. LEVEL chooses the kubeconfig context of that level, else the current context counts.

    With USER and LEVEL, an administrator checks why USER cannot sign in by a level of the access file: cluster id, the server behind
    kube-apiserver, deny list, mapping, IAM, and RBAC.

    What cannot be checked is skipped, and the missing right is named. Nothing is changed but what `token` caches.
    """
    from kube_iam.cli.access_output import print_data
    from kube_iam.doctor.outcomes import first_failure
    from kube_iam.doctor.report import results_data, results_text

    if len(words) > 2:
        raise UsageError(
            f"doctor takes a USER and a LEVEL at most, and not {len(words)} words", "doctor [[USER] LEVEL]"
        )
    if len(words) == 2:
        results = _administrator_results(session, *words, deny_list or DENY_LIST)
    else:
        given = [f"--{name}" for name in ("profile", "region") if getattr(session.connection, name)]
        if given := [*given, *(["--deny-list"] if deny_list else [])]:
            raise UsageError(
                f"{given[0]} goes with a USER and a LEVEL",
                "your own sign-in is checked with the settings of its kubeconfig",
            )
        results = _own_results(session, "".join(words))
    if output == "table":
        page(results_text(results))
        if len(words) == 2 and first_failure(results) is None:
            note(f"no fault was found here; `kube-iam doctor {words[1]}` of {words[0]} checks the rest of the sign-in")
    else:
        print_data(results_data(results), output)
    return 1 if first_failure(results) is not None else 0


def _own_results(session: AdminSession, level: str) -> list[Result]:
    """Return the results of the checks of the caller's own sign-in."""
    from kube_iam.doctor.outcomes import run_checks
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
        level=level,
        access=_access(session),
    )
    return list(run_checks(USER_CHECKS, SignIn(machine)))


def _administrator_results(session: AdminSession, user: str, level: str, deny_list: str) -> list[Result]:
    """Return the results of an administrator's checks of a user and a level of the access file."""
    from kube_iam.access.members import find_level
    from kube_iam.config.suggestions import suggestion
    from kube_iam.core.arns import user_name
    from kube_iam.doctor.admin_checks import ADMIN_CHECKS
    from kube_iam.doctor.inspection import Inspection
    from kube_iam.doctor.outcomes import run_checks

    access, connection = session.access, session.connection
    user = user_name(user) or user
    if connection.profile:
        use_profile(connection.profile)
    state = Inspection(
        session,
        user,
        find_level(access, level, suggestion, [user]),
        deny_list,
        os.environ,
        time.time,
        region=connection.region or access.region,
        kubeconfig=connection.kubeconfig,
        has_cluster=needs_cluster(access),
        interactive=on_terminal(),
    )
    return list(run_checks(ADMIN_CHECKS, state))


def use_profile(profile: str) -> None:
    """Make the profile that of this process, in place of keys in the environment, as `--profile` of other commands does."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    os.environ["AWS_PROFILE"] = profile


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
