"""The package follows rules 4 and 5 of CONTRIBUTING.md, and the check finds modules that do not. `make check` runs this file."""

from __future__ import annotations

from pathlib import Path

import pytest

from source_rules import LONGEST_TEST_NAME, broken_rules, broken_test_rules, question_docstrings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "kube_iam"
TESTS = ROOT / "tests"


@pytest.mark.slow
def test_no_module_of_the_package_breaks_a_rule() -> None:
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > 100
    assert [broken for path in modules for broken in broken_rules(path.relative_to(PACKAGE), path.read_text())] == []


@pytest.mark.parametrize(
    "text",
    [
        "import sys\nsys.exit(1)",
        "import sys as system\nsystem.exit(1)",
        "from sys import exit as leave\nleave(1)",
        "raise SystemExit(1)",
        "exit()",
        "import os\nos._exit(1)",
        "print('x')",
        "show = print",
        "import sys\nsys.stdout.write('x')",
        "from pprint import pprint\npprint({})",
        "import click\nclick.echo('x')",
        "import os\nos.environ['HOME']",
        "from os import environ\nenviron['HOME']",
        "import os\nos.getenv('HOME')",
        "import os.path\nos.environ",
        "def f():\n    import os\n    return os.environ",
    ],
)
@pytest.mark.parametrize("package", ["server", "core", "sandbox", "aws"])
def test_ending_printing_and_the_environment_belong_in_cli(package: str, text: str) -> None:
    assert broken_rules(Path(package, "module.py"), text)
    assert not broken_rules(Path("cli", "module.py"), text)


def test_environ_is_a_default_argument_in_aws_only() -> None:
    text = "import os\ndef f(environ=os.environ): ...\ndef g(*, environ=os.environ): ..."
    assert broken_rules(Path("aws", "module.py"), text) == []
    assert len(broken_rules(Path("kube", "module.py"), text)) == 2


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("import os\nos.replace('a', 'b')\n", "files.py"),
        ("from tempfile import mkstemp\nmkstemp()\n", "files.py"),
        ("import fcntl\nfcntl.flock(1, fcntl.LOCK_EX)\n", "files.py"),
        ("import json\njson.loads(x, object_pairs_hook=dict)\n", "core/strict_json.py"),
    ],
)
def test_there_is_one_atomic_write_one_lock_and_one_strict_json_reader(text: str, place: str) -> None:
    assert f"stands in {place}" in broken_rules(Path("kube", "module.py"), text)[0]
    assert not broken_rules(Path(place), text)


@pytest.mark.parametrize("text", ["import os", '"""Words."""\nVERSION = 1', '"""Words."""\n"""More."""', "VERSION = 1"])
def test_an_init_file_holds_a_docstring_and_nothing_else(text: str) -> None:
    assert broken_rules(Path("core", "__init__.py"), text)
    assert not broken_rules(Path("core", "__init__.py"), '"""Words."""\n')
    assert not broken_rules(Path("core", "__init__.py"), "")


@pytest.mark.slow
def test_no_module_of_the_tests_breaks_a_rule() -> None:
    modules = sorted(TESTS.rglob("*.py"))
    assert len(modules) > 100
    broken = [
        complaint for path in modules for complaint in broken_test_rules(path.relative_to(TESTS), path.read_text())
    ]
    assert broken == []


@pytest.mark.parametrize(
    "text", ["from test_mapping import role", "import test_mapping", "from unit.test_mapping import x"]
)
def test_a_test_module_imports_no_other_test_module(text: str) -> None:
    assert broken_test_rules(Path("unit/test_x.py"), text)
    assert broken_test_rules(Path("unit/helpers.py"), text)
    assert not broken_test_rules(Path("unit/test_x.py"), "from identities import principal\nimport testing")


def test_a_test_runs_commands_through_the_command_line() -> None:
    assert broken_test_rules(Path("unit/test_x.py"), "from click.testing import CliRunner")
    assert not broken_test_rules(Path("unit/test_x.py"), "from kube_iam.cli.root import run_command\nimport click")


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_test_name_has_a_limit(keyword: str) -> None:
    longest = "test_".ljust(LONGEST_TEST_NAME, "x")
    assert not broken_test_rules(Path("test_x.py"), f"{keyword} {longest}(): ...")
    assert broken_test_rules(Path("test_x.py"), f"class C:\n    {keyword} {longest}x(self): ...")


@pytest.mark.slow
def test_no_docstring_begins_like_a_question() -> None:
    modules = sorted(path for tree in ("src", "tests", "bench", "tools") for path in (ROOT / tree).rglob("*.py"))
    assert len(modules) > 300
    assert [found for path in modules for found in question_docstrings(path.relative_to(ROOT), path.read_text())] == []


@pytest.mark.parametrize("word", ["Who", "Whom", "What", "Why", "How", "Where", "Which"])
def test_docstrings_that_begin_like_a_question_are_found(word: str) -> None:
    text = (
        f'"""{word} it is."""\nclass C:\n    """{word} it is."""\n    async def f(self):\n        """{word} it is."""'
    )
    assert [found.split(":")[1] for found in question_docstrings(Path("m.py"), text)] == ["1", "3", "5"]


@pytest.mark.parametrize("docstring", ["Return what it is.", "Whatever it is.", "However.", ""])
def test_other_docstrings_are_left_alone(docstring: str) -> None:
    assert question_docstrings(Path("m.py"), f'def f():\n    """{docstring}"""') == []
