"""The command line in this process: all commands, a run as a shell starts it, completions, an extra command."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator

import click
import pytest
from click.shell_completion import ShellComplete
from prepared_session import PreparedSession

from kube_iam.cli import root
from kube_iam.cli.main import main
from kube_iam.cli.root import make_root
from kube_iam.cli.session import AdminSession


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """Yield the command and all below it, each in a context of its own."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, click.Context(inner, info_name=name, parent=context))


def all_commands(program: str = "kube-iam") -> list[click.Context]:
    root = make_root(program)
    return list(commands(root, click.Context(root, info_name=program)))


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    own_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run the command line as a shell starts it, with the account of the test where it has one."""
    account = request.getfixturevalue("account") if "account" in request.fixturenames else None

    def call(*arguments: str, stdin: str = "", program: str = "/usr/bin/kube-iam") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = main(PreparedSession(account) if account is not None else None)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def offered(words: str, session: AdminSession | None = None) -> list[str]:
    *before, incomplete = words.split(" ")
    found = ShellComplete(make_root("kube-iam"), {"obj": session}, "kube-iam", "").get_completions(before, incomplete)
    return [str(item.value) if item.type == "plain" else f"<{item.type}>" for item in found]


def extra_command(
    monkeypatch: pytest.MonkeyPatch, body: Callable[[], object] | click.Command, section: str = root.OTHER
) -> None:
    """Add a command named `extra` to the table of commands: that one, or one with that body."""
    command = body if isinstance(body, click.Command) else click.Command("extra", callback=body)
    monkeypatch.setattr(sys.modules[__name__], "EXTRA", command, raising=False)
    table = {**root.COMMANDS, "extra": root.Entry(f"{__name__}:EXTRA", "Extra.", section)}
    monkeypatch.setattr(root, "COMMANDS", table)
