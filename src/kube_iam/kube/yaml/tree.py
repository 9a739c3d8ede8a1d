"""YAML as a tree of nodes with their positions in the text, so that an edit can replace one entry and keep every other byte.

The server's reader uses the same events, so that both accept the same texts and read the same values. Aliases stay aliases, so the
tree is never larger than the text.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import yaml

from kube_iam.config.yaml_events import BYTE_ORDER_MARK, MAX_EDITED_CHARACTERS, Event, document_events
from kube_iam.core.letter_case import ascii_lower
from kube_iam.errors import ConfigError, Problem

DASH = re.compile(r"^\ufeff?[ ]*-(?=[ \t\r\n]|$)", re.MULTILINE)
_COLON = re.compile(r"[ \t]*:")
_DOCUMENT_MARK = re.compile(r"(?:---|\.\.\.)(?=\s|$)")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_MAX_HOPS = 20  # of aliases and merge keys followed to find one value

Shape = tuple[object, ...]


@dataclass(slots=True, eq=False)
class Node:
    """A value in the text. `end` is just behind its last character of content, never behind a comment or blank line."""

    kind: Literal["scalar", "sequence", "mapping", "alias"]
    start: int
    end: int
    line: int  # counted from 1
    value: str = ""
    tag: str = ""
    anchor: str = ""
    flow: bool = False
    plain: bool = False
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    target: Node | None = None

    @property
    def is_null(self) -> bool:
        """Return whether this is YAML's null: no text, `~` or `null`."""
        return self.kind == "scalar" and self.plain and not self.tag and self.value in _NULLS

    @property
    def is_empty(self) -> bool:
        """Return whether this is null, an empty text, `{}` or `[]`: readers accept each as an empty list or mapping."""
        untouched = not (self.tag or self.anchor)
        return self.is_null or (untouched and self.kind != "alias" and not (self.value or self.items or self.pairs))

    def shape(self) -> Shape:
        """Return the content without positions. Nodes with equal shapes differ only in layout and comments."""
        inside = tuple(item.shape() for item in self.items) + tuple((k.shape(), v.shape()) for k, v in self.pairs)
        return (self.kind, self.tag, self.anchor, self.plain, self.value, inside)

    def resolved(self) -> Node:
        """Return the node itself, or the target of an alias."""
        node, hops = self, 0
        while node.kind == "alias" and node.target is not None and hops < _MAX_HOPS:
            node, hops = node.target, hops + 1
        return node

    def own_pairs(self, name: str, *, exact: bool = False) -> list[tuple[Node, Node]]:
        """Return the pairs of a mapping whose key is `name`, in any letter case unless `exact`."""
        pairs = [pair for pair in self.pairs if pair[0].kind == "scalar"]
        if exact:
            return [pair for pair in pairs if pair[0].value == name]
        wanted = ascii_lower(name)
        return [pair for pair in pairs if ascii_lower(pair[0].value) == wanted]

    def get(self, name: str, hops: int = 0, *, exact: bool = False) -> Node | None:
        """Return the value under `name`, in any letter case unless `exact`, aliases and merge keys (`<<`) followed.

        The mapping's own pair has precedence.
        """
        for _, value in self.own_pairs(name, exact=exact):
            return value.resolved()
        for key, value in self.pairs if hops < _MAX_HOPS else ():
            if key.plain and key.value == "<<":
                merged = value.resolved()
                for source in merged.items if merged.kind == "sequence" else [merged]:
                    found = source.resolved().get(name, hops + 1, exact=exact)
                    if found is not None:
                        return found
        return None

    def data(self) -> object:
        """Return plain data in which every scalar is text as written, null is None, and an alias is its name."""
        if self.kind == "mapping":
            return {key.value: value.data() for key, value in self.pairs}
        if self.kind == "sequence":
            return [item.data() for item in self.items]
        return None if self.is_null else self.value


def parse_tree(text: str, source: str, key: str = "") -> Node | None:
    """Return the document's root, or None for a document without content.

    Raises ConfigError that names `source`, `key` and the line, for invalid YAML or one over the limits of `config.yaml_events`.
    """
    return parse_document(text, source, key)[0]


def parse_document(text: str, source: str, key: str = "") -> tuple[Node | None, int]:
    """Return the document's root as `parse_tree` does, and the offset of its end: a mark (`---`, `...`) or the end of the text."""
    builder = _Builder(text, source, key)
    # A tree holds no garbage while it grows. The collector would look through all of its nodes time and again: a fifth of the time.
    pausing = gc.isenabled()
    gc.disable()
    try:
        root = builder.root()
    finally:
        if pausing:
            gc.enable()
    return root, builder.end


