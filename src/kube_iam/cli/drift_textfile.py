"""The Prometheus textfile of `drift`, which node_exporter's textfile collector reads.

The collector takes text format 0.0.4 without timestamps, out of files whose names end in `.prom`. It reads them as another user. A run
that fails writes nothing: the time in the file shows how old its numbers are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from kube_iam.access.changes import Kind
from kube_iam.access.drift import Difference
from kube_iam.config.regular_file import read_regular_file
from kube_iam.errors import KubeIamError, UsageError
from kube_iam.files import write_file
from kube_iam.server.metrics import Gauge, Metric

_MODE = 0o644
_MARK = b"# HELP kube_iam_drift_"


class DriftMetrics:
    """The metrics of one run of `drift`."""

    def __init__(self) -> None:
        self.differences = Gauge(
            "kube_iam_drift_differences",
            "Things of a level that are not as the access file says, by kind",
            ("cluster", "level", "kind"),
        )
        self.last_success = Gauge(
            "kube_iam_drift_last_success_timestamp_seconds",
            "When the differences were last counted without an error",
            ("cluster",),
        )

    def all(self) -> list[Metric]:
        """Return the metrics in the order of their output."""
        return [self.differences, self.last_success]

    def render(self) -> str:
        """Return all metrics in text format."""
        return "".join(line for metric in self.all() for line in metric.lines())


def drift_metrics(cluster: str, levels: Iterable[str], found: Iterable[Difference], now: float) -> DriftMetrics:
    """Return the metrics of a run at `now` (Unix seconds). Each level has a number for each kind, 0 without differences."""
    metrics = DriftMetrics()
    for level in levels:
        for kind in Kind:
            metrics.differences.set(0, cluster, level, kind.value)
    for (level, kind), count in Counter((each.level, each.kind) for each in found).items():
        metrics.differences.set(count, cluster, level, kind.value)
    metrics.last_success.set(int(now), cluster)
    return metrics


def check_replaceable(path: Path) -> None:
    """Raise UsageError if there is anything at the path that `write_textfile` did not write."""
    try:
        present = read_regular_file(path, len(_MARK))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}", "name another file") from error
    if present != _MARK:
        raise UsageError(f"{path} exists and is no textfile of `kube-iam drift`", "name another file")


def write_textfile(path: Path, metrics: DriftMetrics) -> None:
    """Put the metrics at the path in one step, readable for everybody. Raises KubeIamError."""
    try:
        write_file(path, metrics.render().encode(), _MODE)
    except OSError as error:
        raise KubeIamError(f"cannot write {path}: {error.strerror or error}") from error
