"""The tally that the cases of a run share, of all xdist workers together, and its report at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from clusters import Clusters, two_clusters
from tally import Tally

from kube_iam.sandbox.control_plane import BUILD_COMMAND, find_binaries
from required import missing

_TALLY = pytest.StashKey[Tally]()
_OUTPUT = "conformance"


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Tally:
    return _tally(request.config)


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    binaries = find_binaries(os.environ) or missing("a kube-apiserver or etcd", BUILD_COMMAND)
    with two_clusters(tmp_path_factory.mktemp("clusters"), binaries) as both:
        yield both


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Add what a worker of xdist has counted."""
    counted = getattr(node, "workeroutput", {}).get(_OUTPUT)
    if counted is not None:
        _tally(node.config).add(Tally.of_plain(counted))  # type: ignore[attr-defined]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give the controller of xdist what was counted, or end with a failure where a complete run did not show each row."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = _tally(session.config).plain()
    elif session.exitstatus == pytest.ExitCode.OK and _tally(session.config).gaps():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    """Print the tally, where there is one, after all else."""
    yield
    tally = _tally(config)
    if tally.cases:
        terminalreporter.section("conformance")
        for line in (*tally.report(), *tally.gaps()):
            terminalreporter.write_line(line)


def _tally(config: pytest.Config) -> Tally:
    return config.stash.setdefault(_TALLY, Tally())
