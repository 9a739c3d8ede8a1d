"""The trail: an Event in kube-system for every deed, where whoever reads the cluster's events finds it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import cast

from kube_iam.access.trail import Deed, Record, one_line
from kube_iam.core.event import event
from kube_iam.kube.client import FIELD_MANAGER, KubeApi
from kube_iam.kube.cluster import KubeCluster
from kube_iam.kube.labels import LEVEL, MANAGED_BY, OWNER

NAMESPACE = "kube-system"
API_VERSION = "kube-iam.dev/v1alpha1"
_WHO, _WHO_ARN, _WHOM = "kube-iam.dev/by", "kube-iam.dev/by-arn", "kube-iam.dev/whom"
_UNTIL, _REASON = "kube-iam.dev/until", "kube-iam.dev/reason"


class EventTrail:
    """The trail of one cluster, written as whoever the API knows the caller as."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def write(self, records: Iterable[Record], now: float) -> None:
        """Write an Event for each record (`now`: unix seconds). Raises KubeError at the first that cannot be written."""
        from lightkube.resources.core_v1 import Event

        who = KubeCluster(self._api).whoami()
        for record in records:
            written = cast("Event", Event.from_dict(_event(record, who.username, who.canonical_arn, now)))
            with self._api.call("write an event") as client:
                client.create(written, namespace=NAMESPACE, field_manager=FIELD_MANAGER)


def _event(record: Record, by: str, arn: str, now: float) -> dict[str, object]:
    fields = {_WHO: by, _WHO_ARN: arn, _WHOM: record.whom, _UNTIL: record.until, _REASON: record.reason}
    metadata = {
        "name": f"{OWNER}.{secrets.token_hex(8)}",
        "namespace": NAMESPACE,
        "labels": {MANAGED_BY: OWNER, **({LEVEL: record.level} if record.level else {})},
        "annotations": {name: one_line(value) for name, value in fields.items() if value},
    }
    kind = "ClusterAccess" if record.deed in (Deed.APPLIED, Deed.DESTROYED) else "Principal"
    about = {"apiVersion": API_VERSION, "kind": kind, "namespace": NAMESPACE, "name": record.whom}
    return event(metadata, about, record.deed.value, record.sentence(by), now)
