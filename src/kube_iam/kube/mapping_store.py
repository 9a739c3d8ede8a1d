"""The three places where an authenticator reads its mappings, behind one port: a ConfigMap with the server's config.yaml, the
ConfigMap aws-auth, a config.yaml on disk. How text changes is `mapping_list`'s business; here it is read, and written back without
losing what someone else wrote in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.ports import MappingEntry, MappingStore, Temporary
from kube_iam.errors import KubeError, NotFound
from kube_iam.kube.client import KubeApi
from kube_iam.kube.config_map import ConfigMapText
from kube_iam.kube.files import edit_text, read_text
from kube_iam.kube.mapping_list import SERVER, MappingList
from kube_iam.kube.yaml_text import quoted

AWS_AUTH = MappingTarget(TargetKind.AWS_AUTH, namespace="kube-system", name="aws-auth", key="mapRoles")
NEW_FILE_MODE = 0o644  # it holds no secret, and the server may run as another user


def make_store(access: ClusterAccess, api: KubeApi | None) -> MappingStore:
    """The store that `access.mapping` names. `api` may be None for a file. Reads nothing yet."""
    target = access.mapping
    first_text = f"clusterID: {quoted(access.cluster_id)}\n"
    if target.kind is TargetKind.FILE:
        return _of_server(_File(Path(target.path)), "", first_text)
    if api is None:
        raise KubeError(f"{target.describe()} is in the cluster, and there is no connection to it")
    if target.kind is TargetKind.AWS_AUTH:
        # EKS reads this one and no other.
        roles, groups = (_of_aws_auth(api, key) for key in ("mapRoles", "mapGroups"))
        return TextStore(roles, groups, "")
    return _of_server(ConfigMapText(api, target), target.key, first_text)


def _of_server(place: _Place, key: str, first_text: str) -> MappingStore:
    """Both lists in the server's config.yaml."""
    source = place.describe()
    roles, groups = ((*SERVER, name) for name in ("mapRoles", "mapGroups"))
    return TextStore(
        (place, MappingList(roles, source, key)), (place, MappingList(groups, source, key, by_role=False)), first_text
    )


def _of_aws_auth(api: KubeApi, key: str) -> tuple[_Place, MappingList]:
    """One list, which is all that one key of the ConfigMap holds."""
    place = ConfigMapText(api, replace(AWS_AUTH, key=key))
    return place, MappingList((), place.describe(), key, by_role=key == "mapRoles")


class _Place(Protocol):
    """A text that can be read, and edited without losing what someone else wrote in between."""

    def describe(self) -> str: ...

    def read(self) -> str | None: ...

    def edit(self, change: Callable[[str | None], str | None]) -> None: ...


class TextStore(MappingStore):
    """Two lists, each in a text: both in one, or each in its own."""

    def __init__(self, roles: tuple[_Place, MappingList], groups: tuple[_Place, MappingList], first_text: str) -> None:
        self._roles = roles
        self._groups = groups
        self._first_text = first_text

    def describe(self) -> str:
        """The file, or the ConfigMap, as a person would name it."""
        return self._roles[0].describe()

    def entries(self) -> tuple[MappingEntry, ...]:
        """All entries; none where there is no text. Raises ConfigError where it cannot be read or understood."""
        (place, roles), (other, groups) = self._roles, self._groups
        text = place.read() or ""
        return (*roles.entries(text), *groups.entries(text if other is place else other.read() or ""))

    def put(self, entry: MappingEntry) -> None:
        """Add the entry, or change the one with its key in place; a text that is missing is made."""
        place, entries = self._of(entry)
        place.edit(lambda text: entries.put(text if text and text.strip() else self._first_text, entry))

    def remove(self, entry: MappingEntry) -> None:
        """Remove the entries with that key; a text that is missing stays missing."""
        place, entries = self._of(entry)
        place.edit(lambda text: None if text is None else entries.remove(text, entry))

    def let_in(self, entry: MappingEntry, who: Temporary) -> None:
        """Name someone in the entry's `temporary`. Raises NotFound where there is no such entry, or none that asks for a group."""
        place, entries = self._of(entry)

        def change(text: str | None) -> str | None:
            present = next((each for each in entries.entries(text or "") if each.key == entry.key), None)
            if present is None or not present.iam_group:
                raise NotFound(f"{self.describe()} has no entry for {entry.name} that asks for a group", "run apply")
            return entries.change_temporary(text or "", entry, lambda items: (*_without(items, who.user_name), who))

        place.edit(change)

    def let_out(self, entry: MappingEntry, user_name: str, only: Temporary | None = None) -> None:
        """Take someone, or only exactly that item, out of the entry's `temporary`; that there is no such entry is fine."""
        place, entries = self._of(entry)

        def left(items: tuple[Temporary, ...]) -> tuple[Temporary, ...]:
            return tuple(item for item in items if item != only) if only else _without(items, user_name)

        place.edit(lambda text: entries.change_temporary(text, entry, left) if text else None)

    def _of(self, entry: MappingEntry) -> tuple[_Place, MappingList]:
        return self._roles if entry.role_arn else self._groups


def _without(items: tuple[Temporary, ...], user_name: str) -> tuple[Temporary, ...]:
    return tuple(item for item in items if item.user_name.casefold() != user_name.casefold())


class _File:
    """A config.yaml on this machine, replaced atomically; mode and owner stay."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def describe(self) -> str:
        return str(self._path)

    def read(self) -> str | None:
        return read_text(self._path)

    def edit(self, change: Callable[[str | None], str | None]) -> None:
        edit_text(self._path, change, NEW_FILE_MODE)
