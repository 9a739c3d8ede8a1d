"""Kubernetes Events (core/v1), each about one object."""

from __future__ import annotations

from collections.abc import Mapping

from kube_iam.core.utc import rfc3339

COMPONENT = "kube-iam"
LONGEST_MESSAGE = 1000  # characters; the same events in events.k8s.io/v1 take at most 1024 bytes


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
