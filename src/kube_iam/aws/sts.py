"""The server's one call to AWS: GET the rebuilt GetCallerIdentity URL, whose signature STS checks.

HTTPS only, redirects are not followed, the answer is bounded, and no message holds the URL: it carries the signature.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.request import RequestBuilder

from kube_iam.aws.https import build_client
from kube_iam.core.credentials import check_environment
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.sts_response import is_throttling

TIMEOUT_SECONDS = 5
MAX_BODY = 64 * 1024
_RETRIED_SECONDS = 1.0  # after a failure that took longer there is no second attempt
_LETTING_GO_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class StsAnswer:
    """Answer of STS, not yet checked. The body is left out of `repr`: an STS error quotes the signed request."""

    status: int
    content_type: str
    body: bytes

    def __repr__(self) -> str:
        return f"StsAnswer(status={self.status})"


class StsClient:
    """Client that has STS identify the signer of a request. One instance serves one event loop and reuses its connections."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get_caller_identity(self, url: str, cluster_id: str) -> StsAnswer | Refusal:
        """Send the request, a second time when it failed at once: no connection, a connection that was cut, or a fault of STS.

        A refusal is `sts_no_answer` where nothing came within TIMEOUT_SECONDS for both attempts, else `sts_unreachable`.
        """
        start = time.monotonic()
        answer = await self._attempt(url, cluster_id, TIMEOUT_SECONDS)
        took = time.monotonic() - start
        if took > _RETRIED_SECONDS or not _failed(answer):
            return answer
        return await self._attempt(url, cluster_id, TIMEOUT_SECONDS - took)

    async def is_silent(self, host: str) -> bool:
        """Send an unsigned request, and return whether nothing came within TIMEOUT_SECONDS: no answer, and no failure either."""
        answer = await self._attempt(f"https://{host}/", "", TIMEOUT_SECONDS)
        return isinstance(answer, Refusal) and answer.reason is Reason.STS_NO_ANSWER

    async def _attempt(self, url: str, cluster_id: str, seconds: float) -> StsAnswer | Refusal:
        try:
            request = self._client.get(url).header("x-k8s-aws-id", cluster_id)
            return await _send(request.timeout(timedelta(seconds=seconds)))
        except TimeoutError:
            return Refusal(Reason.STS_NO_ANSWER, f"no answer within {TIMEOUT_SECONDS} seconds")
        except PyreqwestError as error:
            # The library's messages can hold the URL; its class says enough.
            return Refusal(Reason.STS_UNREACHABLE, _plain(error))

    async def close(self) -> None:
        """Close all connections. Afterwards the interpreter may end."""
        await self._client.close()
        # The library's thread still touches Python objects when its last answer is here, and aborts the process if the interpreter
        # ends meanwhile (seen in one exit of five). It offers nothing to wait for.
        await asyncio.sleep(_LETTING_GO_SECONDS)


async def _send(request: RequestBuilder) -> StsAnswer:
    # Streamed, so that an answer without end is not read to its end. Up to MAX_BODY of it is read ahead: most often all is here when
    # the headers are, and reading takes no further turn of the loop.
    async with request.streamed_read_buffer_limit(MAX_BODY).build_streamed() as response:
        body = await response.body_reader.read(MAX_BODY + 1)
        if body is not None and len(body) > MAX_BODY:
            return StsAnswer(response.status, "", b"")
        return StsAnswer(response.status, response.get_header("content-type") or "", bytes(body or b""))


def sts_client(environ: Mapping[str, str] = os.environ) -> StsClient:
    """Return a client set up from the environment.

    Raises ConfigError when AWS_CA_BUNDLE cannot be used, CredentialsError for a variable with a value that cannot be sent.
    """
    check_environment(environ)
    return StsClient(build_client(ClientBuilder().default_headers({"accept": "application/json"}), environ))


def _failed(answer: StsAnswer | Refusal) -> bool:
    """Return whether there is no answer, or STS itself failed. Throttling is no failure: asking again would add to it."""
    if isinstance(answer, Refusal):
        return answer.reason is Reason.STS_UNREACHABLE
    return answer.status >= 500 and not is_throttling(answer.status, answer.body)


def _plain(error: PyreqwestError) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
    return f"{words} error"
