"""What the cases of a session share: the tally, and its report at the end."""

from __future__ import annotations

import pytest
from tally import Tally

_TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Tally:
    return request.config.stash.setdefault(_TALLY, Tally())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tally. Under xdist it is the workers' and is not printed; the cases fail there as anywhere."""
    tally = config.stash.get(_TALLY, None)
    if tally is not None:
        terminalreporter.section("conformance")
        for line in tally.report():
            terminalreporter.write_line(line)
