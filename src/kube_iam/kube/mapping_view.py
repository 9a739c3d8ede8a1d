"""The mapping as a server reads it: the entries that it applies to a role, and its reports of each entry.

The server's own parser and index are used, so that `plan` knows what the server does: wildcards, repeated keys, paths, sessions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from kube_iam.access.mapping import ServerMapping, UnusedEntry
from kube_iam.config.backends import MOUNTED_FILE, reserved_prefixes
from kube_iam.config.config_map import list_document
from kube_iam.config.mapping_entries import AWS_AUTH, CONFIG_YAML, Dialect
from kube_iam.config.mappings import MAPPING_KEYS, Mappings, build_table, parse_mappings, warn_of_user_ids
from kube_iam.config.section import Findings, Section
from kube_iam.config.server_file import sections
from kube_iam.config.yaml_file import joined, key_path, parse_yaml
from kube_iam.core.arns import Sso, canonical_arn
from kube_iam.core.identity import Identity
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping import MappingTable
from kube_iam.core.mapping_entries import RoleMapping, UserMapping
from kube_iam.errors import Problem
from kube_iam.kube.mapping_list import NAMES, Place

_PLACE = re.compile(r"(?:^|\.)(mapRoles|mapUsers|mapGroups)\[([0-9]+)\](.*)", re.IGNORECASE | re.ASCII | re.DOTALL)
_PRINCIPAL_KEYS = tuple(map(ascii_lower, NAMES))
_LISTS = {name.casefold(): name for name in MAPPING_KEYS}


@dataclass(frozen=True, slots=True)
class MappingView:
    """The entries of a mapping as the server reads them, and its reports by place. `fatal` are problems of the whole mapping."""

    mappings: Mappings
    problems: Mapping[Place, tuple[str, ...]]
    fatal: tuple[str, ...] = ()  # problems that keep a server from loading the mapping
    reserved_prefixes: tuple[str, ...] = ()  # of user names that the server refuses
    section: Section | None = field(default=None, repr=False, compare=False)  # which it was read from

    def of_principals(self) -> tuple[RoleMapping | UserMapping, ...]:
        """Return the entries for single roles, permission sets and users."""
        return (*self.mappings.roles, *self.mappings.users)

    def server_mapping(self, source: str) -> ServerMapping:
        """Return the entries with their lines, and those that the server cannot use. `source` names the text."""
        read = self.mappings
        used = {entry.where for entry in (*self.of_principals(), *read.groups)}
        lines: dict[str, int] = {}
        problems: dict[str, tuple[str, ...]] = {}
        unused = []
        for where, place, item, line in self._items():
            if line is not None:
                lines[where] = line
            if place in self.problems:
                problems[where] = self.problems[place]
            if where not in used:
                unused.append(UnusedEntry(where, *_principal_as_written(item)))
        return ServerMapping(
            source,
            read.roles,
            read.users,
            read.groups,
            read.accounts,
            tuple(unused),
            self.reserved_prefixes,
            lines,
            problems,
        )

    def _items(self) -> Iterator[tuple[str, Place, object, int | None]]:
        """Yield the key path, place, value and line of each item of mapRoles, mapUsers and mapGroups, as YAML has it."""
        section = self.section
        if section is None:
            return
        for name in NAMES.values():
            value, path = section.value(name), section.at(name)
            for index, item in enumerate(value if isinstance(value, list) else ()):
                yield key_path(*path, index), (name, index), item, section.document.line(*path, index)

    def matching(self, role_arns: Iterable[str]) -> Iterator[tuple[str, Place, RoleMapping | UserMapping]]:
        """Yield each entry that the server could apply to sessions of one of the roles: role, place and entry.

        The entries of a role come in the order in which the server tries them. It applies the first.
        """
        roles = [(arn, Identity(arn, canonical_arn(arn), arn.split(":")[4], "", "", "", "")) for arn in role_arns]
        for entry in self.of_principals():
            alone = MappingTable.build(
                [entry] if isinstance(entry, RoleMapping) else [], [entry] if isinstance(entry, UserMapping) else [], ()
            )[0]
            yield from ((arn, place_of(entry.where), entry) for arn, role in roles if alone.find(role) is not None)


def view_config(text: str, source: str) -> MappingView:
    """Return how the backend MountedFile reads a config.yaml. Raises ConfigError where it is no YAML."""
    section = sections(parse_yaml(text, source))[1]
    section.found.warnings.clear()  # of unknown keys, which are not about entries
    view = _view(section, CONFIG_YAML)
    reserved = reserved_prefixes(section).get(MOUNTED_FILE, ())
    fatal = tuple(dict.fromkeys(str(problem) for problem in section.found.fatal))
    return replace(view, fatal=fatal, reserved_prefixes=reserved)


def has_mappings(text: str, source: str) -> bool:
    """Return whether a config.yaml has a list of mappings, if only an empty one. A server keeps the last ones where it has none."""
    section = sections(parse_yaml(text, source))[1]
    return any(section.has(key) for key in MAPPING_KEYS)


def view_aws_auth(texts: Mapping[str, str], source: str) -> MappingView:
    """Return how the backend EKSConfigMap reads the keys of aws-auth, and what EKS's own authenticator cannot load.

    Raises ConfigError where a key is no YAML, or no list.
    """
    document = joined({key: list_document(text, key, source) for key, text in texts.items()})
    section = Section(document, document.data, (), MAPPING_KEYS, Findings(errors=list(document.problems)))
    view = _view(section, AWS_AUTH)
    return replace(view, fatal=tuple(f"{problem}: EKS drops the whole key" for problem in document.foreign))


def principal_of(entry: RoleMapping | UserMapping) -> str:
    """Return the principal of an entry as messages name it."""
    if isinstance(entry, UserMapping):
        return entry.arn
    return entry.who.describe() if isinstance(entry.who, Sso) else entry.who


def _view(section: Section, dialect: Dialect) -> MappingView:
    mappings = parse_mappings(section, dialect)
    warn_of_user_ids(section)
    build_table(mappings, section)
    found: dict[Place, list[str]] = {}
    for problem in (*section.found.errors, *section.found.warnings):
        place = _PLACE.search(problem.key)
        # Items of `temporary` change without `apply`, which keeps them as they are.
        if place is not None and not place[3].casefold().startswith(".temporary"):
            found.setdefault(place_of(problem.key), []).append(_said(problem, place[3]))
    return MappingView(mappings, {at: tuple(dict.fromkeys(said)) for at, said in found.items()}, section=section)


def _principal_as_written(item: object) -> tuple[str, str]:
    """Return the principal of an item and the key that names it, empty texts where it has none."""
    given = item.items() if isinstance(item, dict) else ()
    found = ((str(value), lowered) for key, value in given if (lowered := ascii_lower(str(key))) in _PRINCIPAL_KEYS)
    return next(found, ("", ""))


def place_of(key: str) -> Place:
    """Return the list and index that a key path of the server's reader names (`server.mapRoles[3].groups`)."""
    found = _PLACE.search(key)
    return (_LISTS[found[1].casefold()], int(found[2])) if found else ("", -1)


def _said(problem: Problem, inside: str) -> str:
    return f"{inside.lstrip('.')} {problem.message}".strip()
