"""Liveness and readiness in plain HTTP, for kubelet: /healthz is whether the process answers, /readyz whether it can decide."""

from __future__ import annotations

from collections.abc import Callable

from kube_iam.server.webhook import Exchange, Scope

_TEXT = [("content-type", "text/plain; charset=utf-8")]


class Health:
    """Answers the requests of the health port. `why_not_ready` returns an empty string when the server can decide."""

    def __init__(self, why_not_ready: Callable[[], str], scrub: Callable[[str], str]) -> None:
        """`scrub` hides what must not be shown: nobody has to sign in to ask."""
        self._why_not_ready = why_not_ready
        self._scrub = scrub

    async def handle(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request. As the reference's does, every path but /readyz says that the process lives."""
        reason = self._why_not_ready() if scope.path == "/readyz" else ""
        exchange.response_str(503 if reason else 200, _TEXT, self._scrub(reason) or "ok")
