"""The pages in docs/reference are what tools/reference.py makes of the code, and complete."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import reference
from kube_iam.config.server import ServerConfig
from kube_iam.config.server_keys import SERVER_KEYS
from kube_iam.core.reasons import Reason
from kube_iam.server.metrics import Metrics

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "kube_iam"


@pytest.mark.parametrize("name", reference.PAGE_MAKERS)
def test_a_page_is_current(name: str) -> None:
    page = reference.PAGES / name
    assert page.is_file(), f"run `make docs-reference`: {page} is missing"
    assert page.read_text("utf-8") == reference.PAGE_MAKERS[name](), "run `make docs-reference`: the code has changed"


def test_each_reason_has_a_cause_and_a_remedy_on_the_page() -> None:
    page = reference.reasons()
    for reason in Reason:
        assert page.count(f"| `{reason.value}` |") == 1, reason
        assert reason.remedy


def test_each_setting_of_the_server_has_a_key_on_the_page() -> None:
    page = reference.server_config()
    named = {key.field.split(".")[0] for key in SERVER_KEYS}
    apart = {"cluster_id", "source"}  # the top of the file, and the file itself
    assert {field.name for field in fields(ServerConfig)} - apart == named - {""}
    assert all(f"| `{key.name}` |" in page for key in SERVER_KEYS)


def test_each_metric_is_on_the_page_with_a_meaning() -> None:
    page = reference.metrics()
    output = Metrics().render()
    for metric in Metrics().all():
        assert f"| `{metric.name}` | {metric.kind} |" in page
        assert f"# TYPE {metric.name} {metric.kind}\n" in output
        assert metric.text


def looked_up(path: Path) -> Iterator[str]:
    """Yield the variables that a module looks up: `environ.get("NAME")`, `environ["NAME"]`, `"NAME" in environ`, `envvar="NAME"`."""
    tree = ast.parse(path.read_text())
    constants = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def names(node: ast.expr) -> Iterator[str]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name) and node.id in constants:
            yield constants[node.id]

    def is_environment(node: ast.expr) -> bool:
        return ast.unparse(node).rpartition(".")[2] == "environ"

    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr="get" | "pop" | "setdefault"), args=[name, *_]):
                if is_environment(value):
                    yield from names(name)
            case ast.Subscript(value=value, slice=name) if is_environment(value):
                yield from names(name)
            case ast.Compare(left=name, ops=[ast.In() | ast.NotIn()], comparators=[value]) if is_environment(value):
                yield from names(name)
            case ast.keyword(arg="envvar", value=name):
                yield from names(name)


@pytest.mark.slow
def test_each_variable_that_the_code_looks_up_is_on_the_page() -> None:
    found = {name for path in PACKAGE.rglob("*.py") for name in looked_up(path)}
    assert len(found) > 30
    assert found - {each.name for each in reference.VARIABLES} == set()


def test_each_variable_on_the_page_stands_in_the_code() -> None:
    code = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert [each.name for each in reference.VARIABLES if f'"{each.name}"' not in code] == []
