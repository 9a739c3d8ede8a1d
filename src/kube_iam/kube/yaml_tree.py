"""YAML as a tree of nodes that know where in the text they stand, so that an edit can replace one entry and leave every other byte.

Built from ruamel.yaml's event stream, not from its round-trip dump: a dump re-wraps, re-indents and re-quotes what others wrote.
Aliases stay aliases, so the tree is never larger than the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from kube_iam.config.yaml_limits import MAX_EDITED_CHARACTERS, LimitExceeded, bounded, check_length
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.redaction import without_quoted
from kube_iam.errors import ConfigError, Problem

DASH = re.compile(r"^\ufeff?[ ]*-(?=[ \t\r\n]|$)", re.MULTILINE)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_MAX_HOPS = 20  # of aliases and merge keys followed to find one value

Shape = tuple[object, ...]


@dataclass(slots=True, eq=False)
class Node:
    """A value in the text. `end` is just after its last character that is content, never after a comment or blank line."""

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
        """Whether this is YAML's null: nothing at all, `~` or `null`."""
        return self.kind == "scalar" and self.plain and not self.tag and self.value in _NULLS

    def shape(self) -> Shape:
        """What the node says, without where: equal shapes are the same YAML, written alike apart from layout and comments."""
        inside = tuple(item.shape() for item in self.items) + tuple((k.shape(), v.shape()) for k, v in self.pairs)
        return (self.kind, self.tag, self.anchor, self.plain, self.value, inside)

    def resolved(self) -> Node:
        """The node itself, or what an alias stands for."""
        node, hops = self, 0
        while node.kind == "alias" and node.target is not None and hops < _MAX_HOPS:
            node, hops = node.target, hops + 1
        return node

    def own_pairs(self, name: str) -> list[tuple[Node, Node]]:
        """The pairs of a mapping whose key is `name` in any letter case."""
        wanted = ascii_lower(name)
        return [(key, value) for key, value in self.pairs if key.kind == "scalar" and ascii_lower(key.value) == wanted]

    def get(self, name: str, hops: int = 0) -> Node | None:
        """The value under `name` in any letter case, aliases and merge keys (`<<`) followed; the mapping's own pair goes first."""
        for _, value in self.own_pairs(name):
            return value.resolved()
        for key, value in self.pairs if hops < _MAX_HOPS else ():
            if key.plain and key.value == "<<":
                merged = value.resolved()
                for source in merged.items if merged.kind == "sequence" else [merged]:
                    found = source.resolved().get(name, hops + 1)
                    if found is not None:
                        return found
        return None

    def data(self) -> object:
        """Plain data in which every scalar is text as written, null is None, and an alias is its name."""
        if self.kind == "mapping":
            return {key.value: value.data() for key, value in self.pairs}
        if self.kind == "sequence":
            return [item.data() for item in self.items]
        return None if self.is_null else self.value


def parse_tree(text: str, source: str, key: str = "") -> Node | None:
    """Return the document's root, None for a document without content.

    Raises ConfigError naming `source`, `key` and the line: no YAML, or over the limits of `kube_iam.config.yaml_limits`.
    """
    try:
        check_length(text, MAX_EDITED_CHARACTERS)
        return _Builder(text).root()
    except LimitExceeded as error:
        raise ConfigError(source, [Problem(key, str(error), line=error.line)]) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise ConfigError(
            source, [Problem(key, f"is not YAML: {without_quoted(str(error.problem or error.context))}", line=line)]
        ) from error
    except _SeveralDocumentsError as error:
        raise ConfigError(source, [Problem(key, "holds more than one YAML document", line=error.line)]) from error
    except (YAMLError, ValueError) as error:
        raise ConfigError(
            source, [Problem(key, f"is not YAML: {without_quoted(str(error).splitlines()[0])}")]
        ) from error


def line_end(text: str, offset: int) -> int:
    """The offset of the newline that ends the line of `offset`, or the text's length."""
    found = text.find("\n", offset)
    return len(text) if found < 0 else found


