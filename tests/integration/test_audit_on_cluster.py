"""Audit events on a real kube-apiserver, with the user name by which it knows the actor."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kube_iam.access.ports import Subject
from kube_iam.errors import KubeIamError
from kube_iam.kube.client import KubeApi
from kube_iam.kube.cluster import KubeCluster
from kube_iam.kube.events import Action, AuditRecord, write_events

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]
EVENTS = "/api/v1/namespaces/kube-system/events"


def written(control_plane: Any, subject: str) -> list[dict[str, Any]]:
    items = control_plane.api.call("GET", EVENTS)[1]["items"]
    return [each for each in items if each["involvedObject"].get("name") == subject]


def write(control_plane: Any, *records: AuditRecord) -> None:
    api = KubeApi(environ={}, kubeconfig=str(control_plane.kubeconfig))
    write_events(api, KubeCluster(api).whoami(), records, time.time())


def test_an_audit_event_names_actor_subject_end_and_reason(control_plane: Any) -> None:
    record = AuditRecord(Action.GRANTED, "tilda", "viewer", "2026-11-24T14:00:00Z", "on call\n\x1b[2J")
    write(control_plane, record, AuditRecord(Action.REVOKED, "tilda", "viewer"))
    granted, revoked = sorted(written(control_plane, "tilda"), key=lambda each: each["reason"])
    assert (granted["reason"], revoked["reason"]) == ("AccessGranted", "AccessRevoked")
    assert granted["message"] == "kubernetes-admin granted tilda viewer until 2026-11-24T14:00:00Z: on call  [2J"
    assert granted["type"] == "Normal"
    assert granted["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "kube-iam",
        "kube-iam.dev/level": "viewer",
    }
    assert granted["metadata"]["annotations"] == {
        "kube-iam.dev/actor": "kubernetes-admin",
        "kube-iam.dev/subject": "tilda",
        "kube-iam.dev/until": "2026-11-24T14:00:00Z",
        "kube-iam.dev/reason": "on call  [2J",
    }


@pytest.mark.parametrize(
    "subject",
    ["arn:aws:iam::123456789012:role/a/b", "AROA123456:x+y=z@w", "ASIA0000000000000001", "x" * 2048],
    ids=["arn", "unique id", "key", "long"],
)
def test_every_deniable_subject_can_be_in_an_audit_event(control_plane: Any, subject: str) -> None:
    write(control_plane, AuditRecord(Action.DENIED, subject, reason="r" * 5000))
    (event,) = written(control_plane, subject)
    assert event["reason"] == "AccessDenied"


def test_where_events_cannot_be_written_that_is_an_error_of_ours(control_plane: Any) -> None:
    api = KubeApi(environ={}, kubeconfig=str(control_plane.kubeconfig)).at("https://127.0.0.1:1")
    with pytest.raises(KubeIamError):
        write_events(api, Subject("somebody"), [AuditRecord(Action.DENIAL_REMOVED, "tilda")], time.time())
