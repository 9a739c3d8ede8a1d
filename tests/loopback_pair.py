"""One certificate with its key for the servers of tests on loopback, made once per process: one costs a third of a second."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from kube_iam.server import pem


def put_pair(directory: Path) -> None:
    """Write cert.pem and key.pem for localhost and 127.0.0.1, as the server makes them, into a directory that may be new."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate, key = _pair()
    (directory / "key.pem").write_text(key)
    (directory / "key.pem").chmod(0o600)
    (directory / "cert.pem").write_text(certificate)


@cache
def _pair() -> tuple[str, str]:
    key = pem.answer({})["key"]
    named = {"hostname": "localhost", "address": "127.0.0.1", "now": datetime.now(UTC).isoformat()}
    return pem.answer({"key": key, **named})["certificate"], key
