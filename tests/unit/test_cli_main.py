from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from command_line import extra_command

from kube_iam.cli import root
from kube_iam.cli.global_options import GlobalOptions
from kube_iam.cli.main import main, program_name
from kube_iam.cli.shared_options import global_options, pass_global_options
from kube_iam.cli.terminal import page, painted
from kube_iam.errors import KubeIamError, UsageError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(own_environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str, program: str = "/usr/bin/kube-iam") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        code = main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/bin/kube-iam", "kube-iam"),
        ("kubectl-iam", "kubectl iam"),
        ("C:\\bin\\kubectl-iam.exe", "kubectl iam"),
        ("/opt/aws-iam-authenticator", "aws-iam-authenticator"),
        ("/somewhere/__main__.py", "kube-iam"),
    ],
)
def test_the_program_is_called_what_people_typed(path: str, name: str, run: Run) -> None:
    assert program_name(path) == name
    assert run("token", "--help", program=path)[1].startswith(f"Usage: {name} token ")
    assert run("token", program=path)[2].startswith(f"{name}: error: ")


def test_help_shows_every_command_and_imports_none(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from kube_iam.cli.main import main\n"
        "sys.argv = ['kube-iam', '--help']\n"
        "code = main()\n"
        "print(*(m for m in sys.modules if m.startswith(('kube_iam', 'botocore', 'rich', 'granian'))), file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for name in root.COMMANDS:
        assert f"  {name} " in ran.stdout
    assert set(ran.stderr.split()) == {
        "kube_iam",
        "kube_iam.aws",
        "kube_iam.aws.environment",
        "kube_iam.cli",
        "kube_iam.cli.global_options",
        "kube_iam.cli.main",
        "kube_iam.cli.shared_options",
        "kube_iam.cli.root",
        "kube_iam.cli.terminal",
        "kube_iam.cli.token_run",
        "kube_iam.core",
        "kube_iam.core.printable",
        "kube_iam.core.tokens",
        "kube_iam.errors",
    }


def test_version_is_json_as_the_reference_prints_it(run: Run) -> None:
    code, out, err = run("version")
    assert (code, err) == (0, "")
    assert list(json.loads(out)) == ["Version"]
    assert run("version", "--short")[1].strip() == json.loads(out)["Version"]
    assert run("version", "--short=true")[1] == run("version", "-s")[1]
    assert run("version", "-o", "yaml")[1].splitlines() == [
        f"version: {json.loads(out)['Version']}",
        'commit: ""',
        'date: ""',
    ]


def test_help_is_a_command_too(run: Run) -> None:
    for words in ((), ("token",), ("add", "user")):
        assert run("help", *words) == run(*words, "--help")
    assert run("help", "tokn")[0] == 1


def test_an_unknown_command_gets_its_near_match(run: Run) -> None:
    code, out, err = run("tokn")
    assert (code, out) == (2, "")
    assert "token" in err


def test_a_command_that_is_not_there_yet_is_told_as_such(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "COMMANDS", {"later": root.Entry("kube_iam.cli.later:command", "Later.", root.OTHER)})
    assert run("later") == (2, "", "kube-iam: error: `later` is not in this version\n")


def test_an_unknown_option_is_one_line_that_names_the_help(run: Run) -> None:
    code, out, err = run("version", "--shrt")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "--short" in err
    assert "kube-iam version --help" in err


def test_errors_of_ours_are_a_message_and_a_hint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise KubeIamError("it went wrong", "do this")

    extra_command(monkeypatch, fail)
    assert run("extra") == (1, "", "kube-iam: error: it went wrong\nhint: do this\n")


def test_a_bug_is_a_sentence_and_never_shows_a_value(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("k8s-aws-v1.secret")

    extra_command(monkeypatch, fail)
    code, out, err = run("extra")
    assert (code, out, err.count("\n")) == (1, "", 2)
    assert "RuntimeError" in err
    assert "KUBE_IAM_DEBUG=1" in err
    assert "k8s-aws-v1" not in err
    monkeypatch.setenv("KUBE_IAM_DEBUG", "1")
    err = run("extra")[2]
    assert "in fail" in err
    assert __file__ in err


def test_the_traceback_shows_places_and_no_messages(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "".join(["very", "-", "secret"])

    def fail() -> None:
        try:
            raise ValueError(secret)
        except ValueError as error:
            raise RuntimeError(secret) from error

    extra_command(monkeypatch, fail)
    monkeypatch.setenv("KUBE_IAM_DEBUG", "1")
    err = run("extra")[2]
    assert "ValueError" in err
    assert secret not in err


def test_a_pressed_control_c_is_130_and_silent(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    extra_command(monkeypatch, fail)
    assert run("extra")[0] == 130
    assert "Traceback" not in run("extra")[2]


def test_control_c_at_a_question_is_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("click.termui.visible_prompt_func", interrupt)
    extra_command(monkeypatch, lambda: click.confirm("Sure?"), section=root.ACCESS)
    code, _, err = run("extra")
    assert (code, err.splitlines()[-1]) == (130, "kube-iam: stopped: nothing was changed")


def test_a_question_answered_with_no_is_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise click.Abort

    extra_command(monkeypatch, fail)
    assert run("extra") == (1, "", "kube-iam: stopped\n")


def test_exit_codes_of_commands_are_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    extra_command(monkeypatch, lambda: 3)
    assert run("extra")[0] == 3
    extra_command(monkeypatch, lambda: click.get_current_context().exit(4))
    assert run("extra")[0] == 4


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["token", "-i", "x", "--region", "eu-west-1"]])
@pytest.mark.process
def test_a_reader_that_has_gone_is_no_traceback(arguments: list[str]) -> None:
    program = "import sys; from kube_iam.cli.main import main; sys.argv[0] = 'kube-iam'; sys.exit(main())"
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s", "HOME": "/nonexistent"}
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, **keys},
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], GlobalOptions()),
        (["-i", "a", "extra"], GlobalOptions(cluster_id="a", cluster_id_given=True)),
        (["extra", "-i", "a"], GlobalOptions(cluster_id="a", cluster_id_given=True)),
        (
            ["-i", "a", "-l", "json", "extra", "-i", "b"],
            GlobalOptions(cluster_id="b", cluster_id_given=True, log_format="json"),
        ),
        (["-c", "f", "extra", "-v", "DEBUG"], GlobalOptions(config="f", log_verbosity="debug")),
        (["--feature-gates", "AllAlpha=true", "extra"], GlobalOptions(feature_gates="AllAlpha=true")),
    ],
)
def test_global_options_work_before_and_after_the_command(
    arguments: list[str], expected: GlobalOptions, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[GlobalOptions] = []

    @click.command("extra")
    @global_options
    @pass_global_options
    def extra(settings: GlobalOptions) -> None:
        seen.append(settings)

    extra_command(monkeypatch, extra)
    for name in ("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID", "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY"):
        monkeypatch.delenv(name, raising=False)
    assert run(*(arguments or ["extra"]))[0] == 0
    assert seen == [expected]


def test_global_options_come_from_the_environment_too() -> None:
    environ = {"KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID": "shop", "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY": "Debug"}
    assert GlobalOptions.from_environment(environ) == GlobalOptions(cluster_id="shop", log_verbosity="debug")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    extra_command(monkeypatch, lambda: page(painted("red", "red")))
    for environ, shown in (({}, "\x1b[31mred\x1b[0m\n"), ({"NO_COLOR": "1"}, "red\n")):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        assert root.run_command("kube-iam", ["extra"], environ) == 0
        assert terminal.getvalue() == shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", ["kube-iam", "kubectl-iam"])
def test_completion_prints_the_shells_script(shell: str, program: str, run: Run) -> None:
    code, out, _ = run("completion", shell, program=program)
    assert code == 0
    assert program in out
    assert f"_{program.replace('-', '_').upper()}_COMPLETE" in out


@pytest.mark.parametrize("program", ["kube-iam", "kubectl-iam"])
@pytest.mark.process
def test_the_shell_is_offered_commands_and_options(program: str) -> None:
    def offered(words: str) -> list[str]:
        variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
        environ = {
            **os.environ,
            variable: "bash_complete",
            "COMP_WORDS": f"{program} {words}",
            "COMP_CWORD": str(len(words.split(" "))),
        }
        code = f"import sys; from kube_iam.cli.main import main; sys.argv = [{program!r}]; sys.exit(main())"
        ran = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
        assert ran.stderr == ""
        return [line.partition(",")[2] for line in ran.stdout.splitlines() if line]

    assert offered("ver") == ["verify", "version"]
    assert offered("token --ses") == ["--session-name"]
    assert offered("unknown x") == []


def test_a_usage_error_names_the_program_under_its_own_name(run: Run) -> None:
    with pytest.raises(UsageError, match="kubectl iam version --help"):
        root.run_command("kubectl iam", ["version", "--unknown"])