def line_start(text: str, offset: int) -> int:
    """The offset of the first character of the line of `offset`."""
    return text.rfind("\n", 0, offset) + 1


def next_line(text: str, end: int) -> int:
    """The offset of the line after content that ends at `end` (a block scalar with `+` ends at a line's beginning already)."""
    return end if end and text[end - 1] == "\n" else min(line_end(text, end) + 1, len(text))


def dash_of(text: str, sequence: Node, index: int, before: int) -> int:
    """The offset of the line on which item `index` of a block sequence has its dash. Raises ValueError where there is none."""
    begin = line_start(text, sequence.start) if index == 0 else next_line(text, sequence.items[index - 1].end)
    found = DASH.search(text, begin, max(before, begin) + 1)
    if found is None:
        raise ValueError("a list item whose dash does not begin its line")
    return found.start()


class _SeveralDocumentsError(Exception):
    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


class _Builder:
    """Reads events into nodes; `_cursor` is the end of the last content seen."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._events: Iterator[Any] = bounded(YAML(typ="safe", pure=True).parse(text))
        self._cursor = 0
        self._anchors: dict[str, Node] = {}

    def root(self) -> Node | None:
        root: Node | None = None
        seen = False
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                if seen:
                    raise _SeveralDocumentsError(event.start_mark.line + 1)
                seen = True
                root = self._node(next(self._events))
        return None if root is None or (root.is_null and root.start == root.end) else root

    def _node(self, event: Any) -> Node:
        start, line = event.start_mark.index, event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            node = Node("alias", start, event.end_mark.index, line, value=event.anchor)
            if event.anchor not in self._anchors:
                raise ValueError(f"line {line}: an alias has no anchor")
            node.target = self._anchors[event.anchor]
            self._cursor = node.end
            return node
        tag, anchor = str(getattr(event, "ctag", None) or ""), event.anchor or ""
        if isinstance(event, ScalarEvent):
            node = Node("scalar", start, event.end_mark.index, line, value=event.value, tag=tag, anchor=anchor)
            node.plain = not event.style
            self._place(node, block=event.style in ("|", ">"))
        elif isinstance(event, SequenceStartEvent):
            node = Node("sequence", start, start, line, tag=tag, anchor=anchor, flow=bool(event.flow_style))
            self._items(node)
        elif isinstance(event, MappingStartEvent):
            node = Node("mapping", start, start, line, tag=tag, anchor=anchor, flow=bool(event.flow_style))
            self._pairs(node)
        else:
            raise ValueError(f"unexpected {type(event).__name__}")
        if anchor:
            self._anchors[anchor] = node
        return node

    def _place(self, node: Node, *, block: bool) -> None:
        """Ends a scalar at its content: a block scalar's trailing blank lines are not content unless `+` keeps them."""
        if block:
            raw = self._text[node.start : node.end]
            if "+" not in raw.partition("\n")[0]:
                node.end = node.start + len(raw.rstrip())
        if node.end > node.start:
            self._cursor = node.end

    def _items(self, node: Node) -> None:
        while not isinstance(event := next(self._events), SequenceEndEvent):
            before = self._cursor
            item = self._node(event)
            if item.start == item.end and item.kind == "scalar" and not node.flow:
                begin = next_line(self._text, before) if node.items else line_start(self._text, node.start)
                dash = DASH.search(self._text, begin)
                item.start = item.end = dash.end() if dash else before
                self._cursor = item.end
            node.items.append(item)
        self._close(node, event)

    def _pairs(self, node: Node) -> None:
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._node(event)
            value = self._node(next(self._events))
            if value.start == value.end and value.kind == "scalar":
                # ruamel places a missing value at the next token; it belongs just after the colon.
                colon = self._text.find(":", key.end)
                value.start = value.end = colon + 1 if colon >= 0 else key.end
                self._cursor = value.end
            node.pairs.append((key, value))
        self._close(node, event)

    def _close(self, node: Node, event: Any) -> None:
        if node.flow:
            self._cursor = event.end_mark.index
        node.end = max(self._cursor, node.start)
