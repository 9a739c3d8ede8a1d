"""The options of the commands that write the deny list."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from kube_iam.config.durations import parse_duration

F = TypeVar("F", bound=Callable[..., Any])

DENY_LIST = "kube-system/kube-iam-denied"
LONGEST_SESSION = 12 * 3600
"""Seconds: no session of any role lasts longer."""


class Duration(click.ParamType[int]):
    """A length of time such as 90m or 1h30m, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds."""
        if isinstance(value, int):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(f"{error}: write hours, minutes and seconds, such as 1h30m", param, ctx)


class ConfigMapName(click.ParamType[str]):
    """NAMESPACE/NAME."""

    name = "config map"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same, where it has that form."""
        text = str(value)
        if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9.-]+", text):
            self.fail(f"{text!r} is not NAMESPACE/NAME", param, ctx)
        return text


def deny_list_option(function: F) -> F:
    """`--deny-list`: which ConfigMap. Passed as `deny_list`."""
    return click.option(
        "--deny-list",
        type=ConfigMapName(),
        metavar="NAMESPACE/NAME",
        default=DENY_LIST,
        help=f"The ConfigMap that the servers follow (server.denyList).  [default: {DENY_LIST}]",
    )(function)


def closing_options(function: F) -> F:
    """`--reason`, `--cache-ttl` and `--no-wait` of what keeps somebody out at once."""
    function = click.option(
        "--no-wait", is_flag=True, help="Do not wait until kube-apiserver has forgotten them, only say when it has."
    )(function)
    function = click.option(
        "--cache-ttl",
        type=Duration(),
        default="2m",
        metavar="DURATION",
        help="kube-apiserver's --authentication-token-webhook-cache-ttl.  [default: 2m]",
    )(function)
    return click.option("--reason", default="", metavar="TEXT", help="Why, for the denial and the audit event.")(
        function
    )
