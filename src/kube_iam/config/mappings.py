"""The lists mapRoles, mapUsers, mapGroups and mapAccounts of every backend's source. Keys are read in any letter case.

An entry that cannot be used is an error. The error is `local` where the entry admits nobody and the other entries stay usable. An
unusual entry with one clear meaning is a warning. All problems are reported together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from kube_iam.config.mapping_entries import (
    CONFIG_YAML,
    GROUP_KEYS,
    ROLE_KEYS,
    USER_KEYS,
    Dialect,
    group_entry,
    role_entry,
    user_entry,
    user_id_entry,
)
from kube_iam.config.section import Findings, Section, account_ids, is_empty, kind_of
from kube_iam.config.yaml_file import key_path
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping import MappingTable
from kube_iam.core.mapping_entries import GroupMapping, RoleMapping, UserIdMapping, UserMapping
from kube_iam.core.partitions import PARTITIONS
from kube_iam.core.templates import unusable_template

MAPPING_KEYS = ("mapRoles", "mapUsers", "mapGroups", "mapAccounts")

Entry = TypeVar("Entry", RoleMapping, UserMapping, GroupMapping, UserIdMapping)


@dataclass(frozen=True, slots=True)
class Mappings:
    """The entries of one source, in its order."""

    roles: tuple[RoleMapping, ...] = ()
    users: tuple[UserMapping, ...] = ()
    accounts: tuple[str, ...] = ()
    groups: tuple[GroupMapping, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of entries."""
        return len(self.roles) + len(self.users) + len(self.accounts) + len(self.groups)


def parse_mappings(section: Section, dialect: Dialect = CONFIG_YAML) -> Mappings:
    """Return the entries of a section with MAPPING_KEYS, by their ARN. Problems are added to the section's findings.

    An entry with a valid principal and any other error is returned as an entry that admits nobody.
    """
    return Mappings(
        roles=_entries(section, "mapRoles", ROLE_KEYS, partial(role_entry, dialect=dialect)),
        users=_entries(section, "mapUsers", USER_KEYS, partial(user_entry, dialect=dialect)),
        accounts=_accounts(section, dialect),
        groups=parse_groups(section),
    )


def parse_groups(section: Section) -> tuple[GroupMapping, ...]:
    """Return the entries of mapGroups. They are the same in every dialect: members of groups are matched by their unique ids."""
    return _entries(section, "mapGroups", GROUP_KEYS, group_entry)


def parse_user_ids(section: Section) -> tuple[tuple[UserIdMapping, ...], tuple[str, ...]]:
    """Return the entries by their `userid`, roles before users, and the accounts. ARNs are not checked here but by the table."""
    roles = _entries(section, "mapRoles", ROLE_KEYS, lambda entry: user_id_entry(entry, "rolearn"))
    users = _entries(section, "mapUsers", USER_KEYS, lambda entry: user_id_entry(entry, "userarn"))
    return (*roles, *users), _accounts(section, CONFIG_YAML)


def warn_of_user_ids(section: Section) -> None:
    """Warn of entries with a `userid` in a source that matches entries by their ARN only."""
    for name in ("mapRoles", "mapUsers"):
        value = section.value(name)
        for index, item in enumerate(value if isinstance(value, list) else ()):
            for key in item if isinstance(item, dict) else ():
                if ascii_lower(key) == "userid":
                    section.warn((*section.at(name), index, key), "counts only in the backend DynamicFile")


def warn_of_partitions(found: Findings, section: Section, partition: str) -> None:
    """Warn of entries for principals of another partition than the server's, whose tokens it refuses."""
    for name, arn in (("mapRoles", "rolearn"), ("mapUsers", "userarn")):
        value = section.value(name)
        for index, item in enumerate(value if isinstance(value, list) else ()):
            for key, text in item.items() if isinstance(item, dict) else ():
                parts = text.split(":") if isinstance(text, str) and ascii_lower(key) == arn else []
                other = ascii_lower(parts[1]) if len(parts) > 1 else partition
                if other in PARTITIONS and other != partition:
                    message = (
                        f"is in partition {other}, and this server takes tokens of {partition} only: matches nobody"
                    )
                    path = (*section.at(name), index, key)
                    hint = f"write arn:{partition}:…, set server.partition to {other}, or remove it"
                    found.warnings.append(section.document.problem(path, message, hint))


def build_table(mappings: Mappings, section: Section) -> MappingTable:
    """Return the indexed table of the entries. Repeated entries and role paths become warnings of the section."""
    table, problems = MappingTable.build(mappings.roles, mappings.users, mappings.accounts, mappings.groups)
    for problem in problems:
        problem.line = _line_of(section, problem.key)
    section.found.warnings += problems
    return table


def _entries(
    section: Section, name: str, keys: tuple[str, ...], parse: Callable[[Section], Entry | None]
) -> tuple[Entry, ...]:
    value = section.value(name)
    if is_empty(value):
        return ()
    if not isinstance(value, list):
        section.error(section.at(name), f"must be a list of entries, not {kind_of(value)}")
        return ()
    entries = []
    for index, item in enumerate(value):
        path = (*section.at(name), index)
        if not isinstance(item, dict):
            section.error(path, f"must be a mapping of keys, not {kind_of(item)}")
            continue
        before = len(section.found.fatal)
        entry = parse(Section(section.document, item, path, keys, section.found))
        if entry is not None and (len(section.found.fatal) > before or section.document.troubled(*path)):
            # The groups too: another entry may give the same principal a user name.
            entry = replace(entry, username=unusable_template(""), groups=(unusable_template(""),))
        if entry is not None:
            entries.append(entry)
    return tuple(entries)


def _accounts(section: Section, dialect: Dialect) -> tuple[str, ...]:
    return tuple(account for _, account in account_ids(section, "mapAccounts", leading_zeros=dialect.account_zeros))


def _line_of(section: Section, key: str) -> int | None:
    """Return the line of an entry, given its key path as messages show it, such as `server.mapRoles[3]`."""
    for name in ("mapRoles", "mapUsers"):
        stem = key_path(*section.at(name))
        if key.startswith(f"{stem}["):
            return section.document.line(*section.at(name), int(key[len(stem) + 1 : -1]))
    return section.document.line(*section.path)
