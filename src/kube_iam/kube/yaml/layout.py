"""Positions of new lines in a YAML text, behind the comments of the value before them, and cuts of members of flow values."""

from __future__ import annotations

import re

from kube_iam.kube.yaml.tree import line_end, next_line

Splice = tuple[int, int, str]
"""A replacement in a text: the offsets of its start and its end, and the new text between."""

# A commented-out entry or key, and its indentation behind the mark.
_COMMENTED_OUT = re.compile(r"#( *)(?:- |[A-Za-z][\w-]*:(?:\s|$))")


def behind_comments(text: str, end: int, column: int, stop: int, *, item: bool) -> int:
    """Return the end of the comments that belong to content which ends at `end`, or `end` without such comments before `stop`.

    New lines at `column` are inserted there: an item of a list, or else a key. A comment belongs to the content if it, or the text
    that it comments out, is indented further. A comment at the column belongs to a list's last item, unless a key at that column
    follows.
    """
    comments: list[tuple[int, int]] = []
    following = column - 1 if item else column
    start = next_line(text, end)
    while start < stop:
        line = text[start : line_end(text, start)].rstrip()
        word = line.lstrip()
        indent = len(line) - len(word)
        if word.startswith("#"):
            commented_out = _COMMENTED_OUT.match(word)
            comments.append((indent + len(commented_out[1]) if commented_out else indent, start + len(line)))
        elif word:
            following = indent
            break
        start = line_end(text, start) + 1
    return max([end, *(comment for indent, comment in comments if indent > min(column, following))])


def insert_lines(text: str, end: int, lines: list[str], indent: str) -> str:
    """Return the text with lines inserted after the line on which content ends. A missing final newline stays missing."""
    at, _, added = insertion(text, end, lines, indent)
    return text[:at] + added + text[at:]


def insertion(text: str, end: int, lines: list[str], indent: str) -> Splice:
    """Return the replacement by which `insert_lines` inserts the lines."""
    newline = newline_of(text)
    added = newline.join(indent + line for line in lines)
    at = next_line(text, end)
    if at == len(text) and text and not text.endswith("\n"):
        return at, at, newline + added
    return at, at, added + newline


def cut_from_flow(text: str, spans: list[tuple[int, int]], index: int) -> str:
    """Return the text without one member of a flow list or mapping and its comma. A comment between two members stays.

    `spans` are the offsets of the start and end of each member.
    """
    start, end = spans[index]
    if index > 0:
        comma = _comma(text, spans[index - 1][1])
        between = text[comma + 1 : start]
        return text[:comma] + (between if between.strip() else "") + text[end:]
    if len(spans) > 1:
        comma = _comma(text, end)
        return text[:start] + text[end:comma] + text[comma + 1 :].lstrip(" ")
    return text[:start] + text[end:]


def _comma(text: str, offset: int) -> int:
    """Return the offset of the next comma outside of comments. Nothing else is possible between two flow members."""
    while text[offset] != ",":
        offset = line_end(text, offset) if text[offset] == "#" else offset + 1
    return offset


def newline_of(text: str) -> str:
    """Return the line ending of the text's first line."""
    end = text.find("\n")
    return "\r\n" if end > 0 and text[end - 1] == "\r" else "\n"
