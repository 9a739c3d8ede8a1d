"""Who is in which level, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kube_iam.access.members import LevelMembers


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns aligned by spaces, as kubectl prints them: easy to read, easy to cut."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = ("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "".join(line.rstrip() + "\n" for line in padded)


def levels_table(levels: Iterable[LevelMembers]) -> str:
    """A line per member; a level without members, or without a group in IAM, says so."""
    rows = []
    for level in levels:
        if level.users is None:
            rows.append((level.level, level.group, "(not applied)"))
        elif not level.users:
            rows.append((level.level, level.group, "(nobody)"))
        else:
            rows += [(level.level, level.group, user) for user in level.users]
    return table(("LEVEL", "IAM GROUP", "USER"), rows)


def users_table(users: dict[str, list[str]]) -> str:
    """A line per user with the levels that they are in."""
    return table(("USER", "LEVELS"), ((user, ", ".join(levels)) for user, levels in users.items()))
