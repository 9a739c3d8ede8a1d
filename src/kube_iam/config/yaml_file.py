"""YAML 1.2 (the core schema) as plain Python data, with the line and the spelling of each value.

Numbers are read as numbers, but `text` returns them as they are written: `012345670123` is meant as an account id. Dates stay text. A
repeated key, a tag, and an alias that contains itself are problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from kube_iam.config.regular_file import read_regular_file
from kube_iam.config.suggestions import suggestion
from kube_iam.config.yaml_events import go_refuses
from kube_iam.config.yaml_nodes import CORE, MappingNode, Node, ScalarNode, SequenceNode, compose
from kube_iam.errors import ConfigError, Problem

MAX_BYTES = 16 * 1024 * 1024
_TEXT_TAGS = frozenset({CORE + "str", CORE + "timestamp", CORE + "value"})
_TRUE = frozenset({"true", "True", "TRUE"})
_MOST_SUGGESTIONS = 100
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*")

Step = str | int
KeyPath = tuple[Step, ...]
"""The keys and positions on the way from the document to a value."""


def key_path(*path: Step) -> str:
    """Return a key path as messages show it: `server.mapRoles[0].rolearn`."""
    shown = ""
    for step in path:
        if isinstance(step, int):
            shown += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            shown += f".{step}" if shown else step
        else:
            shown += f"[{step!r}]"
    return shown


class YamlFile:
    """One parsed document: `data` (dict, list, str, int, float, bool, None) and the `problems` found while reading it.

    `foreign` is the first place that readers written in Go refuse, and with it the whole document; none where they read it.
    """

    def __init__(self, data: object, problems: list[Problem], root: Node | None, foreign: list[Problem]) -> None:
        self.data = data
        self.problems = problems
        self.foreign = foreign
        self.root = root
        self._troubled: frozenset[str] | None = None
        self._suggestions = 0

    def line(self, *path: Step) -> int | None:
        """Return the line (from 1) of the value at this path, of its key where it has one. None without such a value."""
        node, line = self._find(path)
        return line if node is not None else None

    def file_of(self, *path: Step) -> str:  # noqa: ARG002
        """Return the path of the file with the value at this path, empty where the document is one file."""
        return ""

    def text(self, *path: Step) -> str:
        """Return the scalar at this path exactly as written, without its quotes, or an empty text."""
        node, _ = self._find(path)
        return str(node.value) if isinstance(node, ScalarNode) else ""

    def problem(self, path: KeyPath, message: str, hint: str = "") -> Problem:
        """Return a problem with the value at this path and its line. Without such a value, the line of the nearest parent."""
        line = next((found for end in range(len(path), -1, -1) if (found := self.line(*path[:end])) is not None), None)
        return Problem(key_path(*path), message, hint, line)

    def suggestion(self, word: str, choices: Iterable[str]) -> str:
        """Return what `suggestion` returns, for the first hundred words of the document; each takes up to a millisecond to find."""
        self._suggestions += 1
        return suggestion(word, choices) if self._suggestions <= _MOST_SUGGESTIONS else ""

    def troubled(self, *path: Step) -> bool:
        """Return whether a problem was found in the value at this path while reading it."""
        if self._troubled is None:
            keys = [problem.key for problem in self.problems]
            above = {key[:end] for key in keys for end, mark in enumerate(key) if mark in ".["}
            self._troubled = frozenset({*keys, *above})
        return key_path(*path) in self._troubled

    def _find(self, path: KeyPath) -> tuple[Node | None, int | None]:
        node, line = self.root, _line(self.root)
        for step in path:
            if isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
                node = node.value[step]
                line = _line(node)
            elif isinstance(node, MappingNode):
                pair = node.pair(step)
                if pair is None:
                    return None, None
                node, line = pair[1], _line(pair[0])
            else:
                return None, None
        return node, line


def read_yaml(path: Path) -> YamlFile:
    """Read one YAML file. Raises ConfigError when it cannot be read or is no YAML. Other problems are in the result."""
    return parse_yaml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return the text of a file. Raises ConfigError when it cannot be read, is longer than MAX_BYTES or is not UTF-8."""
    try:
        raw = read_regular_file(path, MAX_BYTES + 1)
    except OSError as error:
        problem = Problem("", f"cannot be read: {error.strerror or error}")
        raise ConfigError(str(path), [problem]) from error
    return decode(raw, str(path))


