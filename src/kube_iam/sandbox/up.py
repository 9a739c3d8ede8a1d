"""Start a sandbox, or the parts of it that do not run, and take it down again."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from kube_iam.core.partitions import sts_host
from kube_iam.sandbox import account
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.people import account_answers, make_administrator
from kube_iam.sandbox.processes import free_port
from kube_iam.sandbox.state import ACCOUNT, LOOPBACK, PROCESSES, REGION, Home, State

Say = Callable[[str], None]
_PATIENCE_SECONDS = 60.0


def down(home: Home) -> tuple[str, ...]:
    """Stop everything, the last started first, and remove the directory. Returns the names of the processes that ran."""
    ran = tuple(name for name in reversed(PROCESSES) if home.process(name).pid() is not None)
    for name in reversed(PROCESSES):
        home.process(name).stop()
    home.remove()
    return ran


def start_account(home: Home, authority: Authority, say: Say) -> State:
    """Start the AWS account and make its administrator."""
    port = free_port()
    state = State(
        port, free_port(), free_port(), root_key=(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30))
    )
    hosts = [LOOPBACK, "localhost", sts_host(REGION)]
    pair = authority.server("account", hosts)
    process = home.process("account")
    process.start(
        account.command(port, REGION, pair.certificate, pair.key, state.root_key[0]),
        account.environment(ACCOUNT, REGION, *state.root_key, home.root),
        home.root,
    )
    home.save(state)
    process.await_ready(lambda: account_answers(home, state), _PATIENCE_SECONDS)
    say(f"AWS account {ACCOUNT} (IAM and STS) on {state.account_url}")
    return make_administrator(home, state)


def default_directory(state_home: str, user_home: str) -> Path:
    """$XDG_STATE_HOME/kube-iam/sandbox, where that is set to an absolute path, else ~/.local/state/kube-iam/sandbox."""
    base = Path(state_home) if state_home.startswith("/") else Path(user_home) / ".local" / "state"
    return base / "kube-iam" / "sandbox"
