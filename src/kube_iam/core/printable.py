"""Escapes for invisible characters in text that others wrote, so that it is safe on a terminal. Pure.

A terminal acts on control characters, and text that runs backwards or has no width deceives a reader. Names in IAM, entries of
ConfigMaps, file names and error texts of services may hold such characters. The escapes are those of JSON, so that JSON whose
strings are escaped here still parses to the same text.
"""

from __future__ import annotations

from collections.abc import Iterable

# Letters and marks that `str.isprintable` accepts, although Unicode has them as Default_Ignorable_Code_Point.
_INVISIBLE = frozenset(
    [
        *map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)),
        *map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))),
    ]
)


def escaped_lines(lines: Iterable[str]) -> list[str]:
    """Return each line escaped. Line breaks are escaped too, so that a value cannot begin another line."""
    return [escaped(line) for line in lines]


def escaped(text: str, keep: str = "") -> str:
    r"""Return the text with every invisible character as `\uXXXX`, or as two of them beyond the basic plane.

    Invisible are C0, DEL, C1, line and paragraph separators, bidirectional and zero-width characters, lone surrogates, spaces
    other than U+0020, private and unassigned characters. Characters in `keep` stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if is_visible(character) or character in keep else _escape(character) for character in text
    )


def is_visible(character: str) -> bool:
    """Return whether a terminal shows the character as itself and does nothing else with it."""
    return character.isprintable() and character not in _INVISIBLE


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
