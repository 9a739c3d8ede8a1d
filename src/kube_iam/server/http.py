"""Answers to HTTP requests: POST /authenticate and /authorize, /metrics and /healthz on the webhook's port, and the health port.

kube-apiserver retries 429, 500 and 504 five times within some 4.5 seconds, and every answer must arrive within 30 seconds. So a quick
temporary failure is answered with one of those. A slow failure, and any failure in an outage that lasts, is answered with 200 and
`error`, which is not retried: with five slow attempts kubectl would wait for half a minute. Retry-After is never sent, because
kube-apiserver's client would then repeat each attempt ten times.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from kube_iam.authn.decide import Allowed, Decision, Denied, Unavailable
from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.token_review import ReviewRequest, decode_review, encode_allowed, encode_denied
from kube_iam.core.tokens import PREFIX
from kube_iam.server.log import Log, Value
from kube_iam.server.metrics import CONTENT_TYPE, MALFORMED_REQUEST, SUCCESS, Metrics

MAX_BODY = 1024 * 1024
TEXT = [("content-type", "text/plain; charset=utf-8")]
JSON = [("content-type", "application/json")]
_MAX_DISCARDED = 32 * MAX_BODY
_DISCARD_SECONDS = 1.0
_QUICK_SECONDS = 3.0
_REQUEST: dict[str, Value] = {"method": "POST", "path": "/authenticate"}
# 32 random bits: within the minutes of a search in two logs, ids do not meet by chance.
_ID_BYTES = 4
_LINE = "line"
# Of status queries (`denylist.status_query`, `core.membership_status`).
_OWN_PREFIXES = (PREFIX, "kube-iam-")


class Headers(Protocol):
    """Request headers, by lower-case name."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a header, or the default."""


class Scope(Protocol):
    """The parts of an RSGI HTTP scope that are used: https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md."""

    method: str
    path: str
    client: str

    @property
    def headers(self) -> Headers:
        """Return the request's headers."""


class Exchange(Protocol):
    """An RSGI HTTP protocol: reads the request's body and sends one response."""

    async def __call__(self) -> bytes:
        """Return the whole body."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes, /) -> None:
        """Send the response."""

    def response_str(self, status: int, headers: list[tuple[str, str]], body: str, /) -> None:
        """Send the response."""


Handler = Callable[[Scope, Exchange], Awaitable[None]]
"""A function that answers one request."""


class Decides(Protocol):
    """Decides about tokens (`authn.decide.Authenticator`)."""

    async def authenticate(self, token: str) -> Decision:
        """Return the decision about a token."""


class Webhook:
    """Answers the requests of the TLS port."""

    def __init__(self, authenticator: Decides, metrics: Metrics, log: Log, authorize: Handler | None = None) -> None:
        """Create the handler. `authorize` answers POST /authorize."""
        self.authenticator = authenticator
        """Decides about the tokens of requests from now on."""
        self._authorize = authorize
        self._metrics = metrics
        self._log = log

    @property
    def is_starting(self) -> bool:
        """Return whether requests are still answered by `Starting`."""
        return isinstance(self.authenticator, Starting)

    async def handle(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request."""
        if scope.path == "/authenticate":
            await self._authenticate(scope, exchange)
        elif scope.path == "/authorize" and self._authorize is not None:
            await self._authorize(scope, exchange)
        elif scope.path == "/healthz":
            exchange.response_str(200, TEXT, "ok")
        elif scope.path == "/metrics":
            exchange.response_str(200, [("content-type", CONTENT_TYPE)], self._metrics.render())
        else:
            exchange.response_str(404, TEXT, "not found\n")

    async def _authenticate(self, scope: Scope, exchange: Exchange) -> None:
        start = time.perf_counter()
        body = await read_post(scope, exchange, self._log)
        request = decode_review(body) if body is not None else None
        if request is None:
            if body is not None:
                expected = "expected a request body to be a TokenReview" if body else "expected a request body"
                refuse_malformed(scope, exchange, self._log, 400, expected)
            self._metrics.latency.observe(time.perf_counter() - start, MALFORMED_REQUEST)
            return
        try:
            decision = await self.authenticator.authenticate(request.token)
        except Exception as error:  # a bug of ours: the token is refused
            answer = with_id("internal error", report_bug(error, scope.client, self._log))
            exchange.response_bytes(500, JSON, encode_denied(request, answer))
            return
        seconds = time.perf_counter() - start
        request_id = _id_of(decision)
        _answer(exchange, request, decision, seconds, request_id)
        self._count(decision, seconds, scope.client, request_id)

    def _count(self, decision: Decision, seconds: float, client: str, request_id: str) -> None:
        if isinstance(decision, Allowed):
            self._metrics.latency.observe(seconds, SUCCESS)
        else:
            self._metrics.latency.observe(seconds, decision.refusal.reason.metric)
            self._metrics.refusals.add(decision.refusal.reason.value)
        log_decision(self._log, decision, client, seconds, request_id)


