"""Members of levels as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from kube_iam.access.mapping import MappingEntry
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.printable import escaped
from kube_iam.denylist.denial import Denial
from kube_iam.denylist.denied_members import Denied, is_of_key
from kube_iam.report.members_data import kind_of_entry

if TYPE_CHECKING:
    from kube_iam.access.members import LevelMembers

NOT_ADMITTED = "not admitted"
NOT_LISTED = "not in the file"
NOT_IN_IAM = "in the file, not in IAM"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return columns aligned by spaces, as kubectl prints them: easy to read, easy to cut. Cells are escaped here."""
    lines = [list(head), *([escaped(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = ("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "".join(line.rstrip() + "\n" for line in padded)


def levels_table(levels: Sequence[LevelMembers], now: float, denied: Denied = MappingProxyType({})) -> str:
    """Return one line per user. A level without users, or without a group in IAM, has a line too.

    Further columns are there if access is temporary, denied, or not as the file lists it.
    """
    rows = [row for level in levels for row in _rows(level, now)]
    states = _states(levels, denied)
    some = any(level.temporary or level.void for level in levels)
    head = ("LEVEL", "IAM GROUP", "USER", "TIME LEFT", "REASON")
    shown = [row if some else row[:3] for row in rows]
    if states:
        shown = [(*row, states.get((full[0], full[2]), "")) for row, full in zip(shown, rows, strict=True)]
    columns: tuple[str, ...] = head if some else head[:3]
    return table((*columns, "STATE") if states else columns, shown)


def _states(levels: Sequence[LevelMembers], denied: Denied) -> dict[tuple[str, str], str]:
    """Return what is to be said of members, by level and user: denials, and differences from a list in the file."""
    drift = {(level.level, user): NOT_LISTED for level in levels for user in level.unlisted}
    drift |= {(level.level, user): NOT_IN_IAM for level in levels for user in level.absent}
    keys = dict.fromkeys((*drift, *denied))
    return {
        key: ", ".join(filter(None, (drift.get(key), denied_text(denied[key]) if key in denied else "")))
        for key in keys
    }


def denied_text(denial: Denial) -> str:
    """Return until when a member is denied."""
    key = f" with access key {denial.value}" if is_of_key(denial) else ""
    return f"denied until {denial.end}{key}"


def entries_table(entries: Iterable[MappingEntry]) -> str:
    """Return a line per entry of the mapping: the principal that it admits, the user name and groups that it gives."""
    rows = []
    for each in entries:
        if kind_of_entry(each) == "account":
            rows.append((f"account {each.principal}", "(the ARN of each user and role)", "-", "-"))
        else:
            rows.append((each.name, each.username, ", ".join(each.groups) or "-", each.level or "-"))
    return table(("OTHER ENTRY", "USER NAME", "GROUPS", "LEVEL"), rows)


def users_table(levels: Sequence[LevelMembers], now: float, denied: Denied = MappingProxyType({})) -> str:
    """Return one line per user with their levels, and the time that is left of temporary access."""
    from kube_iam.access.members import by_user

    ends = {(who.user_name, level.level): who for level in levels for who in level.temporary}
    states = _states(levels, denied)
    rows = []
    for user, names in by_user(levels).items():
        shown = (_with_notes(name, ends.get((user, name)), states.get((name, user), ""), now) for name in names)
        rows.append((user, ", ".join(shown)))
    rows += [(who.user_name, f"({level.level}: {NOT_ADMITTED}, {why})") for level in levels for who, why in level.void]
    return table(("USER", "LEVELS"), rows)


def _with_notes(level: str, who: TemporaryGrant | None, state: str, now: float) -> str:
    notes = [*([f"{left(who, now)} left"] if who else ()), *([state] if state else ())]
    return f"{level} ({', '.join(notes)})" if notes else level


def left(who: TemporaryGrant, now: float) -> str:
    """Return the time that is left, in its two largest units: `1h50m`, `3d4h`, `40s`."""
    seconds = max(0, int(who.ends - now))
    parts = ((seconds // 86400, "d"), (seconds % 86400 // 3600, "h"), (seconds % 3600 // 60, "m"), (seconds % 60, "s"))
    first = next((at for at, (amount, _) in enumerate(parts) if amount), 3)
    return "".join(f"{amount}{unit}" for amount, unit in parts[first : first + 2] if amount) or "0s"


def _rows(level: LevelMembers, now: float) -> Iterator[tuple[str, ...]]:
    if level.permission_set:
        state = "(not applied)" if level.is_mapped is False else "(managed in IAM Identity Center)"
        yield (level.level, f"permission set {level.permission_set}", state, "", "")
    elif level.mapped_role:
        state = "(not applied)" if level.is_mapped is False else "(managed elsewhere)"
        yield (level.level, level.mapped_role, state, "", "")
    elif level.users is None:
        yield (level.level, level.group, "(not applied)", "", "")
    elif not (level.users or level.temporary or level.void or level.absent):
        yield (level.level, level.group, "(nobody)", "", "")
    for user in level.users or ():
        yield (level.level, level.group, user, "", "")
    for user in level.absent:
        yield (level.level, level.group, user, "", "")
    for who in level.temporary:
        yield (level.level, level.group, who.user_name, left(who, now), who.reason)
    for who, why in level.void:
        yield (level.level, level.group, who.user_name, NOT_ADMITTED, why)
