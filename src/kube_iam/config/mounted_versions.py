"""Check of new versions of the configuration file, before their mappings replace those in force.

A file that is written in place can be read while it is incomplete, and a full disk can leave it cut off at any byte. A cut-off file is
often valid YAML with another meaning: no entries, an entry without `iamGroup`, `system:masters` in place of `system:masters-view`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

from kube_iam.config.mounted import MountedMappings, read_mounted
from kube_iam.config.server import read_settings
from kube_iam.config.server_file import in_order
from kube_iam.config.yaml_file import YamlFile, parse_yaml, read_text
from kube_iam.config.yaml_nodes import MappingNode, SequenceNode
from kube_iam.errors import ConfigError, Problem

_TEMPORARY = "temporary"
_EMPTY_HINT = "to remove all mappings, write `mapRoles: []` under `server:`, or restart the server"
_CUT_HINT = "write the whole file; if this is meant, add a line at its end, such as a comment"


class MountedVersions:
    """The configuration file of one server, with its last good version."""

    def __init__(self, path: Path, flags: Mapping[str, object], cluster_id: str = "") -> None:
        """Use the `flags` and `cluster_id` that the server runs with. Without `cluster_id` a file of any cluster is accepted."""
        self._path = path
        self._flags = flags
        self._cluster_id = cluster_id
        # Compressed: ten thousand entries are a megabyte and a half of text, and the server has 20 MiB in all.
        self._last_good: bytes | None = None
        self._entries = 0
        self._reserved: tuple[str, ...] = ()

    def read(self) -> tuple[MountedMappings, list[Problem]]:
        """Return the mappings of the file as it is now, and the warnings.

        Raises ConfigError with all errors where the file must not replace the mappings in force: a server would not start with it, its
        mappings cannot be used, it belongs to another cluster, or it is cut off. Then the last good version is kept.
        """
        text = read_text(self._path)
        document = parse_yaml(text, str(self._path))
        mappings, found = read_mounted(document)
        checked = read_settings(document, self._path, self._flags)
        if checked.config is None or found.fatal:
            errors = {str(problem): problem for problem in (*checked.found.errors, *found.errors)}
            raise self._refused(*errors.values())
        if self._cluster_id and checked.config.cluster_id != self._cluster_id:
            message = f"is {checked.config.cluster_id!r}: a file of another cluster than {self._cluster_id!r}"
            raise self._refused(
                Problem("clusterID", message, "correct it, or restart the server to change its cluster id")
            )
        if self._last_good is not None:
            self._refuse_cut_off(text, document, mappings)
        self._last_good = zlib.compress(text.encode())
        self._entries, self._reserved = mappings.entries, mappings.reserved_prefixes
        return mappings, in_order(found.nonfatal)

    def _refuse_cut_off(self, text: str, document: YamlFile, mappings: MountedMappings) -> None:
        assert self._last_good is not None
        if self._entries and not mappings.named:
            raise self._refused(Problem("server", "has no mappings at all, and those in force are kept", _EMPTY_HINT))
        before = zlib.decompress(self._last_good).decode()
        is_start = len(text) < len(before) and before.startswith(text)
        message = ""
        if is_start and not is_shortened(parse_yaml(before, str(self._path)).data, document.data):
            message = "is the last good version, cut off inside an entry or a value"
        elif ends_in_part_of_entry(text, document, before):
            message = "ends in a part of an entry of the last good version"
        # Entries that are gone admit nobody. Prefixes that are no longer reserved admit more names.
        elif set(self._reserved) - set(mappings.reserved_prefixes) and (is_start or _ends_inside(text, before)):
            message = "is cut off before the end of reservedPrefixConfig"
        if message:
            last = text.count("\n") + (not text.endswith("\n"))
            raise self._refused(Problem("", message, _CUT_HINT, last))

    def _refused(self, *problems: Problem) -> ConfigError:
        return ConfigError(str(self._path), in_order(list(problems)))


def ends_in_part_of_entry(text: str, document: YamlFile, before: str) -> bool:
    """Return whether the text ends in the beginning of an entry of `before`, whatever stands above it.

    A version with another first line, cut off while it is written, is not the beginning of the version before. An entry that was
    itself changed and then cut off cannot be told from one that is meant.
    """
    keys, node = [], document.root
    while isinstance(node, MappingNode) and node.value:
        key, node = node.value[-1]
        keys.append(str(key.value))
    if not (isinstance(node, SequenceNode) and node.value):
        return False
    end = "".join(text.splitlines(keepends=True)[(node.value[-1].line or 1) - 1 :])
    if f"\n{end}" not in before or before.endswith(end):
        return False
    was, now = _list_at(parse_yaml(before, "").data, keys), _list_at(document.data, keys)
    return bool(was and now) and not any(_is_same_item(item, now[-1]) for item in was)


def _ends_inside(text: str, before: str) -> bool:
    """Return whether the last line of the text stands in `before`, with more behind it."""
    line = text.rstrip().rpartition("\n")[2]
    return f"\n{line}" in before and not before.rstrip().endswith(line)


def _list_at(data: object, keys: list[str]) -> list[object]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, list) else []


def is_shortened(whole: object, start: object) -> bool:
    """Return whether `start`, read from the beginning of the text of `whole`, only lacks whole keys or list items at its end.

    An item of a list counts as a whole: one that says less than before was cut. Its `temporary` is a list of its own, since
    commands take items from that.
    """
    if isinstance(whole, dict) and isinstance(start, dict):
        keys = list(start)
        same = all(key in whole and whole[key] == start[key] for key in keys[:-1])
        return same and (not keys or (keys[-1] in whole and is_shortened(whole[keys[-1]], start[keys[-1]])))
    if isinstance(whole, list) and isinstance(start, list):
        last = len(start) - 1
        same = last < len(whole) and whole[: max(last, 0)] == start[:-1]
        return same and (last < 0 or _is_same_item(whole[last], start[last]))
    # A key without its value, as when all items of its list were removed.
    return whole == start or start is None


def _is_same_item(whole: object, start: object) -> bool:
    """Return whether two items are equal, apart from what `temporary` of `start` lacks at its end."""
    if not (isinstance(whole, dict) and isinstance(start, dict)):
        return whole == start
    rest, rest_of_start = ({key: each[key] for key in each if key != _TEMPORARY} for each in (whole, start))
    return rest == rest_of_start and is_shortened(whole.get(_TEMPORARY), start.get(_TEMPORARY))
