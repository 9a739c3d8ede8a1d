"""What the cases of a session share: the tally, and its report at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from clusters import Clusters, two_clusters
from tally import Tally

from kube_iam.sandbox.control_plane import BUILD_COMMAND, find_binaries
from required import missing

_TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Tally:
    return request.config.stash.setdefault(_TALLY, Tally())


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    binaries = find_binaries(os.environ) or missing("a kube-apiserver or etcd", BUILD_COMMAND)
    with two_clusters(tmp_path_factory.mktemp("clusters"), binaries) as both:
        yield both


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tally, where there is one. Under xdist it would be a worker's: `make` runs these tests in one process."""
    tally = config.stash.get(_TALLY, None)
    if tally is not None and tally.cases:
        terminalreporter.section("conformance")
        for line in tally.report():
            terminalreporter.write_line(line)
