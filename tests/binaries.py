"""The binaries of a real control plane, for the fixtures and tests that start one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from required import missing

if TYPE_CHECKING:
    from kube_iam.sandbox.control_plane import Binaries


def control_plane_binaries() -> Binaries:
    """Return the paths of kube-apiserver and etcd. Skip the test if they are not built."""
    from kube_iam.sandbox.control_plane import BUILD_COMMAND, find_binaries

    return find_binaries(os.environ) or missing("a kube-apiserver or etcd", BUILD_COMMAND)
