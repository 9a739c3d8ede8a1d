"""Text that others wrote, made safe for a terminal: what cannot be seen is written as an escape of JSON. Pure.

A terminal acts on control characters, and a reader is deceived by text that runs backwards or has no width: names in IAM, entries of
ConfigMaps, file names and error texts of services may hold them. The form is JSON's, so that JSON whose strings are escaped here
still parses to the same text.
"""

from __future__ import annotations

from collections.abc import Iterable

# Letters and marks that are printable by their category and invisible by Unicode's Default_Ignorable_Code_Point.
_INVISIBLE = frozenset(
    [
        *map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)),
        *map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))),
    ]
)


def escaped_lines(lines: Iterable[str]) -> list[str]:
    """Return each line escaped, its line breaks too: a value in it cannot begin another line."""
    return [escaped(line) for line in lines]


def escaped(text: str, keep: str = "") -> str:
    r"""Return the text with every character that is not plainly visible as `\uXXXX`, two of them beyond the basic plane.

    These are C0, DEL, C1, line and paragraph separators, bidirectional and zero-width characters, lone surrogates, spaces other
    than U+0020, private and unassigned characters. Those in `keep` stay. A text without any is returned as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if is_visible(character) or character in keep else _escape(character) for character in text
    )


def is_visible(character: str) -> bool:
    """Return whether a character shows as itself, and only as itself, on a terminal."""
    return character.isprintable() and character not in _INVISIBLE


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
