"""Text of others on its way to the terminal: in every command, in errors, in tables, JSON, YAML, questions and progress."""

from __future__ import annotations

import ast
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from access_commands import FILE
from api_in_memory import ApiInMemory
from command_line import extra_command
from fake_account import FakeAccount
from hypothesis import given
from hypothesis import strategies as st
from levels_for_tests import access
from prepared_session import PreparedSession
from ruamel.yaml import YAML

from kube_iam.access.changes import Change, Kind, Plan, Verb
from kube_iam.access.plan import plan_apply
from kube_iam.aws import mfa
from kube_iam.cli import root
from kube_iam.cli.changes import ChangesMade
from kube_iam.cli.main import main
from kube_iam.cli.progress import Display
from kube_iam.cli.root import run_command
from kube_iam.cli.session import AdminSession
from kube_iam.cli.terminal import SafeStream, guarded, page, painted
from kube_iam.core.printable import escaped, is_visible
from kube_iam.denylist.editor import DenyListEditor
from kube_iam.errors import ConfigError, KubeError, Problem, SandboxError, WouldFail
from kube_iam.kube.config_map import Contents
from kube_iam.report.data import as_json, as_yaml
from kube_iam.report.members_text import table
from kube_iam.report.plan_text import headlines

CONTROLS = "\x07\x08\x0b\x0c\r\x1b]0;title\x07\x1b[2J\x1b[8m\x7f\x85\x9b31m\x9d"
DECEIVING = (
    "\u00a0\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a\u202e\u2028\u2029\u2060\u2066\u2069\u3164\ufe0f\ufeff\ufff9"
)
HOSTILE = f"x{CONTROLS}{DECEIVING}\ue000\U000e0041\U0001d173\udc80\udfff\nforged: line\r\nforged: too"

IN_FILES = "".join(each for each in HOSTILE if ord(each) < 0xD800 or 0xDFFF < ord(each) < 0x10000)


def assert_safe(text: str) -> None:
    """Everything is visible, and no value has begun a line."""
    assert [ascii(character) for character in text if not is_visible(character) and character != "\n"] == []
    assert not [line for line in text.split("\n") if line.startswith("forged:")]


