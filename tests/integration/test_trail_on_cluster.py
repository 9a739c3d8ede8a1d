"""The trail on a real kube-apiserver: Events that it takes, under the name that it knows the writer by."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kube_iam.access.trail import Deed, Record
from kube_iam.errors import KubeIamError
from kube_iam.kube.client import KubeApi
from kube_iam.kube.event_trail import EventTrail

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]
EVENTS = "/api/v1/namespaces/kube-system/events"


def written(control_plane: Any, whom: str) -> list[dict[str, Any]]:
    items = control_plane.api.call("GET", EVENTS)[1]["items"]
    return [each for each in items if each["involvedObject"].get("name") == whom]


def trail(control_plane: Any) -> EventTrail:
    return EventTrail(KubeApi(environ={}, kubeconfig=str(control_plane.kubeconfig)))


def test_a_deed_is_an_event_that_says_who_did_what_to_whom_until_when_and_why(control_plane: Any) -> None:
    record = Record(Deed.GRANTED, "tilda", "viewer", "2026-11-24T14:00:00Z", "on call\n\x1b[2J")
    trail(control_plane).write([record, Record(Deed.REVOKED, "tilda", "viewer")], time.time())
    granted, revoked = sorted(written(control_plane, "tilda"), key=lambda each: each["reason"])
    assert (granted["reason"], revoked["reason"]) == ("AccessGranted", "AccessRevoked")
    assert granted["message"] == "kubernetes-admin granted tilda viewer until 2026-11-24T14:00:00Z: on call  [2J"
    assert granted["type"] == "Normal"
    assert granted["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "kube-iam",
        "kube-iam.dev/level": "viewer",
    }
    assert granted["metadata"]["annotations"] == {
        "kube-iam.dev/by": "kubernetes-admin",
        "kube-iam.dev/whom": "tilda",
        "kube-iam.dev/until": "2026-11-24T14:00:00Z",
        "kube-iam.dev/reason": "on call  [2J",
    }


@pytest.mark.parametrize(
    "whom",
    ["arn:aws:iam::123456789012:role/a/b", "AROA123456:x+y=z@w", "ASIA0000000000000001", "x" * 2048],
    ids=["arn", "unique id", "key", "long"],
)
def test_whoever_can_be_denied_can_be_written_about(control_plane: Any, whom: str) -> None:
    trail(control_plane).write([Record(Deed.DENIED, whom, reason="r" * 5000)], time.time())
    (event,) = written(control_plane, whom)
    assert event["reason"] == "AccessDenied"


def test_where_events_cannot_be_written_that_is_an_error_of_ours(control_plane: Any) -> None:
    api = KubeApi(environ={}, kubeconfig=str(control_plane.kubeconfig), server="https://127.0.0.1:1")
    with pytest.raises(KubeIamError):
        EventTrail(api).write([Record(Deed.LIFTED, "tilda")], time.time())
