"""A real etcd and kube-apiserver for tests that need nothing else: no webhook, no AWS account."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kube_iam.kube.client import KubeApi
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import Binaries, start_control_plane
from kube_iam.sandbox.state import Home

Connect = Callable[[], KubeApi]


@contextmanager
def control_plane(directory: Path, binaries: Binaries) -> Iterator[Connect]:
    """Run a control plane. Yield a function that makes a new connection to it as its administrator."""
    home = Home(directory / "sandbox")
    home.create()
    try:
        start_control_plane(home, Authority(home.tls), binaries)
        yield lambda: KubeApi(environ=os.environ, kubeconfig=str(home.kubeconfig))
    finally:
        for name in ("kube-apiserver", "etcd"):
            home.process(name).stop()
