"""The backend CRD keeps what every backend promises, on an API server that can be told to fail."""

from __future__ import annotations

import pytest

from backend_suite import *  # noqa: F403
from kube_sources import Faked, IdentityMappingSource


@pytest.fixture
def source() -> IdentityMappingSource:
    return IdentityMappingSource(Faked())
