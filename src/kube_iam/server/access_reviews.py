"""Answers to POST /authorize: kube-apiserver's authorization webhook asks about each request of a user.

An answer is 200 with "denied" or "no opinion". Where there is no answer yet it is an HTTP error, so that kube-apiserver's
`failurePolicy` decides. kube-apiserver repeats 429, 500 and 504 for some 4.5 s and no other status. So a start, which takes a moment,
is answered with 504, and a source that cannot be read with 503.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kube_iam.authn.authorize import UNDECIDED, StartingAuthorizer
from kube_iam.core.bounded_cache import BoundedCache
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.subject_access_review import (
    NO_OPINION,
    AccessReview,
    ReviewedUser,
    decode_access_review,
    encode_denied_review,
)
from kube_iam.server.http import (
    JSON,
    TEXT,
    Exchange,
    Scope,
    new_id,
    read_post,
    refuse_malformed,
    report_bug,
    with_id,
)
from kube_iam.server.log import Log
from kube_iam.server.metrics import MALFORMED_REQUEST, Metrics

MAX_CONCURRENT = 1024
"""Reviews that are answered at once. kube-apiserver answers 600 requests at once by default."""
LOG_PAUSE = 10.0
"""Seconds in which denials of one user for one reason share a log line and a request id."""
_LOGGED = 4096
_LONGEST = 1024
"""Characters of a name or uid that are logged and remembered."""
_EXPECTED = "expected a request body to be a SubjectAccessReview of authorization.k8s.io/v1 or v1beta1"


class Reviews(Protocol):
    """Decides about the requests of users (`authn.authorize.Authorizer`)."""

    async def review(self, user: ReviewedUser) -> Refusal | None:
        """Return why requests of the user are denied or cannot be decided, or None for no opinion."""


@dataclass(frozen=True, slots=True)
class _Denial:
    """A denial that was logged. `bodies` are its answers by API version."""

    request_id: str
    bodies: dict[str, bytes]


class AccessReviews:
    """Answers requests for authorization, one at a time each, and counts them."""

    def __init__(self, metrics: Metrics, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self.authorizer: Reviews = StartingAuthorizer()
        """Decides from now on."""
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._concurrent = 0
        self._logged: BoundedCache[tuple[str, str, Reason], _Denial] = BoundedCache(_LOGGED)

    async def handle(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request."""
        if self._concurrent >= MAX_CONCURRENT:
            exchange.response_str(429, TEXT, "too many requests for authorization at once\n")
            self._metrics.reviews.add("overloaded")
            return
        start = time.perf_counter()
        self._concurrent += 1
        try:
            result = await self._answer(scope, exchange, start)
        finally:
            self._concurrent -= 1
        self._metrics.reviews.add(result)
        self._metrics.review_latency.observe(time.perf_counter() - start, result)

    async def _answer(self, scope: Scope, exchange: Exchange, start: float) -> str:
        """Answer one request. Return the result for the metrics."""
        body = await read_post(scope, exchange, self._log)
        if body is None:
            return MALFORMED_REQUEST
        review = decode_access_review(body)
        if review is None:
            refuse_malformed(scope, exchange, self._log, 400, _EXPECTED if body else "expected a request body")
            return MALFORMED_REQUEST
        try:
            refusal = await self.authorizer.review(review.user)
        except Exception as error:  # a bug of ours: kube-apiserver's failurePolicy decides
            text = with_id("internal error", report_bug(error, scope.client, self._log))
            exchange.response_str(500, TEXT, text + "\n")
            return "unavailable"
        if refusal is None:
            exchange.response_bytes(200, JSON, NO_OPINION[review.api_version])
            return "no_opinion"
        denial = self._denial(review, refusal, scope.client, start)
        if refusal.reason in UNDECIDED:
            status = 504 if isinstance(self.authorizer, StartingAuthorizer) else 503
            exchange.response_str(status, TEXT, with_id(refusal.reason.sentence, denial.request_id) + "\n")
            return "unavailable"
        exchange.response_bytes(200, JSON, denial.bodies[review.api_version])
        self._metrics.review_denials.add(refusal.reason.value)
        return "denied"

    def _denial(self, review: AccessReview, refusal: Refusal, client: str, start: float) -> _Denial:
        """Return the answer that denies, and log it unless the same one was logged a moment ago.

        The answer holds the reason's sentence and no detail: anybody who can connect may ask about anybody.
        """
        now = self._clock()
        name, uid = review.user.name[:_LONGEST], review.user.uid[:_LONGEST]
        key = (name, uid, refusal.reason)
        denial = self._logged.get(key, now)
        if denial is None:
            denial = _Denial(new_id(), {})
            self._logged.put(key, denial, now + LOG_PAUSE)
            self._log.warning(
                "authorization undecided" if refusal.reason in UNDECIDED else "authorization denied",
                client=client,
                latency=time.perf_counter() - start,
                username=name,
                uid=uid,
                reason=refusal.reason.value,
                error=refusal.message,
                requestid=denial.request_id,
                method="POST",
                path="/authorize",
            )
        if review.api_version not in denial.bodies:
            reason = with_id(refusal.reason.sentence, denial.request_id)
            denial.bodies[review.api_version] = encode_denied_review(review.api_version, reason)
        return denial
