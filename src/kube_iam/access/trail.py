"""What goes into the cluster's trail: who did what to whose access. Written after the fact, since nothing depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SOMEBODY = "somebody"


class Deed(Enum):
    """What somebody did. The value is the Event's `reason`."""

    GRANTED = "AccessGranted"
    REVOKED = "AccessRevoked"
    DENIED = "AccessDenied"
    LIFTED = "DenialLifted"
    APPLIED = "AccessApplied"
    DESTROYED = "AccessDestroyed"


@dataclass(frozen=True, slots=True)
class Record:
    """One deed. `whom` is a user, an ARN or a key's id, or the cluster's name for what is about all of it.

    `level` is empty for every level, `until` for good; `detail` is what else there is to say.
    """

    deed: Deed
    whom: str
    level: str = ""
    until: str = ""
    reason: str = ""
    detail: str = ""

    def sentence(self, by: str) -> str:
        """The deed on one line, done by that person, empty where nobody knows."""
        in_level = f" in {self.level}" if self.level else ""
        deeds = {
            Deed.GRANTED: f"granted {self.whom} {self.level}",
            Deed.REVOKED: f"revoked {self.level} from {self.whom}",
            Deed.DENIED: f"denied {self.whom} {self.level or 'everything'}",
            Deed.LIFTED: f"lifted the denial of {self.whom}{in_level}",
            Deed.APPLIED: f"applied the access file of {self.whom}",
            Deed.DESTROYED: f"destroyed what had been applied for {self.whom}",
        }
        parts = (
            f"{by or SOMEBODY} {deeds[self.deed]}",
            f" until {self.until}" if self.until else "",
            f" ({self.detail})" if self.detail else "",
            f": {self.reason}" if self.reason else "",
        )
        return one_line("".join(parts))


def one_line(text: str) -> str:
    """The text without what could move a cursor on a reader's terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