def _id_of(decision: Decision) -> str:
    """Return a new random id of 8 hex digits for a refusal. Empty for a sign-in, and for the answer to a status query."""
    if isinstance(decision, Allowed) or decision.refusal.reason is Reason.STATUS_QUERY:
        return ""
    return new_id()


def _answer(exchange: Exchange, request: ReviewRequest, decision: Decision, seconds: float, request_id: str) -> None:
    if isinstance(decision, Allowed):
        exchange.response_bytes(200, JSON, _granted(request, decision))
    else:
        error = with_id(decision.refusal.message, request_id)
        exchange.response_bytes(_status(decision, seconds), JSON, encode_denied(request, error))


def _status(decision: Denied | Unavailable, seconds: float) -> int:
    if isinstance(decision, Denied) or seconds > _QUICK_SECONDS:
        return 200
    if decision.refusal.lasting or decision.refusal.reason is Reason.STS_NO_ANSWER:
        return 200
    return 429 if decision.throttled else 504


def _granted(request: ReviewRequest, decision: Allowed) -> bytes:
    # kube-apiserver asks for the same version every time, so the last answer can mostly be sent again.
    last: tuple[str, bytes] | None = decision.cache.get("answer")
    if last is None or last[0] != request.api_version:
        last = (request.api_version, encode_allowed(request, decision.user))
        if _LINE in decision.cache:
            decision.cache["answer"] = last
    return last[1]


async def read_post(scope: Scope, exchange: Exchange, log: Log) -> bytes | None:
    """Return the body of a POST. Answer any other method, and a body longer than MAX_BODY, with an error, and return None."""
    if scope.method != "POST":
        refuse_malformed(scope, exchange, log, 405, "expected POST")
        return None
    body = await _read(scope, exchange)
    if body is None:
        refuse_malformed(scope, exchange, log, 413, f"expected a request body of at most {MAX_BODY} bytes")
    return body


def refuse_malformed(scope: Scope, exchange: Exchange, log: Log, status: int, expected: str) -> None:
    """Answer a request that is none of the path's, and log it."""
    headers = [*TEXT, ("allow", "POST")] if status == 405 else TEXT
    exchange.response_str(status, headers, expected + "\n")
    what = "unexpected request method" if status == 405 else "could not parse request body"
    log.error(what, error=expected, client=scope.client, method=scope.method, path=scope.path)


def report_bug(error: Exception, client: str, log: Log) -> str:
    """Log the kind of an exception that nothing has caught. Return its id. Its message, which may hold a secret, is not shown."""
    request_id = new_id()
    log.error("unexpected error", requestid=request_id, error=type(error).__name__, client=client)
    return request_id


def new_id() -> str:
    """Return a new random request id of 8 hex digits."""
    return os.urandom(_ID_BYTES).hex()


def with_id(error: str, request_id: str) -> str:
    """Return the text of an answer with its request id."""
    return f"{error} (request {request_id})" if request_id else error


async def _read(scope: Scope, exchange: Exchange) -> bytes | None:
    """Return the body, or None where it is longer than MAX_BODY."""
    announced = scope.headers.get("content-length", "")
    if announced.isdigit() and int(announced) <= MAX_BODY:
        # The HTTP layer delivers exactly as much as was announced. One piece is several times faster than several.
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


