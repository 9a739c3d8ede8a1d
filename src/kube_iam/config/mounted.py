"""The parts of the server's configuration file that the backend MountedFile follows: mappings and reserved prefixes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kube_iam.config.backends import MOUNTED_FILE, reserved_prefixes
from kube_iam.config.mappings import MAPPING_KEYS, build_table, parse_mappings, warn_of_user_ids
from kube_iam.config.section import Findings
from kube_iam.config.server_file import in_order, read_document, sections
from kube_iam.config.yaml_file import YamlFile
from kube_iam.core.mapping import MappingTable
from kube_iam.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class MountedMappings:
    """Mappings and reserved prefixes of one version of the file."""

    table: MappingTable
    reserved_prefixes: tuple[str, ...] = ()
    entries: int = 0
    named: bool = False
    """Whether the file has a key of mappings with a value, even an empty list."""


def load_mounted_mappings(path: Path) -> tuple[MountedMappings, list[Problem]]:
    """Return the mappings of the file and the warnings. Raises ConfigError with all errors where the file cannot be used.

    An entry that admits nobody does not make the whole file invalid, as it does not for the reference.
    """
    mappings, found = read_mounted(read_document(path))
    if found.fatal:
        raise ConfigError(str(path), in_order(found.errors))
    return mappings, in_order(found.nonfatal)


def read_mounted(document: YamlFile) -> tuple[MountedMappings, Findings]:
    """Return the mappings of a document and all findings."""
    server = sections(document)[1]
    server.found.warnings.clear()  # of unknown keys, which the settings report
    mappings = parse_mappings(server)
    warn_of_user_ids(server)
    table = build_table(mappings, server)
    reserved = reserved_prefixes(server).get(MOUNTED_FILE, ())
    named = any(server.has(key) for key in MAPPING_KEYS)
    return MountedMappings(table, reserved, mappings.count, named), server.found
