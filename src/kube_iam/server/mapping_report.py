"""What backends report, in the log and in the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable

from kube_iam.config.backends import DYNAMIC_FILE, EKS_CONFIG_MAP
from kube_iam.config.dynamic import Stamp
from kube_iam.errors import ConfigError, KubeIamError, Problem
from kube_iam.server.log import Log
from kube_iam.server.metrics import Metrics

_MOST_LOGGED = 100
"""Problems of one version of a source that are logged one by one: each reload logs them anew."""


class MappingReport:
    """The server's `mappings.backend.Observer`."""

    def __init__(self, log: Log, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._entries: dict[str, int] = {}
        self.changed: Callable[[], None] = lambda: None
        """Called when other mappings are in force than before."""

    def loaded(self, backend: str, entries: int, warnings: list[Problem]) -> None:
        """Log what is odd about the mappings, and that they are in force; that there are none any more is an error."""
        self._log_each("warning", backend, [str(warning) for warning in warnings[:_MOST_LOGGED]], len(warnings))
        before, self._entries[backend] = self._entries.get(backend, 0), entries
        if before and not entries:
            self._log.error("all mappings of the backend are gone: it admits nobody", backend=backend, before=before)
            self._metrics.mappings_emptied.add(backend)
        self._log.info("mappings loaded", backend=backend, entries=entries)
        self._metrics.mappings_loaded.set(self._clock(), backend)
        self._metrics.mapping_entries.set(entries, backend)
        self._metrics.mapping_problems.set(len(warnings), backend)
        self.changed()

    def failed(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        """Log every problem, and what is in force all the same."""
        outcome = "the last good ones stay in force" if kept else "nobody can sign in until they are repaired"
        problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigError) else [str(error)]
        self._log_each("error", backend, problems[:_MOST_LOGGED], len(problems))
        self._log.error(f"mappings cannot be used; {outcome}", backend=backend, problems=len(problems))
        self._metrics.reload_failures.add(backend)
        if backend == DYNAMIC_FILE:
            self._metrics.dynamic_file_failures.add()

    def _log_each(self, level: str, backend: str, problems: list[str], total: int) -> None:
        for problem in problems:
            self._log.write(level, "mapping", {"backend": backend, "problem": problem})
        if total > len(problems):
            hint = "`kube-iam server --check-config` prints all those of config.yaml"
            self._log.write(level, "mapping", {"backend": backend, "more": total - len(problems), "hint": hint})

    def interrupted(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        """Log that the source cannot be followed, and what is in force all the same."""
        outcome = "the last good ones stay in force" if kept else "nobody can sign in until it can"
        self._log.error(f"mappings cannot be followed; {outcome}", backend=backend, problem=str(error))
        self._metrics.watch_failures.add(backend)
        if backend == EKS_CONFIG_MAP:
            self._metrics.config_map_watch_failures.add()
        if backend == DYNAMIC_FILE:
            self._metrics.dynamic_file_failures.add()

    def arrived(self, kind: str, stamp: Stamp) -> None:
        """Count how long it took, in whole seconds, where the stamp can be believed."""
        took = None if stamp.updated is None else int(self._clock()) - stamp.updated
        if took is None or took < 0:
            self._log.warning("LastUpdatedDateTime is missing, no Unix time, or in the future", type=kind)
            return
        self._metrics.dynamic_latency.observe(took, kind)
        self._log.info("a change has arrived", type=kind, version=stamp.version, latency=took)

    def chained(self, backends: tuple[str, ...]) -> None:
        """Log the order, and set what the reference's dashboards show of it: `only` and `enabled` are never both 1."""
        self._log.info("backends", order=backends)
        self._metrics.dynamic_file_only.set(int(backends == (DYNAMIC_FILE,)))
        self._metrics.dynamic_file_enabled.set(int(DYNAMIC_FILE in backends and len(backends) > 1))
        self.changed()

    def troubled(self, backend: str, error: KubeIamError) -> None:
        """Log it."""
        self._log.warning("beside the mappings", backend=backend, problem=str(error))
