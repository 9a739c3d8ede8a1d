"""Requirements of tests that this machine may lack: skipped here, failed where everything is required (KUBE_IAM_REQUIRE_ALL).

`fail_skips` is the one place that decides. It sees every skip: `missing`, `pytest.skip`, skipif and importorskip. A test that cannot
mean anything on this system says so with `not_applicable` or `linux_only`, and stays a skip.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from typing import NoReturn

import pytest

_NOT_APPLICABLE = "not applicable here: "
linux_only = pytest.mark.skipif(sys.platform != "linux", reason=f"{_NOT_APPLICABLE}reads /proc")


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test because `what` is missing. With KUBE_IAM_REQUIRE_ALL=1, as .ci/run sets, the test fails."""
    pytest.skip(f"{what} is missing: {remedy}")


def not_applicable(reason: str) -> NoReturn:
    """Skip a test that can show nothing on this system, whatever is installed. It is never a failure."""
    pytest.skip(_NOT_APPLICABLE + reason)


def everything_required(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a skip is a failure: any value of KUBE_IAM_REQUIRE_ALL but "" and "0"."""
    return environ.get("KUBE_IAM_REQUIRE_ALL", "") not in ("", "0")


def fail_skips(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure with the reason. Expected failures and tests that do not apply stay what they are."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(_NOT_APPLICABLE):
        report.outcome = "failed"
        report.longrepr = f"everything is required (KUBE_IAM_REQUIRE_ALL), and this was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if everything_required():
        fail_skips(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if everything_required():
        fail_skips(report)
    return report
