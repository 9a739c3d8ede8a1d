"""The store of mapping entries for the sources of an authenticator, with one interface.

The sources are a ConfigMap with the server's config.yaml, the ConfigMap aws-auth, a config.yaml on disk, and objects. This module
reads and writes texts without losing an edit of another program. `mapping_list` changes the text of a list. `identity_mapping_store`
has the objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from kube_iam.access.levels import AWS_AUTH, ClusterAccess, TargetKind
from kube_iam.access.mapping import MappingEntry, MappingStore, ServerMapping, pathless, without_grant
from kube_iam.config.mappings import MAPPING_KEYS
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import KubeError, NotFound
from kube_iam.kube.client import KubeApi
from kube_iam.kube.config_map import ConfigMapText
from kube_iam.kube.files import check_edit, edit_text, read_text
from kube_iam.kube.mapping_list import ADDED, NAMES, SERVER, MappingList
from kube_iam.kube.mapping_view import MappingView, has_mappings, place_of, principal_of, view_aws_auth, view_config
from kube_iam.kube.yaml.edit import Document
from kube_iam.kube.yaml.text import quoted

ROLES, USERS, GROUPS = NAMES.values()
ADDED_KEY = f"# {ADDED}\n"
"""The first line of a key of aws-auth that an edit added."""
NEW_FILE_MODE = 0o644  # it holds no secret, and the server may run as another user


def make_store(access: ClusterAccess, api: KubeApi | None, *, dry_run: bool = False) -> MappingStore:
    """Return the store that `access.mapping` names. Nothing is read yet. `api` may be None for a file.

    With `dry_run` edits of a file are checked and not written. For a ConfigMap `api` decides that.
    """
    target = access.mapping
    first_text = f"clusterID: {quoted(access.cluster_id)}\n"
    if target.kind is TargetKind.FILE:
        return _server_store(_File(Path(target.path), dry_run=dry_run), "", first_text)
    if api is None:
        raise KubeError(f"{target.describe()} is in the cluster, and there is no connection to it")
    if target.kind is TargetKind.ACCESS_ENTRIES:
        raise ValueError(f"{target.describe()} are no mapping of the Kubernetes API")
    if target.kind is TargetKind.CRD:
        from kube_iam.kube.identity_mapping_store import IdentityMappingStore

        return IdentityMappingStore(api, access.name, access.cluster_id)
    if target.kind is TargetKind.AWS_AUTH:
        return aws_auth_store(api)
    return _server_store(ConfigMapText(api, target), target.key, first_text)


def _server_store(text: _Text, key: str, first_text: str) -> MappingStore:
    """Return a store whose lists are all in one text, the server's config.yaml."""
    source = text.describe()
    lists = {name: MappingList((*SERVER, name), source, key, principal=principal) for principal, name in NAMES.items()}
    return TextStore(
        dict.fromkeys(lists, text),
        lists,
        lambda present: present if present and present.strip() else first_text,
        lambda texts: view_config(texts[ROLES], f"{source} {key}".rstrip()),
        lambda text: text if has_mappings(text, source) else lists[ROLES].with_list(text),
    )


def aws_auth_store(api: KubeApi) -> MappingStore:
    """Return a store with one text a list, each a key of the ConfigMap kube-system/aws-auth: EKS reads no other.

    `mapAccounts` has a text and no list: it is read, and never edited.
    """
    source = AWS_AUTH.describe()
    texts = {name: ConfigMapText(api, replace(AWS_AUTH, key=name), missing=ADDED_KEY) for name in MAPPING_KEYS}
    lists = {
        name: MappingList((), texts[name].describe(), name, principal=principal) for principal, name in NAMES.items()
    }
    return TextStore(
        texts, lists, lambda text: ADDED_KEY if text is None else text, partial(view_aws_auth, source=source)
    )


