"""Levels of an access file for the entries of a mapping that others wrote, and the entries that cannot be levels, with the reason.

A level describes its entry as it is, so that the plan of the file has no change: role, user name and groups, no bindings, and nothing
in IAM. The reader of access files itself says what a level cannot be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kube_iam.access.mapping import MappingEntry, given
from kube_iam.config.access import parse_access
from kube_iam.core.printable import escaped
from kube_iam.errors import ConfigError
from kube_iam.kube.yaml.text import flow, quoted
from kube_iam.report.distinct_names import distinct

_OF_PERMISSION_SET = re.compile(r"AWSReservedSSO_(.+)_[0-9a-f]{16}", re.ASCII)
_NODES = "system:nodes"
_LONGEST_NAME = 40
_ALONE = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: x}
account: "000000000000"
region: us-east-1
levels:
"""


@dataclass(frozen=True, slots=True)
class ImportedLevel:
    """A level for one entry. `role_arn` has the path of the role where IAM told it. `note` says what is known of the role."""

    name: str
    entry: MappingEntry
    role_arn: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class LeftEntry:
    """An entry that stays in the mapping and is no level."""

    entry: MappingEntry
    reason: str

    def __str__(self) -> str:
        where = f"{self.entry.where}, " if self.entry.where else ""
        return f"{where}{self.entry.name} ({given(self.entry)}): {self.reason}"


def divide(entries: Iterable[MappingEntry]) -> tuple[tuple[MappingEntry, ...], tuple[LeftEntry, ...]]:
    """Return the entries that can be levels, and the others."""
    entries = tuple(entries)
    counts = Counter(entry.key for entry in entries)
    taken: dict[tuple[str, frozenset[str]], MappingEntry] = {}
    levels: list[MappingEntry] = []
    left: list[LeftEntry] = []
    for entry in entries:
        reason = _reason(entry, counts[entry.key])
        if not reason:
            first = taken.setdefault((entry.username, frozenset(entry.groups)), entry)
            if first is not entry:
                reason = (
                    f"has the user name and groups of {first.where or first.name}: levels have to differ in one of them"
                )
        if reason:
            left.append(LeftEntry(entry, reason))
        else:
            levels.append(entry)
    return tuple(levels), tuple(left)


def left_other(entry: MappingEntry) -> LeftEntry:
    """Return an entry that is in none of the lists from which levels are made: a user, an account, an odd spelling of a role."""
    if entry.principal.isdigit():
        return LeftEntry(entry, "admits every IAM user and role of the account")
    if ":user/" in entry.principal:
        return LeftEntry(entry, "admits one IAM user, whatever groups the user is in; no level can describe it")
    return LeftEntry(entry, "is no plain entry of one role")


def names(entries: Iterable[MappingEntry]) -> Iterator[str]:
    """Yield a name for the level of each entry, made of the role's name. IAM and Kubernetes take each, and all differ."""
    return distinct(map(_name, entries), "{name}-{number}", str.casefold)


def _name(entry: MappingEntry) -> str:
    role = entry.role_arn.rsplit("/", 1)[-1]
    found = _OF_PERMISSION_SET.fullmatch(role)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", found[1] if found else role)[:_LONGEST_NAME].strip("._-") or "level"


def level_lines(level: ImportedLevel) -> Iterator[str]:
    """Yield the lines of a level in the list of an access file."""
    entry = level.entry
    about = f"{entry.where or 'the mapping'}{'; ' if level.note else ''}{level.note}"
    yield f"  # {escaped(about)}"
    for problem in entry.problems:
        yield f"  # The server says of the entry: {escaped(problem)}"
    yield f"  - name: {quoted(level.name)}"
    yield "    method: mappedRole"
    yield f"    mappedRole: {quoted(level.role_arn)}"
    yield f"    username: {quoted(entry.username)}"
    yield f"    groups: {flow(list(entry.groups))}"


def left_lines(left: Iterable[LeftEntry]) -> Iterator[str]:
    """Yield the comments about entries that stay in the mapping and are no level."""
    found = tuple(left)
    if found:
        yield "# These entries of the mapping are no levels. kube-iam leaves them as they are:"
        yield from (f"#   {escaped(str(each))}" for each in found)


def _reason(entry: MappingEntry, count: int) -> str:
    """Return why an entry cannot be a level, empty if it can. `count` is the number of entries for its role."""
    if entry.iam_group or entry.level:
        named = f"level {entry.level}" if entry.level else f"a level with the IAM group {entry.iam_group}"
        return f"has the keys of kube-iam for {named}, which belongs in the access file that made it"
    if entry.sso is not None:
        return "is for a permission set: a level with method: permissionSet takes it over with --adopt"
    if _NODES in entry.groups or entry.username.startswith("system:node:"):
        return "is for nodes"
    if count > 1:
        return f"is one of {count} entries for this role, of which the server applies the first and others the last; keep one"
    try:
        text = _ALONE + "\n".join(level_lines(ImportedLevel("level", entry, entry.role_arn)))
        parse_access(text.encode(), "", Path())
    except ConfigError as error:
        return "; ".join(f"{each.key.rpartition('.')[2]} {each.message}" for each in error.problems)
    return ""
