"""`sandbox exec`: run a command as an IAM user of the sandbox, in place of this process."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kube_iam.errors import SandboxError

if TYPE_CHECKING:
    from kube_iam.sandbox.state import Home

CANNOT_RUN, NOT_FOUND = 126, 127
"""Exit codes of a shell for a program that cannot be run, and for one that does not exist."""


def run_as(home: Home, user: str, level: str, words: Sequence[str]) -> int:
    """Replace this process by the command: its exit code, its signals and its terminal are the command's own.

    Return an exit code where there is no such program. Raises SandboxError and ConfigError.
    """
    from kube_iam.sandbox.shell import child_environment, environment
    from kube_iam.sandbox.state import ADMINISTRATOR
    from kube_iam.sandbox.user_kubeconfig import write_user_kubeconfig
    from kube_iam.sandbox.users import ensure_user

    state = ensure_user(home, home.require(), user)
    credentials = state.user(user)
    assert credentials is not None
    variables = environment(home, state, user, credentials)
    if level and not state.api_port:
        raise SandboxError("this sandbox has no cluster", "--level chooses a context of the cluster: leave it out")
    if state.api_port and (level or user != ADMINISTRATOR):
        path, doubt = write_user_kubeconfig(home, state, user, _program(), level)
        variables["KUBECONFIG"] = str(path)
        if doubt:
            click.echo(f"sandbox: {doubt}", err=True)
    return _replace_process(words, child_environment(home, os.environ, variables))


def _program() -> str:
    """Return the path of this program, which kubectl runs to sign in whatever the PATH is."""
    beside = Path(sys.executable).parent / "kube-iam"
    return str(beside) if beside.exists() else shutil.which("kube-iam") or "kube-iam"


def _replace_process(words: Sequence[str], environ: Mapping[str, str]) -> int:
    if not words[0]:
        click.echo("sandbox: cannot run '': no program has an empty name", err=True)
        return NOT_FOUND
    # Python ignores these, and a program inherits that: `yes | head` would not end.
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(words[0], [*words], dict(environ))  # noqa: S606  (no shell is wanted)
    except OSError as error:
        click.echo(f"sandbox: cannot run {words[0]}: {error.strerror}", err=True)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_RUN
