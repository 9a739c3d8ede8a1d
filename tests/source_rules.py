"""Rules of CONTRIBUTING.md, checked on the syntax tree.

`broken_rules` checks modules of the package: rules 4 and 5. `broken_test_rules` checks modules of the tests: imports, names, and that
commands run through the command line.
`question_docstrings` finds docstrings that begin like a question.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_FORBIDDEN = {
    *("sys.exit", "os._exit", "os.abort", "exit", "quit", "SystemExit"),
    *("print", "pprint.pprint", "pprint.pp", "sys.stdout", "sys.stderr", "click.echo", "click.secho"),
    *("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"),
}
_ENVIRONMENT = "os.environ"
# One atomic write and one lock, one reader of JSON that refuses duplicate keys.
_ONE_OF_EACH = {
    **dict.fromkeys(("os.replace", "os.rename", "tempfile.mkstemp", "fcntl.flock", "fcntl.lockf"), (Path("files.py"),)),
    # The deny list keeps duplicate keys: each of their values is denied.
    "object_pairs_hook": (Path("core/strict_json.py"), Path("denylist/entry.py")),
}
LONGEST_TEST_NAME = 80
_QUESTION = re.compile(r"\s*(?:Who|Whom|What|Why|How|Where|Which)\b")
# Its standard output is a pipe to the process that started it.
_PIPED = {Path("server/pem.py"), Path("aws/sdk_process.py")}


def broken_rules(path: Path, text: str) -> list[str]:
    """Return `path:line: complaint` for each place where a module breaks a rule. `path` is relative to the package."""
    tree = ast.parse(text)
    found = []
    if path.name == "__init__.py":
        found += [
            (node.lineno, "an __init__ file holds a docstring and nothing else") for node in _beyond_docstring(tree)
        ]
    if path.parts[0] != "cli":
        allowed = _defaults(tree) if path.parts[0] == "aws" else set()
        for node, name in _uses(tree):
            piped = name == "sys.stdout" and path in _PIPED
            if name in _FORBIDDEN and not piped and not (name == _ENVIRONMENT and node in allowed):
                found.append((node.lineno, f"{name} belongs in cli"))
    for node, name in (*_uses(tree), *_keywords(tree)):
        places = _ONE_OF_EACH.get(name)
        if places is not None and path not in places:
            found.append((node.lineno, f"{name} stands in {places[0]}: use what that module offers"))
    return [f"{path}:{line}: {complaint}" for line, complaint in sorted(found)]


def broken_test_rules(path: Path, text: str) -> list[str]:
    """Return `path:line: complaint` for each import of a test module, for each name of a test that is too long, and for CliRunner.

    A command that CliRunner invokes lacks what the command line prepares: global options are not taken out of its arguments.
    """
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom | ast.Import):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            imported = [name for name in modules if name.rpartition(".")[2].startswith("test_")]
            found += [(node.lineno, f"move what is shared with {name} into a helper module") for name in imported]
            if "click.testing" in modules:
                found.append((node.lineno, "run commands with run_command, not with click's CliRunner"))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            excess = len(node.name) - LONGEST_TEST_NAME
            if excess > 0:
                found.append((node.lineno, f"shorten {node.name} by {excess} characters"))
    return [f"{path}:{line}: {complaint}" for line, complaint in sorted(found)]


def question_docstrings(path: Path, text: str) -> list[str]:
    """Return `path:line: complaint` for each docstring that begins with Who, Whom, What, Why, How, Where or Which."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            start = _QUESTION.match(ast.get_docstring(node) or "")
            if start is not None:
                line = node.body[0].lineno
                found.append((line, f"begin the docstring with a verb or a noun, not with {start[0].strip()}"))
    return [f"{path}:{line}: {complaint}" for line, complaint in sorted(found)]


def _beyond_docstring(tree: ast.Module) -> list[ast.stmt]:
    return tree.body[1:] if ast.get_docstring(tree) is not None else tree.body


def _defaults(tree: ast.Module) -> set[ast.AST]:
    """Return what stands as the default of an argument."""
    arguments = [node for node in ast.walk(tree) if isinstance(node, ast.arguments)]
    return {default for one in arguments for default in (*one.defaults, *one.kw_defaults) if default is not None}


def _keywords(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield the arguments that are given by name."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            yield from ((call, argument.arg) for argument in call.keywords if argument.arg)


def _uses(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield names and attributes with the full name that the imports give them: `from os import environ as e; e` is os.environ."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.name if alias.asname else alias.name.partition(".")[0]
                names[alias.asname or bound] = bound
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = full = f"{node.module}.{alias.name}"
                yield node, full
    for expression in ast.walk(tree):
        if isinstance(expression, ast.Name):
            yield expression, names.get(expression.id, expression.id)
        elif isinstance(expression, ast.Attribute) and isinstance(expression.value, ast.Name):
            module = names.get(expression.value.id)
            if module:
                yield expression, f"{module}.{expression.attr}"
