"""The structure of the server's configuration file: its known keys, and its two sections.

Keys are read in any letter case. An unknown key is a warning, because a file that the reference accepts must be accepted here too.
"""

from __future__ import annotations

from pathlib import Path

from kube_iam.config.section import Elsewhere, Findings, Section
from kube_iam.config.server_keys import CLUSTER_ID_KEY, SERVER_KEYS, TOKEN_KEYS
from kube_iam.config.yaml_file import YamlFile, parse_yaml, read_yaml
from kube_iam.errors import Problem

_TOP_KEYS = (CLUSTER_ID_KEY.name, "server", *TOKEN_KEYS)
_SERVER_KEYS = tuple(key.name for key in SERVER_KEYS)

_BELOW_SERVER = Elsewhere("below `server:`, indented", _SERVER_KEYS, "server.")
_AT_THE_TOP = Elsewhere("at the top of the file, beside `server:`", tuple(key for key in _TOP_KEYS if key != "server"))


def read_document(path: Path | None) -> YamlFile:
    """Return the parsed file, an empty document for None. Raises ConfigError when the file cannot be read or is no YAML."""
    return read_yaml(path) if path is not None else parse_yaml("", "")


def sections(document: YamlFile) -> tuple[Section, Section]:
    """Return the top level and the section `server`, which share their findings."""
    found = Findings(errors=list(document.problems), warnings=list(document.foreign))
    top = Section(document, document.data, (), _TOP_KEYS, found, _BELOW_SERVER)
    return top, Section(document, top.value("server"), top.at("server"), _SERVER_KEYS, found, _AT_THE_TOP)


def in_order(problems: list[Problem]) -> list[Problem]:
    """Return the problems in the order of their lines."""
    return sorted(problems, key=lambda problem: problem.line or 0)
