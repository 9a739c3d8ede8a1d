"""The ConfigMap aws-auth as mappings: keys mapRoles, mapUsers and mapAccounts, each YAML in a string of its own.

Several programs and administrators write it. So an entry that cannot be used is left out, and the others stay in use. A key whose YAML
cannot be read keeps its last good value: one typing error must not end all sign-ins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kube_iam.config.mapping_entries import AWS_AUTH
from kube_iam.config.mappings import MAPPING_KEYS, build_table, parse_mappings, warn_of_user_ids
from kube_iam.config.section import Findings, Section, is_empty, kind_of
from kube_iam.config.yaml_file import YamlFile, joined, parse_yaml
from kube_iam.core.mapping import MappingTable
from kube_iam.errors import ConfigError, Problem

# Spellings of an empty value that people write and the reference accepts.
NOTHING = ("", "``", '""', "''")


@dataclass(frozen=True, slots=True)
class ConfigMapMappings:
    """The mappings of one version. `good` has the text of each usable key. `problems` are unusable keys and entries, and warnings."""

    table: MappingTable
    entries: int
    problems: list[Problem]
    good: dict[str, str]


def read_config_map(data: Mapping[str, str], last_good: Mapping[str, str]) -> ConfigMapMappings:
    """Return the mappings in the ConfigMap's data. `last_good` is `good` of the version before. Raises nothing."""
    problems: list[Problem] = []
    documents: dict[str, YamlFile] = {}
    good: dict[str, str] = {}
    for key in MAPPING_KEYS:
        for text in (data.get(key), last_good.get(key)):
            if text is None:
                break
            try:
                documents[key] = list_document(text, key)
            except ConfigError as error:
                kept = "its last good value stays in force" if key in last_good else "none of its entries serve"
                problems += [
                    Problem(key, f"{problem.message}; {kept}", line=problem.line) for problem in error.problems
                ]
            else:
                good[key] = text
                break
    document = joined(documents)
    section = Section(document, document.data, (), MAPPING_KEYS, Findings())
    mappings = parse_mappings(section, AWS_AUTH)
    warn_of_user_ids(section)
    table = build_table(mappings, section)
    left_out = [
        Problem(problem.key, f"{problem.message}; left out", problem.hint, problem.line)
        for problem in (*document.problems, *section.found.errors)
    ]
    warnings = (*section.found.warnings, *document.foreign)
    return ConfigMapMappings(table, mappings.count, [*problems, *left_out, *warnings], good)


def list_document(text: str, key: str, source: str = "") -> YamlFile:
    """Return the parsed value of a key. Raises ConfigError, named after `source` or the key, where it is no YAML, or no list."""
    document = parse_yaml("" if text.strip() in NOTHING else text, f"{source} {key}".lstrip())
    if not is_empty(document.data) and not isinstance(document.data, list):
        problem = Problem(key, f"must be a list of entries, not {kind_of(document.data)}")
        raise ConfigError(source or key, [problem])
    return document
