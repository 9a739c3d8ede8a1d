"""The three places where an authenticator reads its mappings, behind one port: a ConfigMap with the server's config.yaml, the
ConfigMap aws-auth, a config.yaml on disk. How text changes is `mapping_list`'s business; here it is read, and written back without
losing what someone else wrote in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry, MappingStore, TemporaryGrant, pathless
from kube_iam.errors import KubeError, NotFound
from kube_iam.kube.client import KubeApi
from kube_iam.kube.config_map import ConfigMapText
from kube_iam.kube.files import check_edit, edit_text, read_text
from kube_iam.kube.mapping_list import ADDED, NAMES, SERVER, MappingList
from kube_iam.kube.mapping_view import MappingView, place_of, principal_of, view_aws_auth, view_config
from kube_iam.kube.yaml.edit import Document
from kube_iam.kube.yaml.text import quoted

AWS_AUTH = MappingTarget(TargetKind.AWS_AUTH, namespace="kube-system", name="aws-auth", key="mapRoles")
ROLES, USERS, GROUPS = NAMES.values()
ADDED_KEY = f"# {ADDED}\n"
"""The beginning of a key of aws-auth that an edit added."""
NEW_FILE_MODE = 0o644  # it holds no secret, and the server may run as another user


def make_store(access: ClusterAccess, api: KubeApi | None, *, dry_run: bool = False) -> MappingStore:
    """Return the store that `access.mapping` names. `api` may be None for a file. Reads nothing yet.

    With `dry_run` edits of a file are checked and not written; for a ConfigMap `api` decides that.
    """
    target = access.mapping
    first_text = f"clusterID: {quoted(access.cluster_id)}\n"
    if target.kind is TargetKind.FILE:
        return _of_server(_File(Path(target.path), dry_run=dry_run), "", first_text)
    if api is None:
        raise KubeError(f"{target.describe()} is in the cluster, and there is no connection to it")
    if target.kind is TargetKind.AWS_AUTH:
        # EKS reads this one and no other.
        lists = {name: _of_aws_auth(api, principal) for principal, name in NAMES.items()}
        return TextStore(
            lists, lambda text: ADDED_KEY if text is None else text, partial(view_aws_auth, source=target.describe())
        )
    return _of_server(ConfigMapText(api, target), target.key, first_text)


def _of_server(place: _Place, key: str, first_text: str) -> MappingStore:
    """All lists in the server's config.yaml."""
    source = place.describe()
    lists = {
        name: (place, MappingList((*SERVER, name), source, key, principal=principal))
        for principal, name in NAMES.items()
    }
    return TextStore(
        lists,
        lambda text: text if text and text.strip() else first_text,
        lambda texts: view_config(texts[ROLES], f"{source} {key}".rstrip()),
    )


def _of_aws_auth(api: KubeApi, principal: str) -> tuple[_Place, MappingList]:
    """One list, which is all that one key of the ConfigMap holds."""
    key = NAMES[principal]
    place = ConfigMapText(api, replace(AWS_AUTH, key=key), missing=ADDED_KEY)
    return place, MappingList((), place.describe(), key, principal=principal)


