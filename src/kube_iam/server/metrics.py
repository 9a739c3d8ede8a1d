"""The server's metrics in Prometheus' text format 0.0.4: the reference's names, and ours under `kube_iam_`.

https://prometheus.io/docs/instrumenting/exposition_formats/. All labels have few values: results, reasons, regions, status codes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MALFORMED_REQUEST = "malformed_request"
SUCCESS = "success"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FAST_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5)


class Metric:
    """A metric: its name, its help text, its type in Prometheus' words, and the names of its labels."""

    def __init__(self, name: str, text: str, kind: str, labels: tuple[str, ...]) -> None:
        self.name = name
        self.text = text
        self.kind = kind
        self.labels = labels

    def head(self) -> str:
        """Return the two lines above the values."""
        return f"# HELP {self.name} {self.text}\n# TYPE {self.name} {self.kind}\n"

    def lines(self) -> Iterator[str]:
        """Yield the metric in text format."""
        raise NotImplementedError


class _Numbers(Metric):
    """A number per combination of label values."""

    def __init__(self, name: str, text: str, kind: str, labels: tuple[str, ...]) -> None:
        super().__init__(name, text, kind, labels)
        self._values: dict[tuple[str, ...], float] = {}

    def lines(self) -> Iterator[str]:
        """Yield the metric in text format."""
        yield self.head()
        for labels, value in sorted(self._values.items()):
            yield f"{self.name}{_labels(self.labels, labels)} {_number(value)}\n"


class Counter(_Numbers):
    """Numbers that only grow. One without labels begins at 0."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, text, "counter", labels)
        if not labels:
            self._values[()] = 0

    def add(self, *labels: str, count: int = 1) -> None:
        """Add one, or `count`."""
        self._values[labels] = self._values.get(labels, 0) + count


class Gauge(_Numbers):
    """Numbers that are set. There is none before the first `set`."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, text, "gauge", labels)

    def set(self, value: float, *labels: str) -> None:
        """Set the number."""
        self._values[labels] = value

    def only(self, keys: Container[str]) -> None:
        """Remove the numbers whose first label is none of these."""
        self._values = {labels: value for labels, value in self._values.items() if labels[0] in keys}


class Sampled(Metric):
    """A gauge that is sampled when it is scraped: `source` returns label values and numbers."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        super().__init__(name, text, "gauge", labels)
        self.source: Callable[[], Iterable[tuple[tuple[str, ...], float]]] = tuple

    def lines(self) -> Iterator[str]:
        """Yield the metric in text format."""
        yield self.head()
        for labels, value in sorted(self.source()):
            yield f"{self.name}{_labels(self.labels, labels)} {_number(value)}\n"


class Histogram(Metric):
    """A histogram of seconds with one label. The default buckets are those of Prometheus' clients."""

    def __init__(self, name: str, text: str, label: str, buckets: tuple[float, ...] = _BUCKETS) -> None:
        super().__init__(name, text, "histogram", (label,))
        self._label = label
        self._buckets = buckets
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, seconds: float, label: str) -> None:
        """Count one observation."""
        counts = self._counts.setdefault(label, [0] * (len(self._buckets) + 1))
        counts[bisect_left(self._buckets, seconds)] += 1
        self._sums[label] = self._sums.get(label, 0.0) + seconds

    def lines(self) -> Iterator[str]:
        """Yield the metric in text format."""
        yield self.head()
        for label, counts in sorted(self._counts.items()):
            total = 0
            for bound, count in zip((*map(str, self._buckets), "+Inf"), counts, strict=True):
                total += count
                shown = bound.removesuffix(".0")
                yield f"{self.name}_bucket{_labels((self._label, 'le'), (label, shown))} {total}\n"
            yield f"{self.name}_sum{_labels((self._label,), (label,))} {self._sums[label]!r}\n"
            yield f"{self.name}_count{_labels((self._label,), (label,))} {total}\n"


class MetricSet:
    """Metrics of one process: its attributes."""

    def all(self) -> list[Metric]:
        """Return the metrics in the order of their output."""
        return [metric for metric in vars(self).values() if isinstance(metric, Metric)]

    def render(self) -> str:
        """Return all metrics in text format."""
        return "".join(line for metric in self.all() for line in metric.lines())


