"""The two JSON files that other programs write while the server runs: mappings of the backend DynamicFile, and the list of backends.

Both have the keys LastUpdatedDateTime (Unix seconds, as text or a number) and Version.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kube_iam.config.backends import backend_names
from kube_iam.config.mapping_entries import Dialect
from kube_iam.config.mappings import MAPPING_KEYS, build_table, parse_groups, parse_mappings, parse_user_ids
from kube_iam.config.regular_file import read_regular_file
from kube_iam.config.section import Findings, Section, kind_of
from kube_iam.config.yaml_file import MAX_BYTES, YamlFile
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping import MappingTable
from kube_iam.core.strict_json import InvalidJson, read_json
from kube_iam.core.user_ids import UserIdTable
from kube_iam.errors import ConfigError, Problem

_STAMP_KEYS = ("LastUpdatedDateTime", "Version", "ClusterId")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Version of a file, and the time when it was written in Unix seconds, None if the file has none."""

    version: str = ""
    updated: int | None = None


@dataclass(frozen=True, slots=True)
class DynamicMappings:
    """The mappings of one version of the file. `problems` are entries that were left out, and warnings."""

    table: MappingTable
    entries: int
    problems: list[Problem]
    stamp: Stamp


def load_dynamic_mappings(path: Path, *, user_ids: bool) -> DynamicMappings | None:
    """Return the mappings in the file, or None without a file. With `user_ids` entries are matched by their unique id.

    Raises ConfigError where the file cannot be read, is no JSON, or has an entry without its key. Such a file is incomplete or in an
    unknown format. Other entries that cannot be used are left out.
    """
    section = _read(path, MAPPING_KEYS)
    if section is None:
        return None
    _refuse_entries_without_key(section, path, user_ids=user_ids)
    found = section.found
    if user_ids:
        by_id, accounts = parse_user_ids(section)
        by_ids, odd = UserIdTable.of(by_id, accounts)
        found.warnings += odd
        by_ids.set_groups(groups := parse_groups(section))
        table: MappingTable = by_ids
        entries = len(by_id) + len(accounts) + len(groups)
    else:
        mappings = parse_mappings(section, Dialect(text_groups=False))
        table, entries = build_table(mappings, section), mappings.count
    left_out = [Problem(problem.key, f"{problem.message}; left out", problem.hint) for problem in found.errors]
    return DynamicMappings(table, entries, [*left_out, *found.warnings], _stamp(section))


def load_backend_mode(path: Path) -> tuple[tuple[str, ...], Stamp] | None:
    """Return the backends that the file names, and its stamp, or None without a file. Raises ConfigError where it is invalid."""
    section = _read(path, ("backendMode",))
    if section is None:
        return None
    names, problems = backend_names(section.text("backendMode").replace(",", " ").split())
    errors = [*section.found.errors, *(Problem("backendMode", message, hint) for message, hint in problems)]
    if errors:
        raise ConfigError(str(path), errors)
    return names, _stamp(section)


def _read(path: Path, keys: tuple[str, ...]) -> Section | None:
    try:
        raw = read_regular_file(path, MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"cannot be read: {error.strerror or error}")]) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(str(path), [Problem("", f"is larger than {MAX_BYTES // 1024 // 1024} MiB")])
    try:
        data = read_json(raw)
    except InvalidJson as error:
        raise ConfigError(str(path), [Problem("", f"is not JSON: {error}")]) from error
    if not isinstance(data, dict):
        raise ConfigError(str(path), [Problem("", f"must be a mapping of keys, not {kind_of(data)}")])
    return Section(YamlFile(data, [], None, []), data, (), (*_STAMP_KEYS, *keys), Findings())


def _refuse_entries_without_key(section: Section, path: Path, *, user_ids: bool) -> None:
    problems = list(section.found.errors)
    for name, arn in (("mapRoles", "rolearn"), ("mapUsers", "userarn")):
        wanted = "userid" if user_ids else arn
        value = section.value(name)
        if value is not None and not isinstance(value, list):
            problems.append(Problem(name, f"must be a list of entries, not {kind_of(value)}"))
            continue
        for index, item in enumerate(value or ()):
            keys = {ascii_lower(key) for key, content in item.items() if content} if isinstance(item, dict) else set()
            if wanted not in keys:
                problems.append(Problem(f"{name}[{index}]", f"has no {wanted}"))
    if problems:
        raise ConfigError(str(path), problems)


def _stamp(section: Section) -> Stamp:
    version, updated = section.value("Version"), section.value("LastUpdatedDateTime")
    text = str(updated) if isinstance(updated, str | int) and not isinstance(updated, bool) else ""
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
    return Stamp(str(version) if isinstance(version, str | int) else "", seconds)
