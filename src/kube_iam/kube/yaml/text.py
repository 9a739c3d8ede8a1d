"""Text, lists and mappings of text as YAML that every parser reads as the same text. Ambiguous words are quoted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Value = str | Sequence["Value"] | Mapping[str, "Value"]

# Words that some YAML parser reads as something other than text do not match or are in _NOT_TEXT: they are quoted.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./@+=,-]*(?::+[A-Za-z0-9_./@+=,-]+)*")
_NOT_TEXT = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def quoted(text: str) -> str:
    """Return a double-quoted scalar that YAML, and JSON for the basic plane, read as the same text."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def flow(value: Value) -> str:
    """Return the value on one line, in the form that JSON shares with YAML."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    return "[" + ", ".join(flow(inner) for inner in value) + "]"


def block(value: Value, note: str = "") -> list[str]:
    """Return the value as lines of block YAML. `note` is a comment for keys of nested values, down to the first list."""
    if isinstance(value, str):
        bare = _PLAIN.fullmatch(value) and value.casefold() not in _NOT_TEXT
        return [value if bare else quoted(value)]
    if not value:
        return [flow(value)]
    lines: list[str] = []
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = block(key)[0]
            if isinstance(inner, str) or not inner:
                lines.append(f"{name}: {block(inner)[0]}")
            else:
                lines.append(f"{name}:{note}")
                indent = "  " if isinstance(inner, Mapping) else ""
                lines += [indent + line for line in block(inner, note)]
        return lines
    for inner in value:
        first, *rest = block(inner)
        lines += [f"- {first}", *(f"  {line}" for line in rest)]
    return lines


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
