#!/usr/bin/env python3
"""Find sentences that are too long in README.md and docs: at most 35 words each. `make check` runs this.

    tools/sentences.py [--words N] [PATH…]

A code block does not count. Inline code counts as one word, the address of a link does not count. Each cell of a table, each item of a
list and each heading stands alone. A sentence ends with `.`, `?` or `!` before a blank, in a table also with `;`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_WORDS = 35

_FENCE = re.compile(r"^\s*(```|~~~)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\([^()\s]*\)")
# A list item, a heading, a row of a table.
_BLOCK = re.compile(r"^\s*(?:[-*+]|\d+\.)\s|^#+\s|^\s*\|")
_CELL = re.compile(r"(?<!\\)\||;(?=\s)")
_END = re.compile(r"(?<=[.?!])[*_)\]\"'”]*(?=\s|$)")
_WORD = re.compile(r"\S*\w\S*")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, the number of its words, and the line in which its text begins."""

    line: int
    words: int
    text: str


def sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of a Markdown text, in its order."""
    for line, block in _blocks(text):
        plain = _LINK.sub(r"\1", _CODE.sub("code", block))
        at = 0
        for end in [*(found.end() for found in _END.finditer(plain)), len(plain)]:
            sentence = " ".join(plain[at:end].split())
            at = end
            if sentence:
                yield Sentence(line, len(_WORD.findall(sentence)), sentence)


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield each paragraph, item, heading and cell with the number of its first line."""
    text = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text)
    start, fenced = 0, False
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line) is not None
        if fence or fenced or not line.strip() or _BLOCK.match(line):
            yield start, "\n".join(lines)
            lines = []
        fenced = fenced != fence
        if fence or fenced or not line.strip():
            continue
        if line.lstrip().startswith("|"):
            yield from ((number, part) for part in _CELL.split(_CODE.sub("code", line)) if _WORD.search(part))
            continue
        start = start if lines else number
        lines.append(_BLOCK.sub("", line))
        if line.startswith("#"):
            yield start, "\n".join(lines)
            lines = []
    yield start, "\n".join(lines)


def pages(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the Markdown files below the paths."""
    for path in paths:
        yield from sorted(path.rglob("*.md")) if path.is_dir() else [path]


def main() -> int:
    """Print each sentence that is too long. Return the exit code: 1 where there is one."""
    parser = argparse.ArgumentParser(description="Find sentences that are too long.")
    parser.add_argument("--words", type=int, default=MOST_WORDS, metavar="N", help="the most words of a sentence")
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files or directories; README.md and docs")
    arguments = parser.parse_args()
    found = 0
    for page in pages(arguments.paths or [ROOT / "README.md", ROOT / "docs"]):
        for sentence in sentences(page.read_text("utf-8")):
            if sentence.words > arguments.words:
                found += 1
                name = page.resolve().relative_to(ROOT) if page.resolve().is_relative_to(ROOT) else page
                sys.stdout.write(
                    f"{name}:{sentence.line}: {sentence.words} words, at most {arguments.words}: {sentence.text}\n"
                )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
