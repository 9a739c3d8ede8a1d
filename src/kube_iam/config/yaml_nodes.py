"""A YAML document as a tree of nodes, each with its tag and its line, out of libyaml's events (docs/decisions/0004).

libyaml reads ten thousand entries in a quarter of a second, where a parser written in Python takes five. The tree is put together
here and not by PyYAML's `compose`: that recurses in C, and a deeply nested document would crash the process.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from kube_iam.config.yaml_events import document_events
from kube_iam.errors import ConfigError, Problem

CORE = "tag:yaml.org,2002:"

# YAML 1.2's core schema, with the underscores and binary numbers that readers of 1.1 take for numbers too.
_KINDS = (
    (CORE + "null", re.compile(r"~|null|Null|NULL|")),
    (CORE + "bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    (CORE + "int", re.compile(r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")),
    (
        CORE + "float",
        re.compile(
            r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+)"
        ),
    ),
    (CORE + "float", re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")),
    (CORE + "merge", re.compile(r"<<")),
)
_MAYBE_SPECIAL = frozenset("0123456789+-.~nNtTfF<")


class ScalarNode:
    """One value: the text as written, without its quotes."""

    __slots__ = ("line", "tag", "value")

    def __init__(self, tag: str, line: int | None, value: str) -> None:
        self.tag = tag
        self.line = line
        self.value = value


class SequenceNode:
    """A list of nodes."""

    __slots__ = ("line", "tag", "value")

    def __init__(self, tag: str, line: int | None) -> None:
        self.tag = tag
        self.line = line
        self.value: list[Node] = []

    def add(self, node: Node) -> None:
        """Append a node."""
        self.value.append(node)


class MappingNode:
    """Pairs of nodes in the document's order."""

    __slots__ = ("_by_key", "_key", "line", "tag", "value")

    def __init__(self, tag: str, line: int | None) -> None:
        self.tag = tag
        self.line = line
        self.value: list[tuple[Node, Node]] = []
        self._key: Node | None = None
        self._by_key: dict[object, tuple[Node, Node]] | None = None

    def add(self, node: Node) -> None:
        """Add the next key, or the value of the last key."""
        if self._key is None:
            self._key = node
        else:
            self.value.append((self._key, node))
            self._key = None

    def pair(self, key: str | int) -> tuple[Node, Node] | None:
        """Return the last pair with that key, or None. Call it only when the mapping is complete."""
        if self._by_key is None:
            # An index, because there can be as many look-ups (one a problem) as keys.
            self._by_key = {pair[0].value: pair for pair in self.value if isinstance(pair[0], ScalarNode)}
        return self._by_key.get(key)


Node = ScalarNode | SequenceNode | MappingNode


def compose(text: str, source: str) -> Node | None:
    """Return the root of the one document in the text, None for an empty text.

    Raises ConfigError (named after `source`) for any other text, and for one over the limits of `kube_iam.config.yaml_events`.
    """
    top = SequenceNode("", 0)
    open_nodes: list[SequenceNode | MappingNode] = [top]
    anchors: dict[str, Node] = {}
    for event, _, _ in document_events(text, source):
        match event:
            case yaml.ScalarEvent():
                node: Node = ScalarNode(_tag(event), _line(event), event.value)
            case yaml.SequenceStartEvent():
                node = SequenceNode(event.tag or CORE + "seq", _line(event))
            case yaml.MappingStartEvent():
                node = MappingNode(event.tag or CORE + "map", _line(event))
            case yaml.AliasEvent():
                if event.anchor not in anchors:
                    raise ConfigError(source, [Problem("", "is not YAML: an undefined alias", line=_line(event))])
                node = anchors[event.anchor]
            case yaml.CollectionEndEvent():
                open_nodes.pop()
                continue
            case _:
                continue
        open_nodes[-1].add(node)
        if isinstance(event, yaml.AliasEvent):
            continue
        if event.anchor:
            anchors[event.anchor] = node
        if not isinstance(node, ScalarNode):
            open_nodes.append(node)
    return top.value[0] if top.value else None


def _tag(event: Any) -> str:
    """Return the tag of a scalar: the written tag, else the tag of its text, which is a string in quotes."""
    if event.tag and event.tag != "!":
        return str(event.tag)
    value: str = event.value
    if event.implicit[0] and (not value or value[0] in _MAYBE_SPECIAL):
        for tag, pattern in _KINDS:
            if pattern.fullmatch(value):
                return tag
    return CORE + "str"


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
