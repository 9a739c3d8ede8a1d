"""Limits for YAML documents, counted on a parser's events before data is built from them.

Aliases and merge keys let a few hundred bytes stand for any number of values ("billion laughs", CVE-2019-11253 in kube-apiserver).
Deep nesting exhausts the stack. A user who may write a mapping must not be able to stop the server's reload or an administrator's
command by that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

MAX_CHARACTERS = 16 * 1024 * 1024
"""Characters of one document. kube-apiserver takes ConfigMaps of at most 1 MiB."""
MAX_EDITED_CHARACTERS = 4 * 1024 * 1024
"""Characters of a text that is edited, of which each edit makes a tree several times: mapping lists and kubeconfigs."""
MAX_VALUES = 250_000
"""Keys, scalars, lists and mappings in one document, each alias counted as all that it stands for: twenty thousand mapping entries."""
MAX_DEPTH = 100
"""Lists and mappings within one another, aliases followed."""


class LimitExceeded(ValueError):
    """A document is over a limit, which the message names. `line` is counted from 1; None stands for the whole document."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def check_length(text: str, most: int = MAX_CHARACTERS) -> None:
    """Raise LimitExceeded where the text is longer than a document may be."""
    if len(text) > most:
        raise LimitExceeded(f"is longer than {most:,} characters")


def bounded(events: Iterable[Any]) -> Iterator[Any]:
    """Yield the events of PyYAML. Raises LimitExceeded at the first that is over a limit, before it is yielded."""
    count = _Count()
    for event in events:
        count.take(event)
        yield event


class _Open:
    """A list or mapping that is still open: its number of values, and its depth."""

    __slots__ = ("anchor", "depth", "size")

    def __init__(self, anchor: str | None) -> None:
        self.anchor = anchor
        self.size = 0
        self.depth = 0


class _Count:
    """Counts values and depth over the events of one document."""

    def __init__(self) -> None:
        self._total = 0
        self._stack = [_Open(None)]
        # Size and depth of each anchor's value. An alias within its own anchor counts as one value: readers refuse it.
        self._anchors: dict[str, tuple[int, int]] = {}

    def take(self, event: Any) -> None:
        """Count one event. Raises LimitExceeded."""
        match type(event).__name__:
            case "ScalarEvent":
                self._add(event, 1, 0)
                if event.anchor:
                    self._anchors[event.anchor] = (1, 0)
            case "AliasEvent":
                self._add(event, *self._anchors.get(event.anchor, (1, 0)))
            case "SequenceStartEvent" | "MappingStartEvent":
                self._add(event, 1, 1)
                self._stack.append(_Open(event.anchor))
            case "SequenceEndEvent" | "MappingEndEvent":
                ended = self._stack.pop()
                holder = self._stack[-1]
                holder.size += ended.size
                holder.depth = max(holder.depth, ended.depth + 1)
                if ended.anchor:
                    self._anchors[ended.anchor] = (ended.size + 1, ended.depth + 1)

    def _add(self, event: Any, size: int, depth: int) -> None:
        """Add a value, or the value of an alias, to the innermost open collection."""
        self._total += size
        holder = self._stack[-1]
        holder.size += size
        holder.depth = max(holder.depth, depth)
        line = event.start_mark.line + 1
        if self._total > MAX_VALUES:
            raise LimitExceeded(f"has more than {MAX_VALUES:,} values, aliases followed", line)
        if len(self._stack) - 1 + depth > MAX_DEPTH:
            raise LimitExceeded(f"is nested more than {MAX_DEPTH} deep, aliases followed", line)
