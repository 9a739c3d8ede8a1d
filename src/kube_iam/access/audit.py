"""Audit events of the commands: who did what to whose access. Nothing depends on them, so they are written last."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_UNKNOWN_ACTOR = "somebody"


class Action(Enum):
    """Something that an administrator did. The value is the `reason` of the Kubernetes Event."""

    GRANTED = "AccessGranted"
    REVOKED = "AccessRevoked"
    DENIED = "AccessDenied"
    DENIAL_REMOVED = "DenialRemoved"
    APPLIED = "AccessApplied"
    DESTROYED = "AccessDestroyed"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One action. `subject` is a user, an ARN or a key's id; for an action about all of a cluster it is the cluster's name.

    `level` is empty for all levels. `until` is RFC 3339, empty for an action without end. `detail` is free text.
    """

    action: Action
    subject: str
    level: str = ""
    until: str = ""
    reason: str = ""
    detail: str = ""

    def sentence(self, actor: str) -> str:
        """Return the action in one line. `actor` is the user name of the administrator, empty if unknown."""
        in_level = f" in {self.level}" if self.level else ""
        done = {
            Action.GRANTED: f"granted {self.subject} {self.level}",
            Action.REVOKED: f"revoked {self.level} from {self.subject}",
            Action.DENIED: f"denied {self.subject} {self.level or 'everything'}",
            Action.DENIAL_REMOVED: f"removed the denial of {self.subject}{in_level}",
            Action.APPLIED: f"applied the access file of {self.subject}",
            Action.DESTROYED: f"destroyed what had been applied for {self.subject}",
        }
        parts = (
            f"{actor or _UNKNOWN_ACTOR} {done[self.action]}",
            f" until {self.until}" if self.until else "",
            f" ({self.detail})" if self.detail else "",
            f": {self.reason}" if self.reason else "",
        )
        return one_line("".join(parts))


def one_line(text: str) -> str:
    """Return the text with spaces in place of characters that could move the cursor of a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
