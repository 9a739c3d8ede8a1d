"""The webhook's HTTP side: POST /authenticate, /metrics and /healthz.

kube-apiserver retries 429, 500 and 504 five times within some 4.5 seconds, and every answer must arrive within 30 seconds. So a quick
temporary failure is answered with one of those. A slow one, and any in an outage that lasts, is answered with 200 and `error`, which
is not retried: five slow attempts would keep kubectl waiting for half a minute. Retry-After is never sent: kube-apiserver's client
then repeats each attempt ten times.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from kube_iam.authn.decide import Allowed, Decision, Denied, Unavailable
from kube_iam.core.reasons import Reason
from kube_iam.core.token_review import ReviewRequest, decode_review, encode_allowed, encode_denied
from kube_iam.server.decision_log import log_decision
from kube_iam.server.log import Log
from kube_iam.server.metrics import CONTENT_TYPE, MALFORMED_REQUEST, SUCCESS, Metrics

MAX_BODY = 1024 * 1024
_MAX_DISCARDED = 32 * MAX_BODY
_DISCARD_SECONDS = 1.0
_TEXT = [("content-type", "text/plain; charset=utf-8")]
_JSON = [("content-type", "application/json")]
_QUICK_SECONDS = 3.0


class Headers(Protocol):
    """Request headers, by lower-case name."""

    def get(self, key: str, default: Any = None) -> Any:
        """The header's value, else the default."""


class Scope(Protocol):
    """An RSGI HTTP scope, as far as it is used: https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md."""

    method: str
    path: str
    client: str

    @property
    def headers(self) -> Headers:
        """The request's headers."""


class Exchange(Protocol):
    """An RSGI HTTP protocol: the body comes in, one response goes out."""

    async def __call__(self) -> bytes:
        """The whole body."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, piece by piece."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes, /) -> None:
        """Send the response."""

    def response_str(self, status: int, headers: list[tuple[str, str]], body: str, /) -> None:
        """Send the response."""


class Decides(Protocol):
    """Decides about tokens (`authn.decide.Authenticator`)."""

    async def authenticate(self, token: str) -> Decision:
        """Return the decision about a token."""


Handler = Callable[[Scope, Exchange], Awaitable[None]]
"""Answers one request."""


class Webhook:
    """Answers the requests of the TLS port."""

    def __init__(self, authenticator: Decides, metrics: Metrics, log: Log) -> None:
        self.authenticator = authenticator
        """Decides about the tokens of requests from now on."""
        self._metrics = metrics
        self._log = log

    async def handle(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request."""
        if scope.path == "/authenticate":
            await self._authenticate(scope, exchange)
        elif scope.path == "/healthz":
            exchange.response_str(200, _TEXT, "ok")
        elif scope.path == "/metrics":
            exchange.response_str(200, [("content-type", CONTENT_TYPE)], self._metrics.render())
        else:
            exchange.response_str(404, _TEXT, "not found\n")

    async def _authenticate(self, scope: Scope, exchange: Exchange) -> None:
        start = time.perf_counter()
        if scope.method != "POST":
            self._malformed(scope, exchange, start, 405, "expected POST")
            return
        body = await _read(scope, exchange)
        if body is None:
            self._malformed(scope, exchange, start, 413, f"expected a request body of at most {MAX_BODY} bytes")
            return
        request = decode_review(body)
        if request is None:
            expected = "expected a request body to be a TokenReview" if body else "expected a request body"
            self._malformed(scope, exchange, start, 400, expected)
            return
        try:
            decision = await self.authenticator.authenticate(request.token)
        except Exception as error:  # a bug of ours: nobody gets in, and no message that may hold a secret gets out
            self._log.error("unexpected error", error=type(error).__name__, client=scope.client)
            exchange.response_bytes(500, _JSON, encode_denied(request, "internal error"))
            return
        seconds = time.perf_counter() - start
        _answer(exchange, request, decision, seconds)
        self._count(decision, seconds, scope.client)

    def _count(self, decision: Decision, seconds: float, client: str) -> None:
        if isinstance(decision, Allowed):
            self._metrics.latency.observe(seconds, SUCCESS)
        else:
            self._metrics.latency.observe(seconds, decision.refusal.reason.metric)
            self._metrics.refusals.add(decision.refusal.reason.value)
        log_decision(self._log, decision, client, seconds)

    def _malformed(self, scope: Scope, exchange: Exchange, start: float, status: int, expected: str) -> None:
        headers = [*_TEXT, ("allow", "POST")] if status == 405 else _TEXT
        exchange.response_str(status, headers, expected + "\n")
        self._metrics.latency.observe(time.perf_counter() - start, MALFORMED_REQUEST)
        what = "unexpected request method" if status == 405 else "could not parse request body"
        self._log.error(what, error=expected, client=scope.client, method=scope.method, path=scope.path)


def _answer(exchange: Exchange, request: ReviewRequest, decision: Decision, seconds: float) -> None:
    if isinstance(decision, Allowed):
        exchange.response_bytes(200, _JSON, _granted(request, decision))
    else:
        exchange.response_bytes(_status(decision, seconds), _JSON, encode_denied(request, decision.refusal.message))


def _status(decision: Denied | Unavailable, seconds: float) -> int:
    if isinstance(decision, Denied) or seconds > _QUICK_SECONDS:
        return 200
    if decision.refusal.lasting or decision.refusal.reason is Reason.STS_NO_ANSWER:
        return 200
    return 429 if decision.throttled else 504


def _granted(request: ReviewRequest, decision: Allowed) -> bytes:
    # kube-apiserver asks for the same version every time, so the last answer is most often the next one too.
    last: tuple[str, bytes] | None = decision.cache.get("answer")
    if last is None or last[0] != request.api_version:
        last = decision.cache["answer"] = (request.api_version, encode_allowed(request, decision.user))
    return last[1]


async def _read(scope: Scope, exchange: Exchange) -> bytes | None:
    """Return the body, or None where it is longer than MAX_BODY."""
    announced = scope.headers.get("content-length", "")
    if announced.isdigit() and int(announced) <= MAX_BODY:
        # The HTTP layer delivers exactly as much as was announced. In one piece is several times faster than piece by piece.
        return await exchange()
    if announced and scope.headers.get("expect"):  # the client asks before it sends
        return None
    pieces = aiter(exchange)
    if not announced:
        body = b""
        async for piece in pieces:
            body += piece
            if len(body) > MAX_BODY:
                break
        else:
            return body
    await _discard(pieces)
    return None


async def _discard(pieces: AsyncIterator[bytes]) -> None:
    """Read the rest of a body that is too long, up to 32 MiB and one second.

    A client that is still sending may miss an answer that comes at once: curl 7.88 reports a stream error of HTTP/2.
    """
    length = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for piece in pieces:
                length += len(piece)
                if length > _MAX_DISCARDED:
                    return
