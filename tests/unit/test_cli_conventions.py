"""Conventions of the command line that hold for every command: exit codes, --version, missing words, standard input, data."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from access_commands import FILE
from access_commands import account as account
from command_line import Run, all_commands
from command_line import run as run
from fake_account import FakeAccount
from ruamel.yaml import YAML

from kube_iam.report.data import as_yaml


@pytest.mark.parametrize(
    "words",
    [
        "unknown",
        "--unknown",
        "plan --unknown",
        "plan too many",
        "plan -o xml",
        "apply -f nowhere.yaml",
        "grant",
        "grant alice",
        "grant alice unknown",
        "grant alice admin --for never",
        "revoke admin",
        "who unknown",
        "kubeconfig",
        "kubeconfig unknown",
        "deny",
        "undeny",
        "completion csh",
        "manifest unknown",
        "sandbox unknown",
    ],
)
def test_usage_errors_exit_with_2(words: str, run: Run, account: FakeAccount) -> None:
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith("kube-iam: error: ")


@pytest.mark.parametrize("words", ["token", "token -i x --unknown", "verify -t x", "server -i x --port x", "add user"])
def test_usage_errors_of_the_references_commands_exit_as_the_reference_does(words: str, run: Run) -> None:
    assert run(*words.split())[0] == 1


def test_a_usage_error_is_never_taken_for_changes_in_a_plan(run: Run, account: FakeAccount) -> None:
    assert run("plan", "--detailed-exitcode", "--unknown")[0] == 1
    assert run("plan", "--detailed-exitcode", "-f", "nowhere.yaml")[0] == 1
    assert run("plan", "--detailed-exitcode")[0] == 2
    assert run("drift", "--unknown")[0] == 1
    assert run("drift", "-f", "nowhere.yaml")[0] == 1
    assert run("drift")[0] == 2


def test_other_errors_exit_with_1(run: Run, account: FakeAccount) -> None:
    Path("access.yaml").write_text("levels: [")
    assert run("validate")[0] == 1
    Path("access.yaml").write_text(FILE)
    assert run("grant", "alice", "admin")[0] == 1


@pytest.mark.parametrize(
    ("program", "name"), [("kube-iam", "kube-iam"), ("kubectl-iam", "kubectl iam"), ("aws-iam-authenticator",) * 2]
)
def test_the_version_is_an_option_too(program: str, name: str, run: Run) -> None:
    number = json.loads(run("version")[1])["Version"]
    assert run("--version", program=program) == (0, f"{name} {number}\n", "")


@pytest.mark.parametrize("command", ["grant", "revoke"])
def test_a_missing_level_or_user_is_named(command: str, run: Run, account: FakeAccount) -> None:
    assert run(command, "alice")[2] == (
        f"kube-iam: error: {command} alice: the LEVEL is missing\nhint: {command} alice LEVEL; levels: admin, viewer\n"
    )
    assert run(command, "viewer")[2] == (
        f"kube-iam: error: {command} viewer: the USER is missing\nhint: {command} USER... viewer\n"
    )
    assert "the USER and the LEVEL are missing" in run(command)[2]
    Path("access.yaml").unlink()
    assert "alice: the LEVEL is missing" in run(command, "alice")[2]


@pytest.mark.parametrize("words", ["validate", "plan", "kubeconfig admin"])
def test_the_access_file_can_come_from_standard_input(words: str, run: Run, account: FakeAccount) -> None:
    expected = run(*words.split())[1].replace("access.yaml", "standard input")
    Path("access.yaml").unlink()
    assert run(*words.split(), "-f", "-", stdin=FILE) == (0, expected, "")


def test_problems_in_standard_input_are_named_so(run: Run, account: FakeAccount) -> None:
    code, _, err = run("validate", "-f", "-", stdin="levels: [")
    assert (code, err.startswith("kube-iam: error: standard input: ")) == (1, True)
    code, _, err = run("validate", "--file=-", stdin=FILE.replace("account", "acount"))
    assert (code, "standard input: line 4: acount: " in err) == (1, True)
    code, _, err = run("validate", "-f", "-", stdin="")
    assert (code, "standard input: is empty" in err) == (1, True)


def test_files_named_in_standard_input_are_relative_to_the_working_directory(
    run: Run, account: FakeAccount, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    text = FILE.replace("name: prod,", "name: prod, certificateAuthority: ca.pem,")
    assert "certificate-authority-data" in run("kubeconfig", "admin", "-f", "-", stdin=text)[1]


def test_yaml_output_repeats_values_and_has_no_anchors(run: Run, account: FakeAccount) -> None:
    shared = ["a"]
    text = as_yaml({"one": shared, "two": shared, "three": [{"same": shared}, {"same": shared}]})
    assert YAML(typ="safe", pure=True).load(text)["three"] == [{"same": ["a"]}, {"same": ["a"]}]
    assert "&" not in text
    assert "*" not in text
    text = run("plan", "-o", "yaml")[1]
    assert "&id" not in text
    assert "*id" not in text


def test_a_created_thing_shows_no_empty_fields(run: Run, account: FakeAccount) -> None:
    out = run("plan")[1]
    assert "+ role prod-admin (admin)" in out
    assert "none" not in out


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_validate_says_to_programs_what_is_wrong(output: str, run: Run, account: FakeAccount) -> None:
    def validated(expected: int) -> dict[str, object]:
        code, out, err = run("validate", "-o", output)
        assert (code, err) == (expected, "")
        read = YAML(typ="safe", pure=True).load(out)
        assert isinstance(read, dict)
        return read

    assert validated(0) == {
        "file": "access.yaml",
        "valid": True,
        "cluster": "prod.example.com",
        "levels": ["admin", "viewer"],
        "problems": [],
        "warnings": [],
    }
    Path("access.yaml").write_text(FILE.replace("account", "acount").replace("sessionDuration: 2h", "mfa: perhaps"))
    found = validated(1)
    assert (found["valid"], found["cluster"], found["levels"]) == (False, None, [])
    problems = found["problems"]
    assert isinstance(problems, list)
    assert {(each["line"], each["key"]) for each in problems} >= {(4, "acount"), (8, "levels[1].mfa")}


def test_every_command_of_ours_has_the_same_forms_of_output() -> None:
    forms: dict[tuple[str, ...], set[str]] = {}
    for context in all_commands():
        for option in context.command.params:
            if "-o" in option.opts:
                assert isinstance(option.type, click.Choice)
                assert option.opts == ["-o", "--output"]
                forms.setdefault(tuple(option.type.choices), set()).add(context.command_path.removeprefix("kube-iam "))
    assert forms.pop(("json",)) == {"verify"}  # as the reference has it
    assert forms.pop(("json", "yaml")) == {"version"}  # as the reference has it
    assert forms == {
        ("table", "json", "yaml"): {
            *("new", "import", "plan", "drift", "apply", "destroy", "validate"),
            *("grant", "revoke", "who", "who-can", "explain", "deny", "undeny", "logout", "doctor"),
        },
        ("html", "json", "yaml", "csv"): {"report"},
    }
