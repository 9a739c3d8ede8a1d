"""A fake STS for contract tests: a real HTTPS server on loopback that plays scripted answers and remembers what it was asked.

It verifies nothing. What a real STS would refuse is the sandbox's matter.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from https_server import HttpsServer, Request


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """A reply to send. A status of 0 closes the connection without a word."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def identity_answer(arn: str, user_id: str, account: str = "123456789012") -> Answer:
    result = {"Account": account, "Arn": arn, "UserId": user_id}
    answer = {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": {"RequestId": "1"}}}
    return Answer(body=json.dumps(answer).encode())


def error_answer(
    status: int, code: str, message: str = "The Canonical String was GET / X-Amz-Signature=quoted"
) -> Answer:
    error = {"Error": {"Code": code, "Message": message, "Type": "Sender"}}
    return Answer(status=status, body=json.dumps(error).encode())


class FakeSts:
    """`play` decides the answer; `asked` holds every request. Answers wait for `may_answer`."""

    def __init__(self, directory: Path) -> None:
        self.asked: list[Asked] = []
        self.play: Callable[[Asked], Answer] = lambda _: Answer(500)
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._server = HttpsServer(directory, self._answer)
        self.ca, self.authority = self._server.ca, self._server.authority

    def stop(self) -> None:
        self.may_answer.set()
        self._server.stop()

    def _answer(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        asked = Asked(request.method, request.target, request.headers)
        self.asked.append(asked)
        answer = self.play(asked)
        self.may_answer.wait(30)
        return answer.status, answer.headers, answer.body