class Run:
    """Runs the program as its users do, and keeps what it printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.out = self.err = ""
        self.session: Callable[[], AdminSession | None] = lambda: None

    def __call__(self, *arguments: str, stdin: str = "") -> int:
        self._monkeypatch.setattr(sys, "argv", ["kube-iam", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = main(self.session())
        self.out, self.err = self._capsys.readouterr()
        assert_safe(self.out)
        assert_safe(self.err)
        return code


@pytest.fixture
def run(
    own_environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "KUBE_IAM_ACCESS", "KUBE_IAM_SANDBOX"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    return Run(monkeypatch, capsys)


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the program."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(root.make_root("kube-iam")))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_escapes_what_it_is_given(
    path: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_sandbox(*_: object) -> None:
        raise SandboxError(f"cannot start: {HOSTILE}", HOSTILE)

    monkeypatch.setattr("kube_iam.sandbox.up.up", no_sandbox)
    parameters = [each for each in COMMANDS[path].params if "--config" not in each.opts]
    arguments = [each for each in parameters if isinstance(each, click.Argument)]
    # Nothing is started with these, whatever else is given.
    never = {"server": ["-c", f"/nonexistent/{HOSTILE}"], "sync": ["--membership-refresh", "99h"]}.get(path[0], [])
    for each in parameters:
        values = [HOSTILE] * max(each.nargs, 1)
        given_option = [*(each.opts[-1:] if isinstance(each, click.Option) else []), *values]
        run(*path, *never, *given_option, *([HOSTILE] * len(arguments) if each not in arguments else []), stdin=HOSTILE)
    run(*path, *never, *[HOSTILE] * len(arguments), f"--{HOSTILE}")
    assert run(*path, "--help") == 0
    assert len(run.out.splitlines()) > 3


def test_names_of_commands_and_files_are_escaped(run: Run) -> None:
    for arguments in ((HOSTILE,), ("help", HOSTILE), ("plan", "-f", HOSTILE), ("deny", "x", "--kubeconfig", HOSTILE)):
        assert run(*arguments) != 0
        assert r"\u001b]0;title\u0007" in run.err


def test_names_in_a_kubeconfig_are_escaped(run: Run, tmp_path: Path) -> None:
    name = f"prod{IN_FILES}"
    (tmp_path / "none").write_text(
        json.dumps({"contexts": [{"name": name, "context": {"cluster": IN_FILES, "user": IN_FILES}}]})
    )
    assert run("deny", "x", "--context", "prod") == 1
    assert run("deny", "x", "--context", name) == 1
    assert "forged: line" in run.err


def test_a_files_problems_are_a_line_each_and_values_make_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "access.yaml").write_text(f"kind: {json.dumps(IN_FILES)}\n{json.dumps(IN_FILES)}: 1\n")
    assert run("validate") == 1
    assert len(run.err.splitlines()) > 2
    assert "forged: line" in run.err


@pytest.fixture
def account(run: Run, tmp_path: Path) -> FakeAccount:
    account = FakeAccount()
    run.session = lambda: PreparedSession(account)
    (tmp_path / "access.yaml").write_text(FILE)
    assert run("apply", "--yes") == 0
    return account


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_names_tags_and_descriptions_of_iam_are_escaped(account: FakeAccount, run: Run, output: str) -> None:
    roles = account.directory.role_states
    for name, role in list(roles.items()):
        tags = {**role.tags, f"k{HOSTILE}": HOSTILE}
        roles[name] = type(role)(
            **{**{f: getattr(role, f) for f in role.__slots__}, "description": HOSTILE, "tags": tags}
        )
    run("plan", "-o", output)
    assert r"\u202e" in run.out
    if output != "table":
        loaded = json.loads(run.out) if output == "json" else YAML(typ="safe", pure=True).load(run.out)
        assert any(HOSTILE in text for text in strings(loaded))
    run("apply", "--yes")


def strings(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from (*strings(key), *strings(value))
    elif isinstance(data, list):
        for value in data:
            yield from strings(value)
    elif isinstance(data, str):
        yield data


@pytest.mark.parametrize(
    "command", ["plan", "drift", "apply --yes", "destroy --yes", "who", "grant x admin", "revoke x admin"]
)
def test_error_texts_of_services_are_escaped(account: FakeAccount, run: Run, command: str) -> None:
    for method in ("caller", "group", "groups", "users", "role", "roles", "user", "entries", "members", "bindings"):
        account.world.errors[method] = KubeError(f"forbidden: {HOSTILE}", f"ask {HOSTILE}")
    assert run(*command.split()) == 1
    assert r"forbidden: x\u0007" in run.err


ENTRIES = {
    "list of denials": json.dumps(
        {"denials": [{"kind": "userName", "value": "alice", "reason": HOSTILE, "actor": HOSTILE}]}
    ),
    "text": HOSTILE,
    "value": json.dumps({"value": HOSTILE}),
    "user name": json.dumps({"userName": HOSTILE, "reason": HOSTILE}),
}


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
@pytest.mark.parametrize("text", ENTRIES.values(), ids=ENTRIES)
def test_entries_of_the_deny_list_are_escaped(text: str, output: str, run: Run) -> None:
    class HostileList(DenyListEditor):
        def describe(self) -> str:
            return HOSTILE

        def read(self) -> Contents:
            return Contents({HOSTILE: text, "b": text})

    run.session = lambda: PreparedSession(FakeAccount(), ApiInMemory().api(), open_deny_list=HostileList)
    assert run("deny", "--list", "-o", output) == 0
    assert r"\u009b" in run.out + run.err


def test_a_message_of_a_new_command_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> int:
        click.echo(f"hello {HOSTILE}")
        click.secho(f"red {HOSTILE}", fg="red", err=True)
        print(HOSTILE)  # noqa: T201
        sys.stderr.write(f"{HOSTILE}\n")
        sys.stderr.writelines([HOSTILE, "\n"])
        click.confirm(f"sure {HOSTILE}", default=False, err=True)
        return 0

    extra_command(monkeypatch, body)
    assert run("extra", stdin="n\n") == 0
    assert run.out.count("\n") == 2
    assert r"\u001b[8m" in run.out.splitlines()[0]


def test_an_unexpected_error_shows_no_text_of_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        exec(
            compile("raise type(name, (Exception,), {})(name)", f"/tmp/{CONTROLS}.py", "exec"),
            {"name": CONTROLS, "__name__": CONTROLS},
        )

    extra_command(monkeypatch, body)
    for debug in ("", "1"):
        monkeypatch.setenv("KUBE_IAM_DEBUG", debug)
        assert run("extra") == 1
        assert r"\u001b[2J" in run.err


def test_lines_of_an_error_stay_lines_and_values_make_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        raise ConfigError("a.yaml", [Problem("b", "is odd\nforged: x"), Problem("c", "is odder")])

    extra_command(monkeypatch, body)
    assert run("extra") == 1
    assert run.err.splitlines() == [r"kube-iam: error: a.yaml: b: is odd\u000aforged: x", "a.yaml: c: is odder"]


def test_a_list_in_an_error_has_a_line_for_each_thing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        raise WouldFail.listing("these would fail:", ["a\nforged: x", "b"], "stop")

    extra_command(monkeypatch, body)
    assert run("extra") == 1
    assert run.err.splitlines() == [
        "kube-iam: error: these would fail:",
        r"  - a\u000aforged: x",
        "  - b",
        "hint: stop",
    ]


def test_the_question_for_a_code_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(mfa, "has_terminal", lambda: True)

    def getpass(question: str) -> str:
        asked.append(question)
        return "123456"

    monkeypatch.setattr("getpass.getpass", getpass)
    assert mfa.MfaPrompt(interactive=True).code_of(HOSTILE) == "123456"
    assert_safe(asked[0])


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_shows_names_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "500")
    plan = Plan("prod", "1", "x", changes=(Change(Verb.CREATE, Kind.ROLE, HOSTILE, "admin"),))
    display = Display()
    with guarded({}), display.changes(headlines(plan), ChangesMade()) as progress:
        progress(0)
        display.waiting(f"waiting {HOSTILE}")
    shown = stderr.getvalue()
    assert r"\u001b]0;title" in shown
    assert not {"\x1b]", "\x1b[8m", "\x07", "\x9b", "\u202e"} & {
        part for part in ("\x1b]", "\x1b[8m", "\x07", "\x9b", "\u202e") if part in shown
    }


def test_colours_are_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(environ: dict[str, str], stream: io.StringIO) -> str:
        monkeypatch.setattr(sys, "stdout", stream)
        with guarded(environ):
            page(painted(escaped("a\x1b[31m"), "green") + "\nb")
        return stream.getvalue()

    assert shown({}, Terminal()) == "\x1b[32ma\\u001b[31m\x1b[0m\nb\n"
    assert shown({"NO_COLOR": "1"}, Terminal()) == shown({}, io.StringIO()) == "a\\u001b[31m\nb\n"


def test_a_plan_on_a_terminal_is_coloured_and_safe(account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Terminal()
    monkeypatch.setattr(sys, "stdout", stdout)
    account.directory.role_states.clear()
    run_command("kube-iam", ["plan"], {}, PreparedSession(account))
    assert "\x1b[32m+ role prod-admin (admin)\x1b[0m\n" in stdout.getvalue()


def test_the_streams_are_restored_and_their_bytes_not_reached() -> None:
    before = sys.stdout, sys.stderr
    with guarded({}), guarded({}):
        assert isinstance(sys.stdout, SafeStream)
        assert not isinstance(sys.stdout.unguarded, SafeStream)
        assert not hasattr(sys.stdout, "buffer")
        assert sys.stdout.encoding == before[0].encoding
    assert (sys.stdout, sys.stderr) == before


@given(st.text())
def test_json_and_yaml_read_back_as_the_same_text(text: str) -> None:
    assert json.loads(as_json({text: [text]})) == {text: [text]}
    assert_visible(as_json({text: [text]}))
    assert_visible(as_yaml({text: [text]}))
    assert YAML(typ="safe", pure=True).load(as_yaml({text: [text]})) == {text: [text]}


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Lu"])))
def test_json_that_is_printed_without_care_still_reads_back(text: str) -> None:
    assert json.loads(escaped(json.dumps(text, ensure_ascii=False))) == text
    assert_visible(escaped(text))


def assert_visible(text: str) -> None:
    assert all(is_visible(character) or character == "\n" for character in text)


def test_visible_text_is_left_alone() -> None:
    for text in ("plain", "Zoë Łukasz 山田 🙂", "a\\u001b", "", 'quote "'):
        assert escaped(text) == text
    assert "Zoë" in as_json(["Zoë"])
    assert "Zoë" in as_yaml(["Zoë"])


def test_columns_stay_aligned_whatever_is_in_them() -> None:
    lines = table(("A", "B"), [(HOSTILE, "1"), ("x", HOSTILE)]).splitlines()
    assert len(lines) == 3
    assert lines[0].index("B") == lines[1].rindex("1")


@pytest.mark.slow
def test_nothing_writes_around_the_guard() -> None:
    """Only what moves the cursor or escapes on its own may have the streams themselves."""
    source = Path(root.__file__).parents[1]
    may = {"cli/terminal.py", "cli/progress.py", "cli/countdown.py", "cli/server.py", "cli/sync.py"}
    found = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in ("__stdout__", "__stderr__", "unguarded", "get_binary_stream", "get_text_stream"):
                found.add(str(path.relative_to(source)))
    assert found <= may


def test_a_plan_holds_no_character_that_is_not_visible() -> None:
    assert_visible(json.dumps(plan_apply(access(), FakeAccount().ports).as_data()))
