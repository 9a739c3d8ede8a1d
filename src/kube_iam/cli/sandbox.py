"""`sandbox`: an emulated AWS account, the webhook and, where its binaries are found, a real control plane, all on loopback."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kube_iam.cli.root import CommandGroup
from kube_iam.cli.shared_options import completing, global_options
from kube_iam.cli.terminal import page
from kube_iam.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kube_iam.sandbox.state import Home

_REVIEW_LIMIT = 1 << 20


def _directory(function: Callable[..., object]) -> Callable[..., object]:
    """Add the option --dir, passed as `home`."""

    def home(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Home:
        from kube_iam.sandbox.state import Home
        from kube_iam.sandbox.up import default_directory

        default = default_directory(os.environ).absolute()
        root = (value or default).absolute()
        return Home(root, is_default=root == default)

    return click.option(
        "--dir",
        "home",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="KUBE_IAM_SANDBOX",
        callback=home,
        help="The directory of the sandbox.  [default: kube-iam/sandbox in $XDG_STATE_HOME or ~/.local/state]",
    )(function)


@click.group("sandbox", cls=CommandGroup, no_args_is_help=True)
@global_options
def command() -> None:
    """Run an emulated AWS account and a cluster, to try things.

    Everything runs on loopback and ends with `sandbox down`. The account's IAM and STS verify signatures and enforce policies as
    AWS does; a real kube-apiserver is added where its binaries are found (KUBEBUILDER_ASSETS, PATH, or what `make control-plane`
    built).
    """
    if os.name != "posix":
        raise SandboxError(
            "the sandbox runs on Linux and macOS only", "it ends its processes with signals, which Windows lacks"
        )


@command.command("up")
@_directory
@click.option(
    "--cache-ttl", type=click.FloatRange(0, 3600), metavar="SECONDS",
    help="How long kube-apiserver caches the webhook's answers.  [default: 120, as in Kubernetes; with --no-authorizer 2]",
)  # fmt: skip
@click.option(
    "--authorizer/--no-authorizer",
    default=True,
    show_default=True,
    help="Let kube-apiserver ask the server before each request.",
)
@click.option(
    "--iam-delay", type=click.FloatRange(0, 60), default=0.0, show_default=True, metavar="SECONDS",
    help="The delay after which IAM shows changes of memberships and policies, as in AWS.",
)  # fmt: skip
@click.option(
    "--mapping", type=click.Choice(["configFile", "crd"]), default="configFile", show_default=True,
    help="Where the levels are mapped: in the server's ConfigMap, or in IAMIdentityMapping objects.",
)  # fmt: skip
def up_command(home: Home, cache_ttl: float | None, iam_delay: float, mapping: str, authorizer: bool) -> None:
    """Start the sandbox. One that runs stays as it is; none is replaced while a part of it runs."""
    _need_ministack()
    from kube_iam.sandbox.up import up

    up(
        home,
        os.environ,
        lambda line: click.echo(f"sandbox: {line}", err=True),
        cache_ttl,
        iam_delay_seconds=iam_delay,
        mapping=mapping,
        authorizer=authorizer,
    )
    click.echo(f'sandbox: next: eval "$({home.command("env")})" && kube-iam plan', err=True)


@command.command("down")
@_directory
def down_command(home: Home) -> None:
    """Stop everything and remove the files of the sandbox, also after a crash."""
    from kube_iam.sandbox.up import down

    ran = down(home)
    click.echo(
        f"sandbox: stopped {', '.join(ran)}" if ran else f"sandbox: nothing was running in {home.root}", err=True
    )


@command.command("status")
@_directory
def status_command(home: Home) -> int:
    """Print what runs, as JSON. Exit code 1 where the sandbox is not up, or a part of it has ended."""
    from kube_iam.sandbox.up import describe, status

    state = home.load()
    if state is None:
        click.echo(f"sandbox: no sandbox is up in {home.root}: start one: {home.command('up')}", err=True)
        return 1
    page(describe(home, state))
    return 0 if all(status(home).values()) else 1


@command.command("env")
@_directory
@click.option(
    "--user", default="", metavar="NAME", help="An IAM user, made on first use.  [default: the administrator]"
)
def env_command(home: Home, user: str) -> None:
    """Print the variables that make a shell use the sandbox: eval "$(kube-iam sandbox env)".

    The administrator may do everything in the account and the cluster; a new user may do nothing until granted a level.
    """
    from kube_iam.sandbox.shell import environment, exports
    from kube_iam.sandbox.state import ADMINISTRATOR
    from kube_iam.sandbox.users import ensure_user

    name = user or ADMINISTRATOR
    state = ensure_user(home, home.require(), name)
    credentials = state.user(name)
    assert credentials is not None
    page(exports(environment(home, state, name, credentials)))


@command.command("exec")
@_directory
@click.argument("user", metavar="USER", shell_complete=completing("complete_sandbox_users"))
@click.option(
    "--level",
    default="",
    metavar="LEVEL",
    shell_complete=completing("complete_sandbox_levels"),
    help="The level by which kubectl signs in.  [default: the current context, else the only level of the user]",
)
@click.argument("words", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(home: Home, user: str, level: str, words: tuple[str, ...]) -> int:
    """Run a command as an IAM user, made on first use, with that user's credentials and kubeconfig and no others.

    Settings of AWS and Kubernetes in your environment are left out. `kubectl config use-context` is remembered for the user. The exit
    code is the command's; 127 where there is no such program.
    """
    from kube_iam.cli.sandbox_exec import run_as

    return run_as(home, user, level, words)


@command.command("review")
@_directory
def review_command(home: Home) -> int:
    """Read a token, or what `kube-iam token` prints, from standard input and show the webhook's answer.

    The TokenReview is the one that kube-apiserver sends. Exit code 0 where the webhook authenticates the token, else 1.
    """
    from kube_iam.sandbox.webhook import review, token_of

    code, answer = review(home, home.require(), token_of(sys.stdin.read(_REVIEW_LIMIT)))
    if code != 200:
        click.echo(f"sandbox: the webhook answered {code}", err=True)
    page(json.dumps(answer, indent=2))
    return 0 if answer.get("status", {}).get("authenticated") is True else 1


def _need_ministack() -> None:
    from importlib.util import find_spec

    if find_spec("ministack") is None:
        raise SandboxError(
            "the sandbox needs ministack",
            "it comes with the extra `sandbox`: in a clone of the repository, pip install '.[sandbox]'",
        )
