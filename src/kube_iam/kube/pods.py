"""The pods of the server, which a DaemonSet or kOps runs on the control plane nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kube_iam.kube.client import KubeApi

NAMESPACE, LABEL = "kube-system", "k8s-app"
SERVER = "aws-iam-authenticator"


@dataclass(frozen=True, slots=True)
class ServerPod:
    """One pod: its name and node, and why it is not ready, empty if it is."""

    name: str
    node: str
    problem: str


def server_pods(api: KubeApi) -> tuple[ServerPod, ...]:
    """Return the pods with the label of the server, none where it does not run in pods. Raises KubeIamError."""
    from lightkube.resources.core_v1 import Pod

    with api.call("list the pods of the server") as client:
        found = list(client.list(Pod, namespace=NAMESPACE, labels={LABEL: SERVER}))
    return tuple(_state(pod) for pod in found)


def _state(pod: Any) -> ServerPod:
    status = pod.status
    conditions = {each.type: each.status for each in (status.conditions if status else None) or ()}
    problem = ""
    if conditions.get("Ready") != "True":
        containers = (status.containerStatuses if status else None) or ()
        waiting = [each.state.waiting.reason for each in containers if each.state and each.state.waiting]
        problem = next(filter(None, waiting), "") or (status.phase if status else "") or "not started"
    name = (pod.metadata.name if pod.metadata else None) or ""
    return ServerPod(name, (pod.spec.nodeName if pod.spec else None) or "", str(problem))
