#!/usr/bin/env python3
"""Find words that this project does not use (tools/words.txt) in code, tests and documents, and name the replacement.

tools/words.py              each use as path:line, and exit 1 where there is one
tools/words.py --counts     the number of uses by package
tools/words.py PATH…        only below these paths
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tools" / "words.txt"
TREES = ("src", "tests", "docs", "bench", "demo", "deploy", "examples", "tools", ".ci")
FILES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "pyproject.toml")
TEXTS = (".py", ".md", ".yaml", ".yml", ".json", ".sh", ".toml", ".txt", ".mjs", "")
# They name the words.
EXEMPT = (
    "tools/words.txt",
    "tools/words.py",
    "tests/unit/test_words.py",
    "tests/source_rules.py",
    "tests/unit/test_source_rules.py",
)

# `HTTPServer` is HTTP and Server, `let_in` is let and in.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# What may stand between the words of a phrase: they may be in two lines of a comment.
_WITHIN = re.compile(r"[\s_#*>`-]*")
_ANY = "*"
_LONGEST_GAP = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the list: phrases as tuples of lower-case words, their replacement, and the phrases in which they are right."""

    forms: tuple[tuple[str, ...], ...]
    replacement: str
    exceptions: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a word. `path` is relative to the repository; `line` counts from 1, and is 0 for the name of the file."""

    path: str
    line: int
    text: str
    replacement: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}: write {self.replacement}"


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    start: int
    end: int


def read_rules(text: str) -> list[Rule]:
    """Return the rules of a list. Raises ValueError for a line that has no replacement."""
    rules = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        forms, arrow, rest = line.partition("=>")
        replacement, _, exceptions = rest.partition("!")
        if not arrow or not replacement.strip():
            raise ValueError(f"no replacement in the line {line!r}")
        rules.append(Rule(_phrases(forms), replacement.strip(), _phrases(exceptions)))
    return rules


def find_uses(text: str, rules: Sequence[Rule], path: str = "") -> list[Use]:
    """Return the uses in a text, in its order. A place that two rules find counts once, for the rule that stands first."""
    words = [_Word(found[0].lower(), found.start(), found.end()) for found in _WORD.finditer(text)]
    uses: dict[int, tuple[int, Use]] = {}
    for rule in rules:
        excepted = {
            at
            for phrase in rule.exceptions
            for first, last in _places(words, text, phrase)
            for at in range(first, last)
        }
        for form in rule.forms:
            for first, last in _places(words, text, form):
                if first in excepted or first in uses:
                    continue
                start, end = words[first].start, words[last - 1].end
                said = re.sub(r"\s[\s#*>]*", " ", text[start:end])
                uses[first] = (start, Use(path, text.count("\n", 0, start) + 1, said, rule.replacement))
    return [use for _, use in sorted(uses.values(), key=lambda item: item[0])]


def package_of(path: str) -> str:
    """Return the package or folder that a use is counted under: `src/kube_iam/authn`, `tests/unit`, `docs`."""
    parts = path.split("/")
    depth = {"src": 3, "tests": 2}.get(parts[0], 1)
    return "/".join(parts[:depth] if len(parts) > depth else parts[: max(depth - 1, 1)])


def _phrases(text: str) -> tuple[tuple[str, ...], ...]:
    phrases = (phrase.replace("_", " ").split() for phrase in text.split(","))
    return tuple(tuple(word.lower() for word in phrase) for phrase in phrases if phrase)


def _places(words: Sequence[_Word], text: str, phrase: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Yield the first index, and the index after the last one, of each place where the phrase stands."""
    for first, word in enumerate(words):
        if word.text == phrase[0]:
            last = _end(words, text, phrase[1:], first + 1)
            if last:
                yield first, last


def _end(words: Sequence[_Word], text: str, rest: tuple[str, ...], at: int) -> int:
    """Return the index after the last word of the phrase, whose words before `at` are found; 0 where the rest is not there."""
    if not rest:
        return at
    skips = range(1, _LONGEST_GAP + 1) if rest[0] == _ANY else (0,)
    wanted = rest[1:] if rest[0] == _ANY else rest
    for skip in skips:
        here = at + skip
        if here >= len(words) or not all(
            _WITHIN.fullmatch(text, words[i - 1].end, words[i].start) for i in range(at, here + 1)
        ):
            return 0
        if words[here].text == wanted[0]:
            return _end(words, text, wanted[1:], here + 1)
    return 0


def texts(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield the path, relative to the repository, and the content of each file that is checked, below the paths."""
    for top in paths:
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and path.suffix in TEXTS and name not in EXEMPT and "__pycache__" not in path.parts:
                yield name, path.read_text("utf-8", "replace")


def all_uses(paths: Iterable[Path]) -> list[Use]:
    """Return the uses in the files below the paths, and in the files' names."""
    rules = read_rules(LIST.read_text("utf-8"))
    uses: list[Use] = []
    for name, text in texts(paths):
        uses += [Use(name, 0, use.text, use.replacement) for use in find_uses(Path(name).name, rules)]
        uses += find_uses(text, rules, name)
    return uses


def main() -> int:
    """Print the uses or their counts. Return the exit code: 1 where there is a use."""
    parser = argparse.ArgumentParser(description="Find words that this project does not use (tools/words.txt).")
    parser.add_argument("--counts", action="store_true", help="print the number of uses by package")
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="only below these paths")
    arguments = parser.parse_args()
    chosen = [path.resolve() for path in arguments.paths] or [ROOT / name for name in (*TREES, *FILES)]
    uses = all_uses(path for path in chosen if path.exists())
    lines = [str(use) for use in uses]
    if arguments.counts:
        counts = Counter(package_of(use.path) for use in uses)
        lines = [f"{count:6} {package}" for package, count in sorted(counts.items())]
    sys.stdout.writelines(f"{line}\n" for line in [*lines, f"{len(uses)} uses of words in tools/words.txt"])
    return 1 if uses else 0


if __name__ == "__main__":
    sys.exit(main())
