"""Temporary access: access to a level until a time, without membership in its group.

It consists of the user's own policy, by which AWS lets the user assume the level's role until then, and of an item in `temporary`
of the level's mapping entry, by which the server admits the user until then. A level without a role has the item alone. Of a synced
level the bindings hold the item (`synced_grants`), and `kube-iam sync` names the user in them until then. A grant
writes the item first with an end in the past, and its true end last. A revocation moves the end into the past first, and removes
the item last. So a run that stops anywhere gives nobody more time, and its leftovers are found from the entries, without reading
all users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from kube_iam.access.apply import remove_temporary_access
from kube_iam.access.changes import TemporaryRemoval
from kube_iam.access.desired import assumed_roles, desired_entry, end_of, role_arn, temporary_document
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import ClusterAccess, Level, Method, user_policy_name
from kube_iam.access.mapping import MappingEntry, MappingStore
from kube_iam.access.ports import Directory
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.utc import rfc3339
from kube_iam.errors import NotOwned, UsageError

LONGEST = 366 * 86400  # seconds


def has_temporary(access: ClusterAccess, level: Level) -> bool:
    """Return whether the level can have temporary access: if the server checks each sign-in, or `kube-iam sync` its bindings."""
    return access.asks_membership(level) or access.is_synced(level)


class TemporaryAccess:
    """Temporary access by the mapping entry of one level. `entries` are those of the store as they were read.

    Without a store, which cannot be reached, only the policies in IAM can be removed.
    """

    def __init__(
        self,
        access: ClusterAccess,
        level: Level,
        directory: Directory,
        store: MappingStore | None,
        entries: tuple[MappingEntry, ...] = (),
    ) -> None:
        self._access = access
        self._level = level
        self._directory = directory
        self._store = store
        self._entry = desired_entry(access, level)
        self._policy = user_policy_name(access.name, level.name) if level.method is Method.ROLE else ""
        found = (who for entry in entries if entry.key == self._entry.key for who in entry.temporary)
        self._items = {who.user_name.casefold(): who for who in found}

    def item(self, user_name: str) -> TemporaryGrant | None:
        """Return the item of the user, also one that is over, or None."""
        return self._items.get(user_name.casefold())

    def may_be_in(self, user_name: str) -> bool:
        """Return whether the user has, or may have, temporary access."""
        return self._store is None or self.item(user_name) is not None

    def grant(self, item: TemporaryGrant, now: float) -> None:
        """Grant access until the item's end, also where an earlier item ends sooner or later.

        Raises NotFound if the level's entry does not exist, NotOwned if the user has a policy of that name that is not ours.
        """
        assert self._store is not None
        before = self.item(item.user_name)
        if self._policy:
            self._refuse_foreign(item.user_name, now)
            so_far = before.ends if before is not None and before.user_id == item.user_id else now
            record = replace(item, until=rfc3339(min(so_far, item.ends)))
            if record != before:
                self._store.add_temporary(self._entry, record)
            document = temporary_document(self._access, self._level, item.until)
            self._directory.put_user_policy(item.user_name, self._policy, document)
            before = record
        if item != before:
            self._store.add_temporary(self._entry, item)
        self._items[item.user_name.casefold()] = item

    def revoke(self, user_name: str, now: float) -> None:
        """Revoke the access at `now` (Unix seconds): in the mapping first, then in IAM.

        IAM is changed also if the mapping cannot be written; then that error is raised.
        """
        if not self.may_be_in(user_name):
            return
        item, ended = self.item(user_name), TemporaryRemoval(self._entry, user_name, self._policy)
        try:
            if self._store is not None and self._policy and item is not None and item.ends > now:
                self._store.add_temporary(self._entry, replace(item, until=rfc3339(now)))
        finally:
            remove_temporary_access(ended, self._directory, None)
        if self._store is not None:
            self._store.remove_temporary(self._entry, user_name)
        self._items.pop(user_name.casefold(), None)

    def _refuse_foreign(self, user_name: str, now: float) -> None:
        document = self._directory.user_policy(user_name, self._policy)
        ours = assumed_roles(document) == (role_arn(self._access, self._level),)
        if document is not None and not ours and end_of(document) > now:
            raise NotOwned(
                f"user {user_name} has a policy {self._policy} that is not for this level's role",
                "remove it by hand, or give the level or the cluster another name",
            )


def check_seconds(seconds: int) -> None:
    """Raise UsageError for a duration that is not positive or longer than a year."""
    if not 0 < seconds <= LONGEST:
        raise UsageError("--for takes a time of at most a year", "such as 2h, 90m or 36h")


def temporary_in_force(
    access: ClusterAccess, levels: Iterable[Level], entries: tuple[MappingEntry, ...], now: float
) -> dict[str, tuple[TemporaryGrant, ...]]:
    """Return the grants that are not over at `now` (Unix seconds), by level name."""
    names = {desired_entry(access, level).key: level.name for level in levels if has_temporary(access, level)}
    found = {names[entry.key]: entry.temporary for entry in entries if entry.key in names}
    return {name: tuple(who for who in items if who.ends > now) for name, items in found.items()}


def leftovers(reader: LevelReader, now: float) -> Iterator[tuple[TemporaryRemoval, TemporaryGrant]]:
    """Yield temporary access to the file's levels that is over at `now` (Unix seconds), for `remove_temporary_access`.

    Entries that are not this cluster's keep theirs, as they do with `apply`. IAM is read only where something is over; raises
    KubeIamError if that fails.
    """
    access = reader.access
    levels = {desired_entry(access, level).key: level for level in access.levels}
    over = [
        (entry, who) for entry in reader.entries if entry.key in levels for who in entry.temporary if who.ends <= now
    ]
    owners = reader.owners((levels[entry.key] for entry, _ in over), roles=True)
    for entry, who in over:
        owner, level = owners.entry(entry.key), levels[entry.key]
        if owner.is_read and owner.is_ours:
            policy = user_policy_name(access.name, level.name) if level.method is Method.ROLE else ""
            yield TemporaryRemoval(entry, who.user_name, policy, who), who
