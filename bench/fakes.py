"""The fake STS (`tools/fakests`): started, set, and asked what it was asked."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kube_iam.sandbox.certificates import Authority

REGION = "us-east-1"
HOSTS = ("sts.us-east-1.amazonaws.com", "sts.amazonaws.com", "localhost", "127.0.0.1")


class FakeSts:
    """A running fake. Programs reach it through `proxy_url` when they trust `ca`."""

    def __init__(self, program: str, directory: Path) -> None:
        directory.mkdir(parents=True)
        authority = Authority(directory)
        pair = authority.server("sts", HOSTS)
        self.ca = authority.path
        self.process = subprocess.Popen(  # noqa: S603
            [program, "-cert", str(pair.certificate), "-key", str(pair.key)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port, self._control = (int(port) for port in self.process.stdout.readline().split())
        self.proxy_url = f"http://127.0.0.1:{self.port}"

    def set(self, *, delay_ms: float, http2: bool = False) -> None:
        """Answer after that long from now on, offer HTTP/2 or not, and count from zero."""
        self._ask(f"/set?delay={delay_ms}ms&h2={str(http2).lower()}&reset=1", "POST")

    def counts(self) -> dict[str, Any]:
        """Return the number of calls of each action, of opened `tunnels`, and the `cpu_seconds` used since the start."""
        return self._ask("/counts", "GET")

    def environment(self) -> dict[str, str]:
        """Return the variables that make a program use this as STS."""
        return {
            "HTTPS_PROXY": self.proxy_url,
            "NO_PROXY": "127.0.0.1,localhost",
            "SSL_CERT_FILE": str(self.ca),
            "AWS_CA_BUNDLE": str(self.ca),
            "AWS_REGION": REGION,
            "AWS_STS_REGIONAL_ENDPOINTS": "regional",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()

    def _ask(self, path: str, method: str) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self._control}{path}", method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found


@contextmanager
def fake_sts(program: str, directory: Path) -> Iterator[FakeSts]:
    """Yield a running fake."""
    fake = FakeSts(program, directory)
    try:
        yield fake
    finally:
        fake.close()
