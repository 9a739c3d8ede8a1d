"""Requests to the server's handlers without a server, their answers, and the id in a log line."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

from kube_iam.server.http import Scope


class Exchange:
    """Takes one response."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body
        self.answers: list[tuple[int, dict[str, str], bytes]] = []

    async def __call__(self) -> bytes:
        return self.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes, /) -> None:
        self.answers.append((status, dict(headers), body))

    def response_str(self, status: int, headers: list[tuple[str, str]], body: str, /) -> None:
        self.response_bytes(status, headers, body.encode())


def request(path: str, method: str = "GET") -> Scope:
    return cast("Scope", SimpleNamespace(method=method, path=path, client="127.0.0.1:1", headers={}))


def logged_id(line: str) -> str:
    """Return the request id in a log line of either format."""
    (found,) = re.findall(r' requestid=([0-9a-f]{8})(?= |$)|"requestid":"([0-9a-f]{8})"', line)
    return "".join(found)
