"""What a test needs and this machine may lack."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test for want of something, or fail it where everything is required (KUBE_IAM_REQUIRE_ALL=1, as .ci/run sets)."""
    reason = f"{what} is missing: {remedy}"
    if os.environ.get("KUBE_IAM_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
