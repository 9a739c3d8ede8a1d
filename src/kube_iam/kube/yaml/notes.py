"""Comments that record values of a YAML text before an edit of ours. They are restored when the edited list is empty again.

A text on one line has no room for a comment beside a key. So all notes are behind the end of the outermost flow value (`{…}` or
`[…]`): `# kube-iam: instead of null` for that value, and `# kube-iam: server.mapRoles instead of nothing` for a key inside of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

ABSENT = "nothing"
"""The note of a key that did not exist."""
NO_VALUE = "no value"
"""The note of a key without any value, not even `null`."""

_BEGIN = "  # kube-iam: "
_NOTE = re.compile(
    re.escape(_BEGIN) + r"(?:(?P<path>[A-Za-z.]+) )?instead of "
    r"(?P<old>nothing|no value|null|Null|NULL|~|[|>][-+]?|\"\"|''|``|\{ *\}|\[ *\])(?=\s|$)"
)
_REST_IS_COMMENT = re.compile(r"[ \t]*(?:#.*)?\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Note:
    """A note at an offset of a text: the value at `path` was `old`. `path` is keys joined by dots, empty for the outermost value."""

    path: str
    old: str
    start: int
    end: int

    def covers(self, path: str) -> bool:
        """Return whether the note is about a value that contains `path`, a key inside of the outermost flow value."""
        return not self.path or path.startswith(self.path + ".")


def new_note(text: str, offset: int, old: str, path: str = "") -> str:
    """Return the comment for the end of a flow value, empty where there is no room or `old` cannot be noted."""
    note = f"{_BEGIN}{path} instead of {old}" if path else f"{_BEGIN}instead of {old}"
    return note if _NOTE.fullmatch(note) and _REST_IS_COMMENT.match(text, offset) else ""


def notes_at(text: str, offset: int) -> list[Note]:
    """Return the consecutive notes at the offset."""
    notes: list[Note] = []
    while found := _NOTE.match(text, notes[-1].end if notes else offset):
        notes.append(Note(found["path"] or "", found["old"], found.start(), found.end()))
    return notes


def is_covered(notes: Iterable[Note], path: str) -> bool:
    """Return whether one of the notes covers the path."""
    return any(note.covers(path) for note in notes)
