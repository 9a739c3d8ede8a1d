"""The events of one YAML document within limits, with offsets into the text. All readers and editors of YAML in this project use them.

libyaml parses (docs/decisions/0004). The reference's Go parsers are ports of it, so they take the same texts, with two exceptions that
JSON allows and Go refuses: the escape `\\/`, and a character beyond U+FFFF as two escapes. libyaml refuses the second as well, so the
pair is put into libyaml's own spelling before it parses.

Limits are counted on the events before data is built from them. Aliases and merge keys let a few hundred bytes stand for any number of
values ("billion laughs", CVE-2019-11253 in kube-apiserver). Deep nesting exhausts the stack. A user who may write a mapping must not
be able to stop the server's reload or an administrator's command by that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from kube_iam.core.redaction import without_quoted
from kube_iam.errors import ConfigError, Problem

MAX_CHARACTERS = 16 * 1024 * 1024
"""Characters of one document. kube-apiserver takes ConfigMaps of at most 1 MiB."""
MAX_EDITED_CHARACTERS = 4 * 1024 * 1024
"""Characters of a text that is edited, of which each edit makes a tree several times: mapping lists and kubeconfigs."""
MAX_VALUES = 250_000
"""Keys, scalars, lists and mappings in one document, each alias counted as all that it stands for: twenty thousand mapping entries."""
MAX_DEPTH = 100
"""Lists and mappings within one another, aliases followed."""
BYTE_ORDER_MARK = "\ufeff"

# A PyYAML that was built without libyaml has only the slow parser, with the same events.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_UNESCAPED = r"(?<!\\)((?:\\\\)*)"
_PAIR = re.compile(_UNESCAPED + r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_SLASH = re.compile(_UNESCAPED + r"\\/")

Event = tuple[Any, int, int]
"""An event of PyYAML, and where in the text it starts and ends: offsets of characters."""


def document_events(text: str, source: str, key: str = "", most: int = MAX_CHARACTERS) -> Iterator[Event]:
    """Yield the events of the text's document, from its start to its end. Empty documents behind it are skipped.

    Raises ConfigError, naming `source`, `key`, and the line where there is one: the text is longer than `most` characters, is no YAML,
    is over a limit, or has a further document with content.
    """
    try:
        _check_length(text, most)
        yield from _first_document(text, source, key)
    except LimitExceeded as error:
        raise _unusable(source, key, str(error), error.line) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is not YAML: {without_quoted(str(error.problem or error.context))}{_character(text, mark)}"
        hint = "YAML wants spaces there" if message.endswith("is a tab)") else ""
        raise _unusable(source, key, message, mark.line + 1 if mark else None, hint) from error
    except yaml.reader.ReaderError as error:
        # Its position counts bytes, or characters, by the parser.
        at = text.find(chr(error.character)) if isinstance(error.character, int) else -1
        line = text.count("\n", 0, at) + 1 if at >= 0 else None
        raise _unusable(source, key, f"is not YAML: {error.reason} ({error.character:#06x})", line) from error
    except (yaml.YAMLError, ValueError) as error:
        message = f"is not YAML: {without_quoted(str(error).splitlines()[0])}"
        raise _unusable(source, key, message) from error


def go_refuses(text: str, source: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each escape in the text that Go's YAML parsers refuse, and the escape. Raises as `document_events` does."""
    if not (_SLASH.search(text) or _PAIR.search(text)):
        return
    for event, start, end in document_events(text, source):
        if isinstance(event, yaml.ScalarEvent) and event.style == '"':
            for pattern in (_SLASH, _PAIR):
                for found in pattern.finditer(text, start, end):
                    yield text.count("\n", 0, found.end()) + 1, found[0][len(found[1]) :]


def _first_document(text: str, source: str, key: str) -> Iterator[Event]:
    ended = False
    further = 0
    for event, start, end in _events(text):
        if not ended:
            yield event, start, end
            ended = isinstance(event, yaml.DocumentEndEvent)
        elif isinstance(event, yaml.DocumentStartEvent):
            further = event.start_mark.line + 1 if event.start_mark else 0
        elif isinstance(event, yaml.NodeEvent) and not _is_nothing(event):
            raise _unusable(source, key, "holds more than one document", further)


def _is_nothing(event: Any) -> bool:
    return (
        isinstance(event, yaml.ScalarEvent)
        and not (event.value or event.tag or event.anchor)
        and event.style in (None, "")
    )


def _events(text: str) -> Iterator[Event]:
    """Yield all events of the text. Raises what PyYAML raises, and LimitExceeded."""
    body = text.removeprefix(BYTE_ORDER_MARK)
    shift = len(text) - len(body)
    ends: dict[int, int] = {}
    if _PAIR.search(body):
        body, ends = _with_long_escapes(body)
    for event in _bounded(yaml.parse(body, Loader=_LOADER)):
        start, end = event.start_mark.index, event.end_mark.index
        yield event, start + shift, ends.get(start, end) + shift


def _with_long_escapes(text: str) -> tuple[str, dict[int, int]]:
    """Return the text with pairs of escapes as single ones, and the true end of each scalar that has one, by its start.

    In quotes other than double ones the same characters are no escapes, and stay. The new escape is shorter: blanks behind the closing
    quote make up for it, so that no other offset moves.
    """
    # Two escapes of the same length, to learn where the double-quoted scalars are.
    parsed = yaml.parse(_PAIR.sub(r"\1\\u0041\\u0041", text), Loader=_LOADER)
    parts: list[str] = []
    ends: dict[int, int] = {}
    done = 0
    for event in _bounded(parsed):
        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, yaml.ScalarEvent) and event.style == '"' and _PAIR.search(text, start, end):
            scalar = _PAIR.sub(_one_escape, text[start:end])
            parts += [text[done:start], scalar, " " * (end - start - len(scalar))]
            ends[start] = done = end
    return "".join([*parts, text[done:]]), ends


def _one_escape(pair: re.Match[str]) -> str:
    high, low = int(pair[2], 16), int(pair[3], 16)
    return f"{pair[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _character(text: str, mark: Any) -> str:
    """Return the place where a parser stopped, to add to its message: the column, and a tab or a character that is no letter or digit.

    Letters and digits can be part of a secret.
    """
    lines = text.removeprefix(BYTE_ORDER_MARK).splitlines(keepends=True)
    if mark is None or mark.line >= len(lines) or mark.column >= len(lines[mark.line]):
        return ""
    found = lines[mark.line][mark.column]
    column = f"column {mark.column + 1}"
    if found == "\t":
        return f" ({column} is a tab)"
    return "" if found.isalnum() or found.isspace() else f" ({column} is {found!r})"


def _unusable(source: str, key: str, message: str, line: int | None = None, hint: str = "") -> ConfigError:
    return ConfigError(source, [Problem(key, message, hint, line)])


class LimitExceeded(ValueError):
    """A document is over a limit, which the message names. `line` is counted from 1; None stands for the whole document."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def _check_length(text: str, most: int = MAX_CHARACTERS) -> None:
    """Raise LimitExceeded where the text is longer than a document may be."""
    if len(text) > most:
        raise LimitExceeded(f"is longer than {most:,} characters")


def _bounded(events: Iterable[Any]) -> Iterator[Any]:
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
