"""docs/protocol.md is the specification that code and tests cite: each cited section exists, and the sections are numbered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kube_iam.core.checks import CHECKS
from kube_iam.core.partitions import DNS_SUFFIX, DUAL_STACK_SUFFIX

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text()
SECTIONS = re.findall(r"^##+ ([0-9.]+?)\.? ", PAGE, re.MULTILINE)
# `docs/protocol.md, section 2.1` or `docs/protocol.md, sections 2 and 3`, also across the lines of a comment.
CITATION = re.compile(r"protocol\.md,[\s#]+sections?[\s#]+([0-9.]*[0-9](?:[\s#]*(?:,|and|to)[\s#]*[0-9.]*[0-9])*)")


def cited(text: str) -> list[str]:
    return [number for found in CITATION.findall(text) for number in re.findall(r"[0-9.]*[0-9]", found)]


def modules() -> list[Path]:
    return [path for tree in ("src", "tests", "bench", "tools") for path in sorted((ROOT / tree).rglob("*.py"))]


def test_sections_are_numbered_one_after_another() -> None:
    previous: tuple[int, ...] = (0,)
    for section in SECTIONS:
        number = tuple(map(int, section.split(".")))
        if len(number) == 1:
            assert number == (previous[0] + 1,)
        else:
            assert number in ((*previous[:1], 1), (previous[0], previous[-1] + 1)), section
        previous = number
    assert len(SECTIONS) > 20


def test_each_cited_section_exists() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: section {number}"
        for path in modules()
        for number in cited(path.read_text())
        if number not in SECTIONS
    ]
    assert missing == []


def test_the_main_modules_cite_the_protocol() -> None:
    package = ROOT / "src" / "kube_iam"
    for module in ("core/checks.py", "core/tokens.py", "authn/decide.py", "server/verifier.py"):
        assert cited((package / module).read_text()), module


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("see docs/protocol.md, section 2.1.", ["2.1"]),
        ("docs/protocol.md, sections 2 and 3", ["2", "3"]),
        ("docs/protocol.md,\n# section 5.5", ["5.5"]),
        ("docs/security.md, section 2", []),
    ],
)
def test_citations_are_found(text: str, numbers: list[str]) -> None:
    assert cited(text) == numbers


def test_no_text_cites_a_contract_outside_the_repository() -> None:
    words = re.compile(r"\b(?:the )?contract(?:'s)?,? section|section \d+ of the contract", re.IGNORECASE)
    assert [str(path) for path in modules() if path != Path(__file__) and words.search(path.read_text())] == []


def test_the_page_has_a_row_for_each_check() -> None:
    rows = re.findall(r"^\| (\d+) \| ", PAGE[PAGE.index("### 2.1") : PAGE.index("### 2.2")], re.MULTILINE)
    assert [int(row) for row in rows] == [number for number, _ in CHECKS]


def test_the_page_has_the_suffixes_of_each_partition() -> None:
    rows = re.findall(r"^\| `(aws[a-z-]*)` \| `([a-z0-9.-]+)` \| `([a-z0-9.-]+)` \|$", PAGE, re.MULTILINE)
    assert rows == [(name, DNS_SUFFIX[name], DUAL_STACK_SUFFIX[name]) for name in DNS_SUFFIX]
