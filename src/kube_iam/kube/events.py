"""Kubernetes Events (core/v1), and the audit events of the commands: one in kube-system for each action.

An audit event names the administrator, the action and whose access it changed. Everybody who may read Events there can read them.
Nothing depends on them, so they are written last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, cast

from kube_iam.core.utc import rfc3339
from kube_iam.kube.labels import LEVEL, MANAGED_BY, OWNER

if TYPE_CHECKING:
    from kube_iam.access.ports import Subject
    from kube_iam.kube.client import KubeApi

NAMESPACE = "kube-system"
API_VERSION = "kube-iam.dev/v1alpha1"
_ACTOR, _ACTOR_ARN, _SUBJECT = "kube-iam.dev/actor", "kube-iam.dev/actor-arn", "kube-iam.dev/subject"
_UNTIL, _REASON = "kube-iam.dev/until", "kube-iam.dev/reason"
_UNKNOWN_ACTOR = "somebody"
COMPONENT = "kube-iam"
LONGEST_MESSAGE = 1000  # characters; the same events in events.k8s.io/v1 take at most 1024 bytes


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
        return _one_line("".join(parts))


def write_events(api: KubeApi, actor: Subject, records: Iterable[AuditRecord], now: float) -> None:
    """Write an Event for each record. `actor` is the API server's user of these calls, `now` Unix seconds.

    Raises KubeError at the first that cannot be written.
    """
    from lightkube.resources.core_v1 import Event

    from kube_iam.kube.client import FIELD_MANAGER

    for record in records:
        written = cast("Event", Event.from_dict(_audit_event(record, actor, now)))
        with api.call("write an event") as client:
            client.create(written, namespace=NAMESPACE, field_manager=FIELD_MANAGER)


def event(
    metadata: Mapping[str, object],
    about: Mapping[str, str],
    reason: str,
    message: str,
    now: float,
    *,
    warning: bool = False,
) -> dict[str, object]:
    """Return the Event of something that happened `now` (Unix seconds). A message of over `LONGEST_MESSAGE` characters is cut off."""
    moment = rfc3339(now)
    return {
        "metadata": dict(metadata),
        "involvedObject": dict(about),
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
        "source": {"component": COMPONENT},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def _audit_event(record: AuditRecord, actor: Subject, now: float) -> dict[str, object]:
    fields = {
        _ACTOR: actor.username,
        _ACTOR_ARN: actor.canonical_arn,
        _SUBJECT: record.subject,
        _UNTIL: record.until,
        _REASON: record.reason,
    }
    from secrets import token_hex  # no command but one that writes an event needs it

    metadata = {
        "name": f"{OWNER}.{token_hex(8)}",
        "namespace": NAMESPACE,
        "labels": {MANAGED_BY: OWNER, **({LEVEL: record.level} if record.level else {})},
        "annotations": {name: _one_line(value) for name, value in fields.items() if value},
    }
    kind = "ClusterAccess" if record.action in (Action.APPLIED, Action.DESTROYED) else "Principal"
    about = {"apiVersion": API_VERSION, "kind": kind, "namespace": NAMESPACE, "name": record.subject}
    return event(metadata, about, record.action.value, record.sentence(actor.username), now)


def _one_line(text: str) -> str:
    """Return the text with spaces in place of characters that could move the cursor of a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