class _Text(Protocol):
    """A text that can be read and edited. An edit never overwrites the edit of another program."""

    def describe(self) -> str: ...

    def read(self) -> str | None: ...

    def edit(self, change: Callable[[str | None], str | None]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """One version of the texts by the names of their lists, its entries, and the server's view of it."""

    texts: Mapping[str, str]
    entries: tuple[MappingEntry, ...]
    view: MappingView


class TextStore(MappingStore):
    """The lists mapRoles, mapUsers and mapGroups in texts: all in one text, or each in its own.

    `entries` and edits read the texts anew. Edits keep everything else in them byte for byte.
    """

    def __init__(
        self,
        texts: Mapping[str, _Text],
        lists: Mapping[str, MappingList],
        with_first_text: Callable[[str | None], str],
        view: Callable[[Mapping[str, str]], MappingView],
        emptied: Callable[[str], str] = lambda text: text,
    ) -> None:
        """Create the store. `texts` and `lists` are keyed by the names of lists.

        `with_first_text` returns the text that an entry is added to, given the present one or None. `view` returns how the server
        reads the texts. `emptied` returns a text, from which an entry was removed, in a form that ends its mappings in a server.
        """
        self._texts = texts
        self._lists = lists
        self._with_first_text = with_first_text
        self._view = view
        self._emptied = emptied
        self._last: _Snapshot | None = None

    def describe(self) -> str:
        """Return the name of the file or ConfigMap for messages."""
        return self._texts[ROLES].describe()

    def entries(self) -> tuple[MappingEntry, ...]:
        """Return all entries, none without a text. Raises ConfigError where the text cannot be read or parsed."""
        return self._read().entries

    def faults(self) -> tuple[str, ...]:
        """Return the problems that keep a server from loading the mapping, with lines. Raises ConfigError as `entries` does."""
        return self._snapshot().view.fatal

    def reserved_prefixes(self) -> tuple[str, ...]:
        """Return the prefixes in `reservedPrefixConfig` of the same text, none for aws-auth. Raises ConfigError as `entries` does."""
        return self._snapshot().view.reserved_prefixes

    def rivals(self, role_arns: Iterable[str]) -> Mapping[str, tuple[MappingEntry, ...]]:
        """Return other entries that the server could apply to sessions of these roles. Raises ConfigError as `entries` does."""
        read = self._snapshot()
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
        """Return all that the server reads and `entries` does not return. Raises ConfigError as `entries` does."""
        read = self._snapshot()
        named = {entry.where for entry in read.entries}
        found = [
            MappingEntry("", each.username.text, tuple(group.text for group in each.groups), "", "", (), of, where)
            for each in read.view.of_principals()
            if (of := principal_of(each)) and (where := "{}[{}]".format(*place_of(each.where))) not in named
        ]
        return (*found, *(MappingEntry("", "", (), principal=each) for each in read.view.mappings.accounts))

    def server_mapping(self) -> ServerMapping:
        """Return the lists as the server reads them, with lines. Raises ConfigError as `entries` does."""
        return self._snapshot().view.server_mapping(self.describe())

    def _snapshot(self) -> _Snapshot:
        """Return what was read last, and read the texts if nothing was."""
        return self._last if self._last is not None else self._read()

    def _read(self) -> _Snapshot:
        """Read the texts. They are parsed again only if they have changed."""
        read = {text: text.read() or "" for text in dict.fromkeys(self._texts.values())}
        texts = {name: read[text] for name, text in self._texts.items()}
        if self._last is None or self._last.texts != texts:
            self._last = self._parsed(texts)
        return self._last

    def _parsed(self, texts: Mapping[str, str]) -> _Snapshot:
        view = self._view(texts)
        # Lists in one text share its document, which takes the longest to parse.
        documents: dict[_Text, Document] = {}
        entries: list[MappingEntry] = []
        for name in (ROLES, GROUPS):
            mapping_list, text = self._lists[name], self._texts[name]
            if text not in documents:
                documents[text] = mapping_list.parse(texts[name])
            entries += mapping_list.entries(texts[name], view.problems, documents[text])
        return _Snapshot(texts, tuple(entries), view)

    def put(self, entry: MappingEntry) -> None:
        """Add the entry, or change the one with its key in place. A missing text is created."""
        text, entries = self._of(entry)
        text.edit(lambda present: entries.put(self._with_first_text(present), entry))

    def adopt(self, entry: MappingEntry) -> None:
        """Make the entry with that key equal: lists have no owners."""
        self.put(entry)

    def remove(self, entry: MappingEntry) -> None:
        """Remove the entries with that key. A missing text stays missing. A text that `put` created is removed with its last entry."""
        text, entries = self._of(entry)
        text.edit(lambda present: None if present is None else self._removed(present, entries, entry))

    def _removed(self, text: str, entries: MappingList, entry: MappingEntry) -> str:
        left = entries.remove(text, entry)
        return text if left == text else self._emptied(left)

    def add_temporary(self, entry: MappingEntry, grant: TemporaryGrant) -> None:
        """Add a user to the entry's `temporary`. Raises NotFound without such an entry, or where it requires no group."""
        text, entries = self._of(entry)

        def change(present: str | None) -> str | None:
            found = next((each for each in entries.entries(present or "") if each.key == entry.key), None)
            if found is None or not found.iam_group:
                raise NotFound(f"{self.describe()} has no entry for {entry.name} that asks for a group", "run apply")
            return entries.change_temporary(
                present or "", entry, lambda items: (*without_grant(items, grant.user_name), grant)
            )

        text.edit(change)

    def remove_temporary(self, entry: MappingEntry, user_name: str, only: TemporaryGrant | None = None) -> None:
        """Remove a user, or only exactly the item `only`, from the entry's `temporary`. Without such an entry nothing changes."""
        text, entries = self._of(entry)

        def change(present: str | None) -> str | None:
            if not present:
                return None
            return entries.change_temporary(present, entry, lambda items: without_grant(items, user_name, only))

        text.edit(change)

    def _of(self, entry: MappingEntry) -> tuple[_Text, MappingList]:
        """Return the text and the list of an entry."""
        name = USERS if entry.principal else ROLES if entry.role_arn or entry.sso else GROUPS
        return self._texts[name], self._lists[name]


class _File:
    """A config.yaml on this machine. It is replaced atomically and keeps mode and owner. With `dry_run` nothing is written."""

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
