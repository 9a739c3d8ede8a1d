"""No text of ours tells people to install `kube-iam` by its name: the project owns the name in no package registry."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# pip, pipx, uv, uvx, poetry, conda, brew, npm and the like, with whatever options stand in between. `helm install` names a release.
BY_NAME = re.compile(
    r"(?:(?<!helm )\b(?:install|inject|(?:pipx|uv tool|brew) upgrade|(?:poetry|uv) add|uvx|pipx run)\s+(?:-\S+\s+)*['\"]?"
    r"|pypi\.org/(?:p|project)/|\bhub\.docker\.com/r/)(?:kube-iam|kube_iam|kubectl-iam)(?![\w/])"
)
TEXTS = [
    path
    for folder in ("src", "docs", "deploy", "examples", "demo", "tools", "bench")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".md", ".yaml", ".sh", ".json", "") and path.is_file()
]


@pytest.mark.parametrize(
    "command", ["pipx install kube-iam", "pip install -U 'kube-iam[sandbox]'", "uv tool install kube-iam"]
)
def test_commands_that_install_by_name_are_recognized(command: str) -> None:
    assert BY_NAME.search(f"Install it with: {command}")


def test_no_text_tells_people_to_install_the_package_by_its_name() -> None:
    named = [str(path) for path in [*TEXTS, *ROOT.glob("*.md")] if BY_NAME.search(path.read_text("utf-8", "replace"))]
    assert named == []
