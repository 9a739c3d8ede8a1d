"""The settings of the server's backends of mappings: their order, the dynamic file, and reserved prefixes of user names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kube_iam.config.section import Section, kind_of
from kube_iam.config.settings import Settings
from kube_iam.config.suggestions import suggestion

MOUNTED_FILE = "MountedFile"
EKS_CONFIG_MAP = "EKSConfigMap"
CRD = "CRD"
DYNAMIC_FILE = "DynamicFile"
BACKENDS = (MOUNTED_FILE, EKS_CONFIG_MAP, CRD, DYNAMIC_FILE)
_OLD_NAMES = {"File": MOUNTED_FILE, "ConfigMap": EKS_CONFIG_MAP}

ReservedPrefixes = dict[str, tuple[str, ...]]


def backend_names(words: Sequence[object]) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Return the backends that the words name, old names replaced by new ones, and the problems as pairs of message and hint."""
    named = [word for word in words if isinstance(word, str)]
    if not named or len(named) != len(words):
        return (), [(f"must be a list of backends: {', '.join(BACKENDS)}", "")]
    names = tuple(_OLD_NAMES.get(name, name) for name in named)
    problems = []
    for name in dict.fromkeys(names):
        if name not in BACKENDS:
            hint = suggestion(name, BACKENDS) or f"known are {', '.join(BACKENDS)}"
            problems.append((f"{name!r} is not a backend", hint))
        if names.count(name) > 1:
            problems.append((f"{name} stands twice", ""))
    return names, problems


def read_backends(reader: Settings, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return the setting `backendMode`: a list, or a text with commas or spaces."""
    value = reader.value("backendMode")
    if value is None:
        return default
    words = value.replace(",", " ").split() if isinstance(value, str) else value
    names, problems = backend_names(words if isinstance(words, list | tuple) else ())
    for message, hint in problems:
        reader.error("backendMode", message, hint)
    return names or default


def read_dynamic_file(reader: Settings, backends: tuple[str, ...]) -> Path | None:
    """Return the setting `dynamicfilepath`. It and the backend DynamicFile need each other, and one without the other is an error.

    With `dynamicBackendModePath` the path may be set alone, because that file can name the backend later.
    """
    path = reader.path("dynamicfilepath")
    if path is None and DYNAMIC_FILE in backends:
        reader.error("backendMode", f"{DYNAMIC_FILE} needs dynamicfilepath", "say where the file is")
    if path is not None and DYNAMIC_FILE not in backends and reader.path("dynamicBackendModePath") is None:
        reader.error("dynamicfilepath", f"has no effect: {DYNAMIC_FILE} is not in backendMode", "take it out of here")
    return path


def reserved_prefixes(server: Section) -> ReservedPrefixes:
    """Return the prefixes that user names of each backend must not have, from `reservedPrefixConfig`."""
    entries = server.value("reservedPrefixConfig")
    if entries is None:
        return {}
    if not isinstance(entries, list):
        server.error(server.at("reservedPrefixConfig"), f"must be a list, not {kind_of(entries)}")
        return {}
    reserved: ReservedPrefixes = {}
    for index, item in enumerate(entries):
        path = (*server.at("reservedPrefixConfig"), index)
        entry = Section(server.document, item, path, ("backendMode", "usernamePrefixReserveList"), server.found)
        backend = _OLD_NAMES.get(entry.text("backendMode"), entry.text("backendMode"))
        prefixes = [word for _, word in entry.words("usernamePrefixReserveList") if word]
        if backend not in BACKENDS:
            entry.error(entry.at("backendMode"), f"{backend!r} is not a backend", suggestion(backend, BACKENDS))
        else:
            reserved[backend] = (*reserved.get(backend, ()), *prefixes)
    return reserved
