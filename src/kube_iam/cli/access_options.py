"""The options that the commands about access share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kube_iam.cli.completions import FILE_VARIABLE, complete_contexts, complete_files, complete_profiles

F = TypeVar("F", bound=Callable[..., Any])


def file_option(function: F) -> F:
    """`-f/--file`: which access.yaml. Passed as `file`."""
    return click.option(
        "-f",
        "--file",
        "file",
        metavar="FILE",
        default="access.yaml",
        envvar=FILE_VARIABLE,
        shell_complete=complete_files,
        help=f"The access file; - reads standard input.  [default: access.yaml] [{FILE_VARIABLE}]",
    )(function)


def output_option(function: F) -> F:
    """`-o/--output`: for people or for programs. Passed as `output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "yaml"], case_sensitive=False),
        default="table",
        help="For people, or for programs.  [default: table]",
    )(function)


def aws_options(function: F) -> F:
    """`--profile` and `--region` of the administrator's own AWS calls."""
    function = click.option(
        "--region", metavar="REGION", default="", help="Region of your own AWS calls.  [default: the file's]"
    )(function)
    return click.option(
        "--profile",
        metavar="NAME",
        default="",
        shell_complete=complete_profiles,
        help="AWS profile to work with.  [AWS_PROFILE]",
    )(function)


def cluster_options(function: F) -> F:
    """`--kubeconfig` and `--context` of the administrator's own way into the cluster."""
    function = click.option(
        "--context",
        metavar="NAME",
        default="",
        shell_complete=complete_contexts,
        help="kubeconfig context to work with.  [default: the current one]",
    )(function)
    return click.option(
        "--kubeconfig",
        metavar="FILE",
        default="",
        shell_complete=complete_files,
        help="kubeconfig to work with.  [default: as kubectl]",
    )(function)


def yes_option(function: F) -> F:
    """`--yes`: do not ask."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(function)


def force_option(function: F) -> F:
    """`--force`: go on where a safety guard would stop."""
    return click.option(
        "--force",
        is_flag=True,
        help="Go on although the plan takes access from you, removes more than a third of the levels, or writes a mapping "
        "that no server of the cluster may read.",
    )(function)


def adopt_option(function: F) -> F:
    """`--adopt`: take over what exists under the names that the levels need."""
    return click.option(
        "--adopt",
        is_flag=True,
        help="Take over roles, policies, groups, bindings and mappings that exist under these names and are not kube-iam's.",
    )(function)


def dry_run_option(function: F) -> F:
    """`--dry-run`: show, and change nothing."""
    return click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")(function)