class MembershipMetrics(MetricSet):
    """Metrics of the deny list and of the reads of IAM."""

    def __init__(self) -> None:
        self.deny_list_entries = Gauge(
            "kube_iam_deny_list_entries", "Denials in force when the deny list was read last"
        )
        self.deny_list_invalid_entries = Gauge(
            "kube_iam_deny_list_invalid_entries", "Malformed entries of the deny list"
        )
        self.deny_list_failures = Counter(
            "kube_iam_deny_list_watch_failures_total", "Times that the deny list could not be followed"
        )
        self.membership_age = Sampled(
            "kube_iam_membership_age_seconds", "How long ago the members of an IAM group were read", ("group",)
        )
        self.trust_age = Sampled(
            "kube_iam_role_trust_age_seconds", "How long ago a role's trust policy was read", ("role",)
        )
        self.membership_members = Gauge("kube_iam_membership_members", "Members of an IAM group", ("group",))
        self.membership_failures = Counter(
            "kube_iam_membership_failures_total",
            "Reads of IAM that failed, by what was read (group, role) and why",
            ("kind", "cause"),
        )
        self.role_open = Gauge(
            "kube_iam_role_trust_invalid",
            "1 for a role whose entry admits nobody: its trust policy leaves session names open, or it is not there",
            ("role",),
        )


class Metrics(MembershipMetrics):
    """All metrics of the server."""

    def __init__(self) -> None:
        super().__init__()
        reference = "aws_iam_authenticator_"
        self.latency = Histogram(f"{reference}authenticate_latency_seconds", "Authenticate call latency", "result")
        self.sts_connection_failures = Counter(
            f"{reference}sts_connection_failures_total", "Sts call could not succeed or timedout", ("StsRegion",)
        )
        self.sts_throttling = Counter(f"{reference}sts_throttling_total", "Sts call got throttled", ("StsRegion",))
        self.sts_responses = Counter(
            f"{reference}sts_responses_total", "Sts responses with error code label", ("ResponseCode", "StsRegion")
        )
        self.config_map_watch_failures = Counter(
            f"{reference}configmap_watch_failures_total", "EKS Configmap watch failures"
        )
        self.dynamic_file_failures = Counter(f"{reference}dynamicfile_failures_total", "Dynamic file failures")
        self.dynamic_latency = Histogram(
            f"{reference}dynamic_e2e_latency_seconds",
            "End to end latency in seconds partitioned by type.",
            "type",
            (1, 3, 5, 10, 15, 20, 30, 60),
        )
        self.dynamic_file_enabled = Gauge(f"{reference}dynamic_file_enabled", "Dynamic file in backend mode is enabled")
        self.dynamic_file_only = Gauge(f"{reference}dynamic_file_only", "Only dynamic file in backend mode is enabled")
        self.ec2_calls = Counter(
            f"{reference}ec2_describe_instances_calls_total", "Number of EC2 describe instances calls."
        )
        self.refusals = Counter("kube_iam_refusals_total", "Sign-ins that were not granted, by reason", ("reason",))
        self.reviews = Counter(
            "kube_iam_authorize_reviews_total",
            "Requests for authorization, by result: no_opinion, denied, unavailable (starting), overloaded or malformed_request",
            ("result",),
        )
        self.review_denials = Counter(
            "kube_iam_authorize_denials_total", "Requests for authorization that were denied, by reason", ("reason",)
        )
        self.review_latency = Histogram(
            "kube_iam_authorize_latency_seconds", "Latency of requests for authorization", "result", _FAST_BUCKETS
        )
        self.lookups = Counter(
            "kube_iam_token_lookups_total",
            "Tokens that passed the checks, by where the verdict came from: cache, shared (another request's call) or sts",
            ("source",),
        )
        self.reload_failures = Counter(
            "kube_iam_mapping_reload_failures_total", "Mappings that could not be used", ("backend",)
        )
        self.mappings_emptied = Counter(
            "kube_iam_mappings_emptied_total", "Times that all mappings of a backend were taken away", ("backend",)
        )
        self.watch_failures = Counter(
            "kube_iam_mapping_watch_failures_total",
            "Times that the source of mappings could not be followed",
            ("backend",),
        )
        self.mapping_problems = Gauge(
            "kube_iam_mapping_problems", "What is odd or left out in the mappings in force", ("backend",)
        )
        self.mappings_loaded = Gauge(
            "kube_iam_mapping_loaded_timestamp_seconds", "When the mappings in force were loaded", ("backend",)
        )
        self.mapping_entries = Gauge("kube_iam_mapping_entries", "Entries of the mappings in force", ("backend",))
        self.certificate_ends = Gauge(
            "kube_iam_certificate_not_after_timestamp_seconds", "When the webhook's certificate ends"
        )

        self.open_connections = Sampled(
            "kube_iam_open_connections", "Connections of a listener, webhook or health", ("listener",)
        )
        self.closed_connections = Counter(
            "kube_iam_closed_connections_total",
            "Connections that the server closed: no_request, body (not complete), idle, or limit (too many were open)",
            ("listener", "reason"),
        )


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
