"""The STS client behind a circuit per host: silence is waited for once, then probes find out when the host answers again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from kube_iam.aws.sts import StsAnswer
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.server.sts_circuit import StsCircuit

PROBE_SECONDS = 0.5
"""Time from one probe to the next. They overlap: a slow host answers an earlier one, and a lost packet delays one probe only."""


class Client(Protocol):
    """Sends requests to STS."""

    async def get_caller_identity(self, url: str, cluster_id: str) -> StsAnswer | Refusal:
        """Return STS's answer, or the refusal `sts_unreachable` (it failed) or `sts_no_answer`."""

    async def is_silent(self, host: str) -> bool:
        """Return whether the host gives no answer of any kind to an unsigned request."""


class GuardedSts:
    """The verifier's STS (`server.verifier.Sts`). For one event loop."""

    def __init__(
        self,
        client: Client,
        observer: Callable[[str, bool], None],
        circuit: StsCircuit,
        probe_every: float = PROBE_SECONDS,
    ) -> None:
        """`observer` is told the host, and whether it answers, when that changes."""
        self._client = client
        self._observer = observer
        self._circuit = circuit
        self._probe_every = probe_every
        self._probing: dict[str, asyncio.Task[None]] = {}

    async def get_caller_identity(self, url: str, cluster_id: str) -> StsAnswer | Refusal:
        """Return STS's answer, or why there is none; at once where the host has just not answered. Raises what the client raises."""
        host = urlsplit(url).netloc
        if self._circuit.refuses(host):
            self._probe(host)
            return Refusal(Reason.STS_NO_ANSWER, f"{host} has just not answered other requests")
        sent = self._circuit.now()
        answer = await self._client.get_caller_identity(url, cluster_id)
        if isinstance(answer, Refusal) and answer.reason is Reason.STS_NO_ANSWER:
            if self._circuit.request_unanswered(host, sent):
                self._observer(host, False)
            self._probe(host)
        else:
            self._answered(host)
        return answer

    async def close(self) -> None:
        """Stop probing."""
        tasks = list(self._probing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _answered(self, host: str) -> None:
        if self._circuit.answered(host):
            self._observer(host, True)

    def _probe(self, host: str) -> None:
        if host not in self._probing and self._circuit.wants_probe(host):
            self._probing[host] = asyncio.create_task(self._keep_probing(host))

    async def _keep_probing(self, host: str) -> None:
        probes = []
        try:
            while self._circuit.wants_probe(host):
                probes.append(asyncio.create_task(self._probe_once(host)))
                await asyncio.sleep(self._probe_every)
        finally:
            del self._probing[host]
            for probe in probes:
                probe.cancel()

    async def _probe_once(self, host: str) -> None:
        if await self._client.is_silent(host):
            self._circuit.probe_unanswered(host)
        else:
            self._answered(host)
