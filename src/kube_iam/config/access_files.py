"""The files of a directory as one access file: settings that they share, and the levels of all.

A setting stands in one file, or with the same value in several. Files are taken in the order of their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube_iam.config.schema import ACCESS_SCHEMA
from kube_iam.config.structure import check_structure
from kube_iam.config.yaml_file import KeyPath, Step, YamlFile, read_yaml
from kube_iam.errors import ConfigError, Problem, UsageError

SUFFIXES = (".yaml", ".yml")
_NESTED = ("cluster", "iam")
"""Settings whose keys may stand in several files."""
_PROPERTIES: dict[str, Any] = ACCESS_SCHEMA["properties"]
_PART: dict[str, Any] = {
    **ACCESS_SCHEMA,
    "required": ["apiVersion", "kind"],
    "properties": {
        **_PROPERTIES,
        "cluster": {**_PROPERTIES["cluster"], "required": []},
        "levels": {**_PROPERTIES["levels"], "minItems": 0},
    },
}
"""The schema of one file of several."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The value at a path of one file."""

    file: YamlFile
    source: str
    path: KeyPath

    def __str__(self) -> str:
        line = self.file.line(*self.path)
        return f"{self.source} line {line}" if line is not None else self.source

    def problem(self, message: str, hint: str, rest: KeyPath = ()) -> Problem:
        found = self.file.problem((*self.path, *rest), message, hint)
        found.file = self.source
        return found


class MergedFile(YamlFile):
    """Several files as one document. Its problems name the file, and the line and key in that file."""

    def __init__(self, parts: list[tuple[str, YamlFile]]) -> None:
        """`parts` are the paths and contents of files whose data are mappings."""
        self._places: dict[KeyPath, _Place] = {}
        merged: dict[str, Any] = {}
        conflicts: list[Problem] = []
        for source, file in parts:
            data = file.data if isinstance(file.data, dict) else {}
            for key, value in data.items():
                if key == "levels" and isinstance(value, list):
                    levels = merged.setdefault(key, [])
                    self._places.setdefault((key,), _Place(file, source, (key,)))
                    for index, level in enumerate(value):
                        self._places[key, len(levels)] = _Place(file, source, (key, index))
                        levels.append(level)
                elif key in _NESTED and isinstance(value, dict):
                    inner = merged.setdefault(key, {})
                    self._places.setdefault((key,), _Place(file, source, (key,)))
                    for name, each in value.items() if isinstance(inner, dict) else ():
                        conflicts += self._set(inner, name, each, _Place(file, source, (key, name)))
                elif key not in ("levels", *_NESTED):  # of which any other kind of value is a problem of its file
                    conflicts += self._set(merged, key, value, _Place(file, source, (key,)))
        super().__init__(merged, conflicts, None, [])

    def _set(self, holder: dict[str, Any], key: str, value: object, place: _Place) -> list[Problem]:
        """Add a setting. Return the problem of one that another file states in another way."""
        first = self._places.setdefault(place.path, place)
        if first is place:
            holder[key] = value
            return []
        return (
            []
            if holder.get(key) == value
            else [place.problem(f"differs from {first}", "state it in one of the two, or equally in both")]
        )

    def line(self, *path: Step) -> int | None:
        """Return the line of the value in its own file."""
        found, rest = self._at(path)
        return found.file.line(*found.path, *rest) if found else None

    def text(self, *path: Step) -> str:
        """Return the scalar at this path as `YamlFile.text` does."""
        found, rest = self._at(path)
        return found.file.text(*found.path, *rest) if found else ""

    def file_of(self, *path: Step) -> str:
        """Return the path of the file with the value, empty without such a value."""
        found, _ = self._at(path)
        return found.source if found else ""

    def problem(self, path: KeyPath, message: str, hint: str = "") -> Problem:
        """Return a problem with the value in its own file, or with all files where none has it."""
        found, rest = self._at(path)
        return found.problem(message, hint, rest) if found else Problem("", message, hint)

    def places(self) -> dict[str, str]:
        """Return the file and line of each setting, by its key: `cluster.id`."""
        return {".".join(map(str, path)): str(found) for path, found in self._places.items() if path[0] != "levels"}

    def _at(self, path: KeyPath) -> tuple[_Place | None, KeyPath]:
        """Return the place of the value, or of its nearest parent in a file, and the rest of the path."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._places:
                return self._places[path[:end]], path[end:]
        return None, path


def read_directory(directory: Path) -> MergedFile:
    """Return the files of a directory as one. Problems of single files are among its problems.

    Raises UsageError without any file, ConfigError where none can be read.
    """
    paths = _files(directory)
    if not paths:
        raise UsageError(
            f"there is no *.yaml and no *.yml in {directory}", "name an access file, or a directory of some"
        )
    problems: list[Problem] = []
    parts: list[tuple[str, YamlFile]] = []
    for path in paths:
        found: list[Problem]
        try:
            file = read_yaml(path)
        except ConfigError as error:
            found = error.problems
        else:
            empty = Problem("", "is empty", "add levels, or remove the file")
            found = [empty] if file.data is None else [*file.problems, *check_structure(file, _PART)]
            if isinstance(file.data, dict):
                parts.append((str(path), file))
        for problem in found:
            problem.file = str(path)
        problems += found
    merged = MergedFile(parts)
    merged.problems = [*problems, *merged.problems]
    if not problems:
        merged.problems += check_structure(merged, ACCESS_SCHEMA)
    return merged


def _files(directory: Path) -> list[Path]:
    """Return the access files of a directory in the order of their names. Hidden files are left out, as the shell does."""
    try:
        found = sorted(directory.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise UsageError(f"{directory} cannot be read: {error.strerror or error}") from error
    return [path for path in found if path.suffix in SUFFIXES and path.name[0] != "." and not path.is_dir()]
