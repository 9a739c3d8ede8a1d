"""Kubernetes Events (core/v1) as the API server takes them: one thing that happened, once, to one object."""

from __future__ import annotations

from collections.abc import Mapping

from kube_iam.core.utc import rfc3339

COMPONENT = "kube-iam"
LONGEST_MESSAGE = 1000  # characters; 1024 bytes are the most for events of the newer group, which are the same ones


def event(
    metadata: Mapping[str, object],
    about: Mapping[str, str],
    reason: str,
    message: str,
    now: float,
    *,
    warning: bool = False,
) -> dict[str, object]:
    """The Event that happened `now` (unix seconds). Text beyond what an Event takes is cut off."""
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
