"""The last snapshot of each tracked IAM group, and the groups of each user. Pure."""

from __future__ import annotations

from collections.abc import Collection

from kube_iam.membership.snapshots import GroupChange, GroupSnapshot


class TrackedGroups:
    """Snapshots by group name, None until the first read; and an index of groups by the unique ids of their members."""

    def __init__(self) -> None:
        self.snapshots: dict[str, GroupSnapshot | None] = {}
        self.of_user: dict[str, tuple[str, ...]] = {}
        """Names of the groups by unique id (AIDA…) of a member."""

    def keep(self, names: Collection[str]) -> None:
        """Track these groups and no others. Snapshots of groups that stay are kept."""
        for name in [name for name in self.snapshots if name not in names]:
            self._index(name, self.snapshots.pop(name), None)
        self.snapshots = {name: self.snapshots.get(name) for name in names}

    def update(self, name: str, snapshot: GroupSnapshot) -> GroupChange:
        """Replace the snapshot of a tracked group. Return the difference to the one before."""
        before = self.snapshots[name]
        self.snapshots[name] = snapshot
        return self._index(name, before, snapshot)

    def _index(self, group: str, before: GroupSnapshot | None, after: GroupSnapshot | None) -> GroupChange:
        old = dict(before.members) if before is not None else {}
        new = dict(after.members) if after is not None else {}
        for user_id in set(old.values()) - set(new.values()):
            rest = tuple(name for name in self.of_user.get(user_id, ()) if name != group)
            if rest:
                self.of_user[user_id] = rest
            else:
                self.of_user.pop(user_id, None)
        for user_id in set(new.values()) - set(old.values()):
            self.of_user[user_id] = (*self.of_user.get(user_id, ()), group)
        joined = sorted(name for name, user_id in new.items() if old.get(name) != user_id)
        left = sorted(name for name, user_id in old.items() if new.get(name) != user_id)
        return GroupChange(tuple(joined), tuple(left), first=before is None)
