"""Examples in every `--help`: each is a command line that the program takes."""

from __future__ import annotations

import click
import pytest
from command_line import all_commands
from command_lines import parse_line

from kube_iam.cli.root import COMMANDS

PATHS = [context.command_path for context in all_commands()]


def example_lines(context: click.Context) -> list[str]:
    _, found, examples = context.get_help().partition("Examples:\n")
    assert found, context.command_path
    return [line.strip() for line in examples.splitlines() if f"{context.find_root().info_name} " in line]


@pytest.mark.parametrize("path", PATHS)
def test_every_help_has_examples_and_each_is_taken(path: str) -> None:
    context = next(each for each in all_commands() if each.command_path == path)
    lines = example_lines(context)
    assert lines
    for line in lines:
        parsed = parse_line(line)
        assert line.startswith(("kube-iam ", "source <(kube-iam "))
        assert parsed.command_path.startswith(path) or path == "kube-iam"


def test_examples_are_shown_for_the_name_under_which_the_program_runs() -> None:
    shown = {context.command_path: context for context in all_commands("kubectl iam")}
    assert "kubectl iam grant alice admin\n" in shown["kubectl iam grant"].get_help() + "\n"


def test_the_examples_name_no_command_that_is_gone() -> None:
    from kube_iam.cli.examples import EXAMPLES

    assert {path.split()[0] for path in EXAMPLES} <= set(COMMANDS)
    assert {f"kube-iam {path}" for path in EXAMPLES} <= set(PATHS)
