"""Audit events: an Event in kube-system for each action. Everybody who may read Events there can read them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import cast

from kube_iam.access.audit import Action, AuditRecord, one_line
from kube_iam.core.event import event
from kube_iam.kube.client import FIELD_MANAGER, KubeApi
from kube_iam.kube.cluster import KubeCluster
from kube_iam.kube.labels import LEVEL, MANAGED_BY, OWNER

NAMESPACE = "kube-system"
API_VERSION = "kube-iam.dev/v1alpha1"
_ACTOR, _ACTOR_ARN, _SUBJECT = "kube-iam.dev/actor", "kube-iam.dev/actor-arn", "kube-iam.dev/subject"
_UNTIL, _REASON = "kube-iam.dev/until", "kube-iam.dev/reason"


class AuditEvents:
    """Audit events of one cluster. Their actor is the user name by which the API server knows the caller."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def write(self, records: Iterable[AuditRecord], now: float) -> None:
        """Write an Event for each record (`now`: unix seconds). Raises KubeError at the first that cannot be written."""
        from lightkube.resources.core_v1 import Event

        actor = KubeCluster(self._api).whoami()
        for record in records:
            written = cast("Event", Event.from_dict(_event(record, actor.username, actor.canonical_arn, now)))
            with self._api.call("write an event") as client:
                client.create(written, namespace=NAMESPACE, field_manager=FIELD_MANAGER)


def _event(record: AuditRecord, actor: str, actor_arn: str, now: float) -> dict[str, object]:
    fields = {
        _ACTOR: actor,
        _ACTOR_ARN: actor_arn,
        _SUBJECT: record.subject,
        _UNTIL: record.until,
        _REASON: record.reason,
    }
    metadata = {
        "name": f"{OWNER}.{secrets.token_hex(8)}",
        "namespace": NAMESPACE,
        "labels": {MANAGED_BY: OWNER, **({LEVEL: record.level} if record.level else {})},
        "annotations": {name: one_line(value) for name, value in fields.items() if value},
    }
    kind = "ClusterAccess" if record.action in (Action.APPLIED, Action.DESTROYED) else "Principal"
    about = {"apiVersion": API_VERSION, "kind": kind, "namespace": NAMESPACE, "name": record.subject}
    return event(metadata, about, record.action.value, record.sentence(actor), now)
