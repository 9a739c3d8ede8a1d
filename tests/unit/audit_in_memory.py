"""Audit events that commands wrote into an API in memory."""

from __future__ import annotations

from dataclasses import dataclass

from api_in_memory import ApiInMemory

from kube_iam.kube.events import Action


@dataclass(frozen=True)
class AuditEvent:
    """An event, with the texts that it has about its action."""

    action: Action
    subject: str
    level: str
    until: str
    reason: str
    message: str


def audit_events(memory: ApiInMemory) -> list[AuditEvent]:
    """Return the events in the order in which they were written."""
    found = []
    for written in memory.events:
        texts, labels = written["metadata"]["annotations"], written["metadata"]["labels"]
        about = (texts["kube-iam.dev/subject"], labels.get("kube-iam.dev/level", ""))
        end = (texts.get("kube-iam.dev/until", ""), texts.get("kube-iam.dev/reason", ""))
        found.append(AuditEvent(Action(written["reason"]), *about, *end, written["message"]))
    return found