def line_end(text: str, offset: int) -> int:
    """Return the offset of the newline that ends the line of `offset`, or the text's length."""
    found = text.find("\n", offset)
    return len(text) if found < 0 else found


def line_start(text: str, offset: int) -> int:
    """Return the offset of the first character of the line of `offset`."""
    return text.rfind("\n", 0, offset) + 1


def column(text: str, offset: int) -> int:
    """Return the number of characters before `offset` on its line. A byte order mark has no width."""
    start = line_start(text, offset)
    return offset - start - (1 if text.startswith("\ufeff", start) and start == 0 else 0)


def next_line(text: str, end: int) -> int:
    """Return the offset of the line after content that ends at `end`. A block scalar with `+` ends at the beginning of a line."""
    return end if end and text[end - 1] == "\n" else min(line_end(text, end) + 1, len(text))


def dash_of(text: str, sequence: Node, index: int, before: int) -> int:
    """Return the start of the line with the dash of item `index` of a block sequence, behind a byte order mark.

    Raises ValueError where no line begins with its dash.
    """
    begin = line_start(text, sequence.start) if index == 0 else next_line(text, sequence.items[index - 1].end)
    found = DASH.search(text, begin, max(before, begin) + 1)
    if found is None:
        raise ValueError("a list item whose dash does not begin its line")
    return found.start() + text.startswith(BYTE_ORDER_MARK, found.start())


class _Builder:
    """Reads events into nodes; `_cursor` is the end of the last content seen."""

    def __init__(self, text: str, source: str, key: str) -> None:
        self.end = len(text)
        self._text = text
        self._source = source
        self._key = key
        self._events: Iterator[Event] = document_events(text, source, key, MAX_EDITED_CHARACTERS)
        self._cursor = 0
        self._anchors: dict[str, Node] = {}

    def root(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event[0], yaml.NodeEvent):
                root = self._node(event)
            elif isinstance(event[0], yaml.DocumentEndEvent) and _DOCUMENT_MARK.match(self._text, event[1]):
                self.end = event[1]
        return None if root is None or (root.is_null and root.start == root.end) else root

    def _node(self, found: Event) -> Node:
        event, start, end = found
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                problem = Problem(self._key, "is not YAML: an undefined alias", line=line)
                raise ConfigError(self._source, [problem])
            self._cursor = end
            return Node("alias", start, end, line, value=event.anchor, target=self._anchors[event.anchor])
        tag, anchor = event.tag or "", event.anchor or ""
        if isinstance(event, yaml.ScalarEvent):
            node = Node("scalar", start, end, line, value=event.value, tag=tag, anchor=anchor)
            node.plain = not event.style
        else:
            kind: Literal["sequence", "mapping"] = (
                "sequence" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
            )
            node = Node(kind, start, start, line, tag=tag, anchor=anchor, flow=bool(event.flow_style))
        if anchor:
            self._anchors[anchor] = node
        if node.kind == "scalar":
            self._place(node, block=event.style in ("|", ">"))
        elif node.kind == "sequence":
            self._items(node)
        else:
            self._pairs(node)
        return node

    def _place(self, node: Node, *, block: bool) -> None:
        """Set the end of a scalar to its content. Trailing blank lines of a block scalar are content only with `+`."""
        if block:
            raw = self._text[node.start : node.end]
            if "+" not in raw.partition("\n")[0]:
                node.end = node.start + len(raw.rstrip())
        if node.end > node.start:
            self._cursor = node.end

    def _items(self, node: Node) -> None:
        while not isinstance((found := next(self._events))[0], yaml.SequenceEndEvent):
            item = self._node(found)
            # An empty item is just behind its dash.
            self._cursor = max(self._cursor, item.end)
            node.items.append(item)
        self._close(node, found)

    def _pairs(self, node: Node) -> None:
        while not isinstance((found := next(self._events))[0], yaml.MappingEndEvent):
            key = self._node(found)
            value = self._node(next(self._events))
            if value.start == value.end and value.kind == "scalar":
                # A missing value is just behind its colon, whose position the parser does not give in flow style.
                if not self._text.endswith(":", 0, value.start):
                    colon = _COLON.match(self._text, key.end)
                    value.start = value.end = colon.end() if colon else key.end
                self._cursor = max(self._cursor, value.end)
            node.pairs.append((key, value))
        self._close(node, found)

    def _close(self, node: Node, end: Event) -> None:
        if node.flow:
            self._cursor = end[2]
        node.end = max(self._cursor, node.start)
