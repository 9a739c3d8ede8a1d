"""What is said of calls to EC2, in the log and in the metrics."""

from __future__ import annotations

from kube_iam.errors import KubeIamError
from kube_iam.server.log import Log
from kube_iam.server.metrics import Metrics


class Ec2Report:
    """The server's `aws.ec2_names.Observer`."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

    def asked(self, instances: int) -> None:
        """Count the call."""
        self._metrics.ec2_calls.add()
        self._log.debug("asking EC2 for private DNS names", instances=instances)

    def failed(self, error: KubeIamError) -> None:
        """Say why; the answers to the sign-ins do not."""
        self._log.error("EC2 names no instances", error=str(error))
