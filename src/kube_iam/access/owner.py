"""The owner of a role, group, policy or mapping entry, and how certain that is. `ownership` decides it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Standing(Enum):
    """The certainty with which the owner of a thing is known."""

    MARKED = "marked as this cluster's"
    UNMARKED = "this cluster's by two marks, without the tag that says so"
    OTHER = "another cluster's"
    UNKNOWN = "not known to be kube-iam's"


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of one thing. `level` is set for this cluster's things, as far as it is known; `cluster` names another cluster."""

    standing: Standing
    level: str = ""
    cluster: str = ""

    @property
    def is_ours(self) -> bool:
        """Return whether the thing is this cluster's, with or without its tag."""
        return self.standing in (Standing.MARKED, Standing.UNMARKED)

    @property
    def is_marked(self) -> bool:
        """Return whether the thing carries this cluster's mark."""
        return self.standing is Standing.MARKED

    @property
    def is_other(self) -> bool:
        """Return whether the thing is another cluster's."""
        return self.standing is Standing.OTHER


UNKNOWN = Owner(Standing.UNKNOWN)
