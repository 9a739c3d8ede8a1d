"""The mapping of a cluster that is gone: nothing is read from it, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kube_iam.access.ports import MappingEntry, MappingStore, TemporaryGrant


class UnreadMapping(MappingStore):
    """A mapping without entries, for plans about IAM alone. Its writes raise ValueError, since such plans have none."""

    def __init__(self, name: str) -> None:
        """`name` is where the mapping lives, as a person would name it."""
        self._name = name

    def describe(self) -> str:
        """Return the name, and that it is not read."""
        return f"{self._name} (not read: --iam-only)"

    def entries(self) -> tuple[MappingEntry, ...]:
        """Return none."""
        return ()

    def faults(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def rivals(self, role_arns: Iterable[str]) -> Mapping[str, tuple[MappingEntry, ...]]:  # noqa: ARG002
        """Return none."""
        return {}

    def others(self) -> tuple[MappingEntry, ...]:
        """Return none."""
        return ()

    def put(self, entry: MappingEntry) -> None:
        """Raise ValueError."""
        raise ValueError(entry.name)

    def remove(self, entry: MappingEntry) -> None:
        """Raise ValueError."""
        raise ValueError(entry.name)

    def add_temporary(self, entry: MappingEntry, who: TemporaryGrant) -> None:  # noqa: ARG002
        """Raise ValueError."""
        raise ValueError(entry.name)

    def remove_temporary(self, entry: MappingEntry, user_name: str, only: TemporaryGrant | None = None) -> None:  # noqa: ARG002
        """Raise ValueError."""
        raise ValueError(entry.name)
