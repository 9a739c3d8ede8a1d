"""Mapping entries of others that admit more principals than the members of the levels."""

from __future__ import annotations

from collections.abc import Iterable

from kube_iam.access.desired import desired_entry
from kube_iam.access.levels import ClusterAccess
from kube_iam.access.ports import MappingEntry


def other_entries(access: ClusterAccess, entries: Iterable[MappingEntry]) -> tuple[MappingEntry, ...]:
    """Return the entries that are not for a level of the file."""
    ours = {desired_entry(access, level).key for level in access.levels}
    return tuple(entry for entry in entries if entry.key not in ours)
