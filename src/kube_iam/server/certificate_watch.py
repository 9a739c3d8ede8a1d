"""Follows the certificate while the server runs: a pair that an installer renews comes into use without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kube_iam.errors import KubeIamError
from kube_iam.server.certificates import TlsPair, load_pair
from kube_iam.server.log import Log

LOOK_SECONDS = 5.0
SOON = timedelta(days=30)


async def follow_certificate(
    state_dir: Path, current: TlsPair, renew: Callable[[TlsPair], Awaitable[None]], log: Log
) -> None:
    """Look every few seconds, until cancelled. A pair that cannot be used is reported once and the one in use stays."""
    failed = ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            pair = await asyncio.to_thread(load_pair, state_dir, datetime.now(UTC))
            if pair.certificate_pem != current.certificate_pem or pair.key_pem != current.key_pem:
                await renew(pair)
                log.info("certificate renewed", notafter=pair.not_after.isoformat())
                current = pair
            failed = ""
        except KubeIamError as error:
            if str(error) != failed:
                failed = str(error)
                log.error("certificate not usable; the one in use stays", error=failed)


def warn_of_end(pair: TlsPair, now: datetime, log: Log) -> None:
    """Say so when the certificate ends soon."""
    if pair.not_after - now < SOON:
        log.warning("certificate ends soon", notafter=pair.not_after.isoformat())
