"""Merge a level's kubeconfig into the files that kubectl reads, without changing entries of other clusters.

kubectl's rules decide which file is written. An entry stays in its file. A new entry, and the current context, are written into the
first file of KUBECONFIG that exists, else the last one.
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube_iam.errors import ConfigError, Conflict, NotOwned, Problem
from kube_iam.kube.context import kubeconfig_files, writable_file
from kube_iam.kube.files import ATTEMPTS, edit_text, read_text
from kube_iam.kube.kubeconfig_check import REMEDY, Wanted, problems
from kube_iam.kube.kubeconfig_fields import edits
from kube_iam.kube.kubeconfig_lock import kubectl_locks
from kube_iam.kube.kubeconfig_owner import Entry, scalar
from kube_iam.kube.yaml.edit import ListEdit
from kube_iam.kube.yaml.fields import Change, RepeatedKey, line_at, lookup, set_value, set_values
from kube_iam.kube.yaml.layout import newline_of
from kube_iam.kube.yaml.text import Value
from kube_iam.kube.yaml.tree import Node, line_start, parse_document

NEW_FILE_MODE = 0o600
SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}
_FIRST_TEXT = "apiVersion: v1\nkind: Config\n"
_DOCUMENT_END = re.compile(r"^\.\.\.", re.MULTILINE)

Texts = dict[Path, str]


class _ChangedError(Exception):
    """A file has changed since the merge was computed."""


def merge_into(
    files: Sequence[Path],
    config: Mapping[str, Value],
    sleep: Callable[[float], None] = time.sleep,
    chosen: frozenset[str] = frozenset(),
) -> list[Path]:
    """Write the entries of `config` into the kubeconfig files and make its context the current one. Return the written files.

    This cluster's own entries (`kubeconfig_owner`) get the fields that we own and keep all others. `chosen` names fields of `exec`
    (`command`, `apiVersion`) that the user asked for and that are always set. Everything else stays byte for byte, and a second merge
    changes nothing. New files get mode 0600. Raises NotOwned, before anything is written, where an entry of that name belongs to
    another cluster; ConfigError for a file that is no kubeconfig; Conflict where the files keep changing or stay locked by kubectl.
    """
    with kubectl_locks(files, sleep):
        return _merge_into(files, config, chosen)


def _merge_into(files: Sequence[Path], config: Mapping[str, Value], chosen: frozenset[str]) -> list[Path]:
    for _ in range(ATTEMPTS):
        found = {path: read_text(path) for path in files}
        before = {path: text for path, text in found.items() if text is not None}
        after = merged(before, writable_file(files), config, chosen)
        try:
            for path, text in after.items():
                _write(path, found[path], text)
        except _ChangedError:
            continue
        return list(after)
    raise Conflict(
        f"{files[0]} keeps changing while it is edited", "find out what else writes it, and repeat the command"
    )


def _write(path: Path, before: str | None, after: str) -> None:
    def edit(text: str | None) -> str:
        if text != before:
            raise _ChangedError
        return after

    edit_text(path, edit, NEW_FILE_MODE)


def merged(texts: Mapping[Path, str], default: Path, config: Mapping[str, Value], chosen: frozenset[str]) -> Texts:
    """Return the new texts of the files that change. `default` is the file of new entries. Raises NotOwned and ConfigError."""
    read = {path: _begun(text, path) for path, text in {default: "", **texts}.items()}
    order = [*texts, *([] if default in texts else [default])]
    entries = _entries({path: read[path] for path in order})
    wanted = Wanted.of(config, chosen)
    found = list(problems(entries, wanted))
    if found:
        raise NotOwned("\n".join(found), REMEDY, tuple(found))
    changes: dict[Path, list[Change]] = {path: [] for path in read}
    for section, inner in SECTIONS.items():
        made: Any = config[section]
        old = entries.get((section, made[0]["name"]))
        if old is None:
            changes[default].append(Change((section, len(_list(read[default], section, default))), made[0]))
        else:
            steps = edits(old, made[0][inner], wanted)
            changes[old.file] += [Change((section, old.index, inner, *step), value) for step, value in steps]
    context = str(config["current-context"])
    if _current([(path, read[path].root) for path in order]) != context:
        changes[default].append(Change(("current-context",), context))
    after = {path: _changed(read[path], made, path) for path, made in changes.items()}
    return {path: text for path, text in after.items() if text != read[path].text}


def _changed(read: Parsed, changes: Sequence[Change], path: Path) -> str:
    """Return the text with all changes: at once, which needs one parse, else one after the other. Raises ConfigError."""
    if not changes:
        return read.text
    at_once = set_values(read.text, read.root, changes)
    if at_once is not None:
        return at_once
    text = read.text
    for change in changes:
        try:
            section = str(change.path[0])
            if len(change.path) == 2:  # a new item
                text = ListEdit(text, (section,), str(path), exact=True).append(change.value)
            else:
                text = set_value(text, change.path, change.value, str(path))
        except ConfigError as error:
            # The line in the text as it was read: earlier changes may have moved lines.
            line = line_at(read.root, change.path)
            raise ConfigError(
                error.path, [Problem(each.key, each.message, each.hint, line) for each in error.problems]
            ) from error
    return text


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text with its document: the root, and the offset of the document's end."""

    text: str
    root: Node | None
    end: int

    @staticmethod
    def of(text: str, path: Path) -> Parsed:
        """Parse the text. Raises ConfigError."""
        return Parsed(text, *parse_document(text, str(path)))


