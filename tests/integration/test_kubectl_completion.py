"""Completion of `kubectl iam …` through a real kubectl, which finds and runs `kubectl_complete-iam` by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from access_commands import FILE

from required import missing

PROGRAMS = ("kubectl", "kubectl-iam", "kubectl_complete-iam")
NO_FILES, FILES = ":4", ":0"  # cobra's ShellCompDirectiveNoFileComp and ShellCompDirectiveDefault


@pytest.fixture
def complete(tmp_path: Path) -> Complete:
    (tmp_path / "access.yaml").write_text(FILE)
    (tmp_path / "config").write_text("contexts:\n- name: prod-admin\n  context: {}\n")
    return Complete(tmp_path)


class Complete:
    """Runs `kubectl __complete iam WORDS` in a directory and returns the lines of its stdout."""

    def __init__(self, directory: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        for program in PROGRAMS:
            if not shutil.which(program, path=path):
                missing(f"the program {program}", "make venv")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KUBE"))}
        self._environ = {**kept, "PATH": path, "HOME": str(directory), "KUBECONFIG": str(directory / "config")}
        self._directory = directory

    def __call__(self, *words: str) -> list[str]:
        done = subprocess.run(
            ["kubectl", "__complete", "iam", *words],
            cwd=self._directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stderr
        assert "error:" not in done.stderr
        return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (("gr",), ["grant", NO_FILES]),
        (("gr", ""), [NO_FILES]),
        (("kubeconfig", ""), ["admin", "viewer", NO_FILES]),
        (("kubeconfig", "v"), ["viewer", NO_FILES]),
        (("sandbox", "u"), ["up", NO_FILES]),
        (("plan", "-o", ""), ["table", "json", "yaml", NO_FILES]),
        (("plan", "--context", ""), ["prod-admin", NO_FILES]),
        (("plan", "--det"), ["--detailed-exitcode", NO_FILES]),
        (("plan", "-f", ""), [FILES]),
        (("undeny", ""), [NO_FILES]),
    ],
)
def test_kubectl_completes_our_words(complete: Complete, words: tuple[str, ...], lines: list[str]) -> None:
    assert [line.partition("\t")[0] for line in complete(*words)] == lines


def test_kubectl_shows_what_each_command_does(complete: Complete) -> None:
    found = dict(line.split("\t") for line in complete("")[:-1])
    assert found["version"] == "Print the version."
    assert all(found.values())