def decode(raw: bytes, source: str) -> str:
    """Return the text of these bytes. Raises ConfigError, named after `source`, when they are more than MAX_BYTES or not UTF-8."""
    if len(raw) > MAX_BYTES:
        raise ConfigError(source, [Problem("", f"is larger than {MAX_BYTES // 1024 // 1024} MiB")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(source, [Problem("", "is not UTF-8 text")]) from error


def parse_yaml(text: str, source: str) -> YamlFile:
    """Parse one YAML document. Raises ConfigError (named after `source`) when the text is no YAML."""
    root = compose(text, source)
    building = _Builder()
    data = building.build(root, ()) if root is not None else None
    foreign = [
        Problem("", f"has the escape {escape}, which the reference and EKS refuse", "write the character itself", line)
        for line, escape in islice(go_refuses(text, source), 1)
    ]
    return YamlFile(data, building.problems, root, foreign)


def joined(documents: Mapping[str, YamlFile]) -> YamlFile:
    """Return one document with each of these under its key. Lines stay those of the single documents."""
    problems, foreign = (
        [
            Problem(_under(key, problem.key), problem.message, problem.hint, problem.line)
            for key, document in documents.items()
            for problem in getattr(document, kind)
        ]
        for kind in ("problems", "foreign")
    )
    root = MappingNode(CORE + "map", None)
    for key, document in documents.items():
        if document.root is not None:
            root.add(ScalarNode(CORE + "str", document.root.line, key))
            root.add(document.root)
    return YamlFile({key: document.data for key, document in documents.items()}, problems, root, foreign)


def _under(key: str, path: str) -> str:
    return f"{key}{path}" if path.startswith("[") or not path else f"{key}.{path}"


class _Builder:
    """Turns nodes into data. A node that several aliases share is built once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._built: dict[int, object] = {}
        self._open: set[int] = set()

    def build(self, node: Node, path: KeyPath) -> object:
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        ident = id(node)
        if ident in self._open:
            self._complain(node, path, "contains itself through an alias")
            return None
        if ident not in self._built:
            self._open.add(ident)
            self._built[ident] = self._mapping(node, path) if isinstance(node, MappingNode) else self._list(node, path)
            self._open.discard(ident)
        return self._built[ident]

    def _list(self, node: SequenceNode, path: KeyPath) -> list[object]:
        self._refuse_tag(node, path, CORE + "seq")
        return [self.build(child, (*path, index)) for index, child in enumerate(node.value)]

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, object]:
        self._refuse_tag(node, path, CORE + "map")
        merged: dict[str, object] = {}
        own: dict[str, object] = {}
        for key, value in self._pairs(node, path):
            if key.tag == CORE + "merge":
                for source in value.value if isinstance(value, SequenceNode) else (value,):
                    built = self.build(source, path)
                    merged = {**built, **merged} if isinstance(built, dict) else merged
                continue
            name = str(key.value)
            if name in own:
                self._complain(key, (*path, name), "stands twice in the same mapping", "keep one of the two")
            own[name] = self.build(value, (*path, name))
        return {**merged, **own}

    def _pairs(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[ScalarNode, Node]]:
        for key, value in node.value:
            if isinstance(key, ScalarNode):
                yield key, value
            else:
                self._complain(key, path, "has a key that is not a plain word")

    def _scalar(self, node: ScalarNode, path: KeyPath) -> object:
        text, tag = str(node.value), str(node.tag)
        if tag in _TEXT_TAGS:
            return text
        if tag == CORE + "null":
            return None
        if tag == CORE + "bool":
            return text in _TRUE
        if tag == CORE + "int":
            return _integer(text)
        if tag == CORE + "float":
            return _float(text)
        self._refuse_tag(node, path, "")
        return text

    def _refuse_tag(self, node: Node, path: KeyPath, expected: str) -> None:
        if str(node.tag) != expected:
            self._complain(node, path, f"carries the tag {node.tag}, which means nothing here")

    def _complain(self, node: Node, path: KeyPath, message: str, hint: str = "") -> None:
        self.problems.append(Problem(key_path(*path), message, hint, _line(node)))


def _line(node: Node | None) -> int | None:
    return node.line if node is not None else None


def _integer(text: str) -> int | str:
    plain = text.replace("_", "")
    try:
        return int(plain, 0) if plain.lstrip("+-").startswith(("0x", "0o", "0b")) else int(plain, 10)
    except ValueError:
        return text


def _float(text: str) -> float | str:
    try:
        return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return text
