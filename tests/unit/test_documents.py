"""Links of the documents lead to files and headings that exist, and the program takes the commands in them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import click
import pytest
from command_lines import parse_line

from kube_iam.errors import UsageError

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "kube_iam"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")


def without_code(text: str) -> str:
    text = re.sub(r"^( *)(```|~~~).*?^ *\2 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "code", text)


def links(text: str) -> list[str]:
    return [link for link in _LINK.findall(without_code(text)) if not re.match(r"[a-z]+:", link)]


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@cache
def anchors(path: Path) -> list[str]:
    text = re.sub(r"^( *)(```|~~~).*?^ *\2 *$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        name = anchor(heading)
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return found


def broken(page: Path, text: str) -> list[str]:
    found = []
    for link in links(text):
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists():
            found.append(f"{link}: there is no such file")
        elif fragment and (target.suffix != ".md" or fragment not in anchors(target)):
            found.append(f"{link}: the page has no such heading")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken(page, page.read_text()) == []


def test_modules_that_a_page_names_exist() -> None:
    named = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"`((?:[a-z0-9_]+/)*[a-z0-9_]+\.py)`", page.read_text())
        if page.name != "CHANGELOG.md"
    }
    assert len(named) > 10
    missing = [
        (page, name) for page, name in sorted(named) if not any((top / name).is_file() for top in (ROOT, PACKAGE))
    ]
    assert missing == []


def test_every_page_of_docs_is_linked_from_another() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page.read_text())}
    lost = [page for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in linked]
    # README links the folder of decisions as a whole.
    assert [page.name for page in lost if page.parent.name != "decisions"] == []


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[a](docs/security.md)", 0),
        ("[a](docs/security.md#the-port)", 0),
        ("[a](docs/no-such-page.md)", 1),
        ("[a](docs/security.md#no-such-heading)", 1),
        ("[a](https://example.com/x#y) `[a](no.md)`\n```\n[a](no.md)\n```\n", 0),
    ],
)
def test_broken_links_are_found(text: str, problems: int) -> None:
    assert len(broken(ROOT / "README.md", text)) == problems


def command_lines(text: str) -> list[str]:
    """Return the lines of `kube-iam` in console blocks and in inline code, without those that leave something out (…)."""
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in re.findall(r"^ *[$#] (kube-iam .*)$", block, re.MULTILINE)]
    lines += re.findall(r"`((?:source <\()?kube-iam [^`\n]+)`", text)
    return [line for line in lines if "…" not in line and "|" not in line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_program_takes_the_commands_of_a_page(page: Path) -> None:
    refused = []
    for line in command_lines(page.read_text()):
        try:
            parse_line(line)
        except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):
            pass
        except (click.ClickException, UsageError, ValueError) as error:
            refused.append(f"{line}: {error}")
    assert refused == []


def test_a_command_that_the_program_does_not_take_is_found() -> None:
    with pytest.raises((click.ClickException, UsageError)):
        parse_line("kube-iam grant --no-such-flag alice admin")


def test_the_readme_states_the_status_early_and_is_short() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    first_screen = "\n".join(lines[:24])
    assert "**Status:" in first_screen
    assert all(name in first_screen for name in ("AWS itself", "macOS", "Windows"))
