"""KUBE_IAM_REQUIRE_ALL turns every kind of skip into a failure, except those of tests that do not apply here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from required import everything_required

pytestmark = pytest.mark.process

TESTS = Path(__file__).parents[1]
SKIPPED = {
    "test_skip": "def test_skip():\n    pytest.skip('no tool')",
    "test_missing": "def test_missing():\n    missing('a tool', 'install it')",
    "test_skipif": "@pytest.mark.skipif(True, reason='no tool')\ndef test_skipif(): ...",
    "test_mark": "@pytest.mark.skip(reason='no tool')\ndef test_mark(): ...",
    "test_fixture": "@pytest.fixture\ndef tool():\n    pytest.skip('no tool')\n\ndef test_fixture(tool): ...",
    "test_import": "def test_import():\n    pytest.importorskip('no_such_module_of_kube_iam')",
}
STAYS = {
    "test_not_applicable": "def test_not_applicable():\n    not_applicable('root reads every file')",
    "test_expected": "@pytest.mark.xfail(reason='known')\ndef test_expected():\n    assert False",
    "test_passes": "def test_passes(): ...",
}
HEAD = "import pytest\nfrom required import missing, not_applicable\n\n"


def run(directory: Path, text: str, required: str) -> str:
    (directory / "test_sample.py").write_text(HEAD + text)
    plugins = [part for name in ("no:cacheprovider", "no:xdist", "required") for part in ("-p", name)]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", *plugins, "-c", os.devnull]
    environ = {**os.environ, "KUBE_IAM_REQUIRE_ALL": required, "PYTHONPATH": str(TESTS)}
    environ.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        [*command, "--rootdir", str(directory), str(directory)],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    return done.stdout + done.stderr


def test_every_kind_of_skip_fails_where_everything_is_required(tmp_path: Path) -> None:
    text = "\n\n".join([*SKIPPED.values(), *STAYS.values()])
    said = run(tmp_path, text, "1")
    failed = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert sorted(line.partition("::")[2].partition(" ")[0] for line in failed) == sorted(SKIPPED)
    assert "1 skipped" in said
    assert "1 xfailed" in said
    assert "this was skipped: a tool is missing: install it" in said


def test_a_module_that_skips_itself_fails_where_everything_is_required(tmp_path: Path) -> None:
    said = run(tmp_path, "pytest.skip('no tool', allow_module_level=True)", "1")
    assert "1 error" in said
    assert "this was skipped: no tool" in said


def test_skips_are_skips_elsewhere(tmp_path: Path) -> None:
    said = run(tmp_path, "\n\n".join(SKIPPED.values()), "0")
    assert f"{len(SKIPPED)} skipped" in said
    assert "failed" not in said


@pytest.mark.parametrize(("value", "required"), [("1", True), ("true", True), ("yes", True), ("0", False), ("", False)])
def test_any_value_but_nothing_and_zero_requires_everything(value: str, required: bool) -> None:
    assert everything_required({"KUBE_IAM_REQUIRE_ALL": value}) is required
    assert not everything_required({})