def _begun(text: str, path: Path) -> Parsed:
    """Return the document, with the first lines of a kubeconfig where it has no content: null or an empty mapping.

    Comments and document marks stay. Raises ConfigError.
    """
    parsed = Parsed.of(text, path)
    root = parsed.root
    first = _FIRST_TEXT.replace("\n", newline_of(text))
    if root is None:
        end = _DOCUMENT_END.search(text)
        before, after = (text[: end.start()], text[end.start() :]) if end else (text, "")
        return Parsed.of(
            before + (newline_of(text) if before and not before.endswith("\n") else "") + first + after, path
        )
    inside = text[root.start + 1 : root.end - 1]
    if not root.is_null and (root.kind != "mapping" or root.pairs or inside.strip()):
        return parsed
    before, after = text[: root.start], text[root.end :]
    if before[line_start(text, root.start) :].strip("\ufeff "):  # behind `---` on its line
        before = before.rstrip() + newline_of(text)
    begun = before + (first.removesuffix(newline_of(text)) + after if after.strip("\r\n") else first + after.lstrip())
    return Parsed.of(begun, path)


def entries_in_use(environ: Mapping[str, str], kubeconfig: str = "") -> dict[tuple[str, str], Entry]:
    """Return all entries of the files that kubectl reads, the first of each name. `kubeconfig` is as kubectl's flag.

    Raises ConfigError as `read_entries` does, and where a file cannot be read.
    """
    files = [Path(kubeconfig).expanduser()] if kubeconfig else kubeconfig_files(environ)
    return read_entries({path: read_text(path) or "" for path in files if path.is_file()})


def read_entries(texts: Mapping[Path, str]) -> dict[tuple[str, str], Entry]:
    """Return all entries, the first of each name. Raises ConfigError for entries without a name, or a repeated name in one file."""
    return _entries({path: Parsed.of(text, path) for path, text in texts.items()})


def _entries(documents: Mapping[Path, Parsed]) -> dict[tuple[str, str], Entry]:
    entries: dict[tuple[str, str], Entry] = {}
    for path, parsed in documents.items():
        for section, inner in SECTIONS.items():
            seen: set[str] = set()
            for index, item in enumerate(_list(parsed, section, path)):
                try:
                    name, fields = scalar(lookup(item.resolved(), "name")), lookup(item.resolved(), inner)
                except RepeatedKey as error:
                    raise ConfigError(
                        str(path), [Problem(f"{section}[{index}]", str(error), line=error.line)]
                    ) from error
                if not name:
                    raise ConfigError(str(path), [Problem(f"{section}[{index}]", "has no name", line=item.line)])
                if name in seen:
                    raise ConfigError(str(path), [Problem(section, f"holds {name!r} twice", "remove one of the two")])
                seen.add(name)
                entries.setdefault((section, name), Entry(section, name, path, index, fields))
    return entries


def _list(parsed: Parsed, section: str, path: Path) -> list[Node]:
    """Return the items of a section. Raises ConfigError where it is no list."""
    document = (parsed.root, parsed.end)
    return ListEdit(parsed.text, (section,), str(path), exact=True, document=document).items()


def _current(roots: Iterable[tuple[Path, Node | None]]) -> str:
    """Return the first current context that a file names, else empty. Raises ConfigError for a repeated key."""
    for path, root in roots:
        try:
            name = scalar(lookup(root, "current-context"))
        except RepeatedKey as error:
            problem = Problem("current-context", str(error), "remove one of the two", error.line)
            raise ConfigError(str(path), [problem]) from error
        if name:
            return name
    return ""
