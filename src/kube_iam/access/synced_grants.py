"""Temporary access to synced levels (`membershipCheck: rbac`): their bindings hold the grants, and `kube-iam sync` reads them there.

The authenticator of such a level reads no grants, so that its mapping entry has no place for them. Every binding of a level holds all
of its grants. A write that is interrupted leaves some bindings with another end: of one user's grants the latest counts, so that it is
seen until no binding has it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from kube_iam.access.desired import desired_entry
from kube_iam.access.levels import ClusterAccess
from kube_iam.access.mapping import MappingEntry, MappingStore, ServerMapping, pathless, without_grant
from kube_iam.access.ports import BindingState
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import NotFound

Grants = tuple[TemporaryGrant, ...]


class GrantBindings(Protocol):
    """Port: the bindings of synced levels in a cluster, with the grants that they hold."""

    def read(self) -> tuple[BindingState, ...]:
        """Return all bindings that have a source. Raises KubeIamError."""

    def change_grants(self, binding: BindingState, change: Callable[[Grants], Grants]) -> None:
        """Replace the grants of a binding. Repeats it where somebody else wrote in between. A binding that is gone is no error."""


def grants_of(bindings: Iterable[BindingState]) -> Grants:
    """Return the grants in the bindings of one level: of each user the one that ends last, sorted by user."""
    users: dict[str, TemporaryGrant] = {}
    for binding in bindings:
        for grant in binding.source.temporary if binding.source is not None else ():
            key = grant.user_name.casefold()
            if key not in users or users[key].ends < grant.ends:
                users[key] = grant
    return tuple(users[key] for key in sorted(users))


class SyncedStore(MappingStore):
    """A mapping whose entries of synced levels have the grants of the levels' bindings. Everything else is that of `store`."""

    def __init__(self, access: ClusterAccess, store: MappingStore, bindings: GrantBindings) -> None:
        self._store = store
        self._bindings = bindings
        self._cluster = access.name
        self._synced = {
            desired_entry(access, level).key: level.name for level in access.levels if access.is_synced(level)
        }

    def describe(self) -> str:
        """Return where the entries are."""
        return self._store.describe()

    def entries(self) -> tuple[MappingEntry, ...]:
        """Return the entries. Those of synced levels have the grants of their bindings too. Raises what both reads raise."""
        entries, bindings = self._store.entries(), self._by_key()
        return tuple(
            replace(each, temporary=(*each.temporary, *grants_of(bindings.get(each.key, ())))) for each in entries
        )

    def add_temporary(self, entry: MappingEntry, grant: TemporaryGrant) -> None:
        """Write the grant into all bindings of a synced level. Raises NotFound for a level that was not applied."""
        bindings = self._by_key().get(entry.key, [])
        if not bindings and entry.key not in self._synced:
            self._store.add_temporary(entry, grant)
            return
        if not bindings:
            raise NotFound(f"level {self._synced[entry.key]} has no binding yet", "run `kube-iam apply` first")
        for binding in bindings:
            self._bindings.change_grants(binding, lambda present: (*without_grant(present, grant.user_name), grant))

    def remove_temporary(self, entry: MappingEntry, user_name: str, only: TemporaryGrant | None = None) -> None:
        """Remove the user's grant from the bindings of a synced level, else from the entry; with `only`, no other grant."""
        bindings = self._by_key().get(entry.key, [])
        for binding in bindings:
            self._bindings.change_grants(binding, lambda present: without_grant(present, user_name, only))
        if not bindings or entry.iam_group:
            self._store.remove_temporary(entry, user_name, only)

    def _by_key(self) -> dict[str, list[BindingState]]:
        """Return this cluster's synced bindings by the key of their level's entry."""
        found: dict[str, list[BindingState]] = {}
        for each in self._bindings.read():
            if each.source is not None and each.cluster == self._cluster:
                found.setdefault(pathless(each.source.role_arn), []).append(each)
        return found

    def faults(self) -> tuple[str, ...]:
        """Return the faults of the mapping."""
        return self._store.faults()

    def reserved_prefixes(self) -> tuple[str, ...]:
        """Return the reserved prefixes of the mapping."""
        return self._store.reserved_prefixes()

    def rivals(self, role_arns: Iterable[str]) -> Mapping[str, tuple[MappingEntry, ...]]:
        """Return the rivals in the mapping."""
        return self._store.rivals(role_arns)

    def others(self) -> tuple[MappingEntry, ...]:
        """Return the other entries of the mapping."""
        return self._store.others()

    def server_mapping(self) -> ServerMapping:
        """Return the mapping as the server reads it."""
        return self._store.server_mapping()

    def put(self, entry: MappingEntry) -> None:
        """Write the entry."""
        self._store.put(entry)

    def adopt(self, entry: MappingEntry) -> None:
        """Take over the entry."""
        self._store.adopt(entry)

    def remove(self, entry: MappingEntry) -> None:
        """Remove the entry."""
        self._store.remove(entry)