class _Place(Protocol):
    """A text that can be read, and edited without losing what someone else wrote in between."""

    def describe(self) -> str: ...

    def read(self) -> str | None: ...

    def edit(self, change: Callable[[str | None], str | None]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Read:
    """One version of the texts, by the names of their lists, with what they say."""

    texts: Mapping[str, str]
    entries: tuple[MappingEntry, ...]
    view: MappingView


class TextStore(MappingStore):
    """The lists mapRoles, mapUsers and mapGroups, by name, each in a text: all in one, or each in its own.

    `begun` returns the text that an entry goes into, from the one that is there, if any. `view` returns how the server reads texts by
    the names of the lists.
    """

    def __init__(
        self,
        lists: Mapping[str, tuple[_Place, MappingList]],
        begun: Callable[[str | None], str],
        view: Callable[[Mapping[str, str]], MappingView],
    ) -> None:
        self._lists = lists
        self._begun = begun
        self._view = view
        self._last: _Read | None = None

    def describe(self) -> str:
        """Return the file, or the ConfigMap, as a person would name it."""
        return self._lists[ROLES][0].describe()

    def entries(self) -> tuple[MappingEntry, ...]:
        """All entries; none where there is no text. Raises ConfigError where it cannot be read or understood."""
        return self._read().entries

    def faults(self) -> tuple[str, ...]:
        """Return what keeps a server from loading the mapping, with lines. Raises ConfigError as `entries` does."""
        return self._read().view.fatal

    def rivals(self, role_arns: Iterable[str]) -> Mapping[str, tuple[MappingEntry, ...]]:
        """All further entries that the server could apply to sessions of these roles. Raises ConfigError as `entries` does."""
        read = self._read()
        known = {(entry.where, entry.key) for entry in read.entries}
        found: dict[str, list[MappingEntry]] = {}
        for arn, (name, index), entry in read.view.matching(role_arns):
            where = f"{name}[{index}]"
            if (where, pathless(arn)) not in known:
                groups = tuple(group.text for group in entry.groups)
                rival = MappingEntry("", entry.username.text, groups, principal=principal_of(entry), where=where)
                found.setdefault(arn, []).append(rival)
        return {arn: tuple(entries) for arn, entries in found.items()}

    def others(self) -> tuple[MappingEntry, ...]:
        """All that the server reads beside the entries, without what both name. Raises ConfigError as `entries` does."""
        read = self._read()
        named = {entry.where for entry in read.entries}
        found = [
            MappingEntry("", each.username.text, tuple(group.text for group in each.groups), "", "", (), of, where)
            for each in read.view.of_principals()
            if (of := principal_of(each)) and (where := "{}[{}]".format(*place_of(each.where))) not in named
        ]
        return (*found, *(MappingEntry("", "", (), principal=each) for each in read.view.mappings.accounts))

    def _read(self) -> _Read:
        """Read the texts. Those that have not changed are not parsed again."""
        texts = self._texts()
        if self._last is None or self._last.texts != texts:
            view = self._view(texts)
            documents: dict[int, Document] = {}
            entries: list[MappingEntry] = []
            for name in (ROLES, GROUPS):
                place, each = self._lists[name]
                if id(place) not in documents:
                    documents[id(place)] = each.parse(texts[name])
                entries += each.entries(texts[name], view.problems, documents[id(place)])
            self._last = _Read(texts, tuple(entries), view)
        return self._last

    def _texts(self) -> dict[str, str]:
        """Return the texts of the lists by name; one that several lists share is read once."""
        read: dict[int, str] = {}
        for place, _ in self._lists.values():
            if id(place) not in read:
                read[id(place)] = place.read() or ""
        return {name: read[id(place)] for name, (place, _) in self._lists.items()}

    def put(self, entry: MappingEntry) -> None:
        """Add the entry, or change the one with its key in place; a text that is missing is made."""
        place, entries = self._of(entry)
        place.edit(lambda text: entries.put(self._begun(text), entry))

    def remove(self, entry: MappingEntry) -> None:
        """Remove the entries with that key; a text that is missing stays missing, and one that `put` made goes with its last entry."""
        place, entries = self._of(entry)
        place.edit(lambda text: None if text is None else entries.remove(text, entry))

    def add_temporary(self, entry: MappingEntry, grant: TemporaryGrant) -> None:
        """Name someone in the entry's `temporary`. Raises NotFound where there is no such entry, or none that asks for a group."""
        place, entries = self._of(entry)

        def change(text: str | None) -> str | None:
            present = next((each for each in entries.entries(text or "") if each.key == entry.key), None)
            if present is None or not present.iam_group:
                raise NotFound(f"{self.describe()} has no entry for {entry.name} that asks for a group", "run apply")
            return entries.change_temporary(text or "", entry, lambda items: (*_without(items, grant.user_name), grant))

        place.edit(change)

    def remove_temporary(self, entry: MappingEntry, user_name: str, only: TemporaryGrant | None = None) -> None:
        """Take someone, or only exactly that item, out of the entry's `temporary`; that there is no such entry is fine."""
        place, entries = self._of(entry)

        def left(items: tuple[TemporaryGrant, ...]) -> tuple[TemporaryGrant, ...]:
            return tuple(item for item in items if item != only) if only else _without(items, user_name)

        place.edit(lambda text: entries.change_temporary(text, entry, left) if text else None)

    def _of(self, entry: MappingEntry) -> tuple[_Place, MappingList]:
        if entry.principal:
            return self._lists[USERS]
        return self._lists[ROLES if entry.role_arn else GROUPS]


def _without(items: tuple[TemporaryGrant, ...], user_name: str) -> tuple[TemporaryGrant, ...]:
    return tuple(item for item in items if item.user_name.casefold() != user_name.casefold())


class _File:
    """A config.yaml on this machine, replaced atomically; mode and owner stay. With `dry_run` nothing is written."""

    def __init__(self, path: Path, *, dry_run: bool = False) -> None:
        self._path = path
        self._dry_run = dry_run

    def describe(self) -> str:
        return str(self._path)

    def read(self) -> str | None:
        return read_text(self._path)

    def edit(self, change: Callable[[str | None], str | None]) -> None:
        if self._dry_run:
            check_edit(self._path, change)
        else:
            edit_text(self._path, change, NEW_FILE_MODE)