class Starting:
    """The authenticator while the server starts and has not loaded what a decision needs. Signs nobody in."""

    async def authenticate(self, token: str) -> Decision:
        """Return Unavailable, or Denied for a token that is not ours. Raises nothing."""
        if token.startswith(_OWN_PREFIXES):
            return Unavailable(
                Refusal(Reason.MAPPINGS_NOT_LOADED, "the server is starting; try again"), throttled=False
            )
        # kube-apiserver asks about tokens of service accounts too. Their requests must not wait.
        return Denied(Refusal(Reason.TOKEN_PREFIX))


class Health:
    """Answers requests of the health port, for kubelet: /healthz for liveness, /readyz for readiness.

    `why_not_ready` returns an empty string when the server can decide.
    """

    def __init__(self, why_not_ready: Callable[[], str], scrub: Callable[[str], str]) -> None:
        """Create the handler. `scrub` removes account ids from answers, because this port needs no sign-in."""
        self._why_not_ready = why_not_ready
        self._scrub = scrub

    async def handle(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request. Every path but /readyz answers for liveness, as the reference's port does."""
        reason = self._why_not_ready() if scope.path == "/readyz" else ""
        exchange.response_str(503 if reason else 200, TEXT, self._scrub(reason) or "ok")


def log_decision(log: Log, decision: Decision, client: str, seconds: float, request_id: str) -> None:
    """Write one log line about a decision: user, mapping, or reason of the refusal; client; latency in seconds. Never the token.

    `request_id` is the id in the answer that refuses, which kube-apiserver logs; empty where there is none.

    The level is info for a sign-in, warning for a refusal, and debug for a status query or a token of another kind. Neither ARN nor
    ids are written of an identity in a scrubbed account. Messages and names of fields are the reference's, whose line "STS response"
    is part of ours.
    """
    if isinstance(decision, Allowed):
        # Formatting the line would be most of the cost of a cached token. Both are kept from the second sign-in on: most sessions
        # sign in once, and 8,192 of them would hold 14 MB.
        write = decision.cache.get(_LINE)
        if write is None:
            write = log.form("info", "access granted", _granted_fields(decision), ("client", "latency"))
            decision.cache[_LINE] = write if _LINE in decision.cache else None
        write(client=client, latency=seconds)
        return
    fields: dict[str, Value] = {"client": client, "latency": seconds, **_REQUEST}
    identity = decision.identity
    if identity is not None and not decision.scrubbed:
        fields |= _identity_fields(identity)
    fields |= {"reason": decision.refusal.reason.value, "error": decision.refusal.message}
    if request_id:
        fields["requestid"] = request_id
    if decision.refusal.reason is Reason.STATUS_QUERY:
        # Sending one needs no sign-in.
        log.debug("status query", **fields)
        return
    # kube-apiserver asks every authenticator about every bearer token, also about those of service accounts.
    foreign = decision.refusal.reason is Reason.TOKEN_PREFIX
    log.write("debug" if foreign else "warning", "access denied", fields)


def _granted_fields(decision: Allowed) -> dict[str, Value]:
    fields = dict(_REQUEST)
    if not decision.scrubbed:
        fields |= _identity_fields(decision.identity)
    user = decision.user
    account = decision.identity.account_id
    # mapAccounts makes the ARN the user name, and {{AccountID}} may stand in any name.
    if not (decision.scrubbed and account in user.username):
        fields |= {"username": user.username, "uid": user.uid}
    if not (decision.scrubbed and any(account in group for group in user.groups)):
        fields["groups"] = user.groups
    return fields | {"mapping": decision.source, "stsendpoint": decision.identity.sts_host}


def _identity_fields(identity: Identity) -> dict[str, Value]:
    return {
        "arn": identity.canonical_arn,
        "accountid": identity.account_id,
        "userid": identity.user_id,
        "session": identity.session_name,
        "accesskeyid": identity.access_key_id,
        "stsendpoint": identity.sts_host,
    }
